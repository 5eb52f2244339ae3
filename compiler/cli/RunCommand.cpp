#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/OutputFiles.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/Table.h"
#include "runtime/FiniteLogits.h"
#include "runtime/GateRecord.h"
#include "runtime/Session.h"
#include "runtime/core/Error.h"
#include "runtime/io/SafeTensors.h"
#include "runtime/io/TensorFile.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

namespace moec::cli {

namespace {

struct RunFlags : CommonOptions {
  std::optional<std::filesystem::path> output, record;
  bool noChecks = false;
  std::filesystem::path kernelFiles;
};

void print(const Session& session, const TensorMap& outputs, bool json) {
  if (json) {
    fmt::print("{{\"target\": \"{}\", \"outputs\": {}}}\n", session.plan().target, toJsonText(outputs));
    return;
  }
  for (const OutputInfo& info : session.plan().outputs)
    if (auto found = outputs.find(info.name); found != outputs.end())
      fmt::print("{} {}\n{}", info.name, describe(found->second), valueTable(found->second));
}

/// What the gates did, out of the outputs and into a file.
void writeRecord(const RunFlags& flags, TensorMap& outputs) {
  TensorMap record;
  for (auto output = outputs.begin(); output != outputs.end();)
    if (isRecord(output->first))
      record.insert(outputs.extract(output++));
    else
      ++output;
  if (record.empty())
    throw Error(Fault::Usage,
                fmt::format("--record {}: {} has no gate that chooses, or was compiled without --record", flags.record->string(), flags.file.string()));
  writeSafeTensors(*flags.record, record);
}

void run(const RunFlags& flags) {
  checkOutputFiles(flags, {{"--output", flags.output}, {"--record", flags.record}, {"--kernel-files", flags.kernelFiles, true}});
  if (flags.output)
    checkTensorFile(*flags.output);
  auto trace = flags.trace ? std::make_shared<Trace>() : nullptr;
  auto step = [&](const char* name, auto work) {
    Trace::Span span(trace.get(), name, "run");
    return work();
  };
  std::shared_ptr<Device> device = step("open the device", [&] {
    return openDevice(flags.device,
                      {.threads = flags.threads, .checks = !flags.noChecks, .maxInstructions = flags.maxInstructions, .kernelFiles = flags.kernelFiles});
  });
  Program program = step("open the program", [&] {
    return openProgram(flags, {.targets = targetsFor({device}),
                               .drawsAsInputs = flags.draws.has_value(),
                               .record = flags.record.has_value(),
                               .replay = flags.replay.has_value(),
                               .trace = trace})
        .program;
  });
  Session session = step("open the session", [&] { return Session(program, device); });
  checkInvariant(session.plan(), flags);
  session.trace(trace);
  TensorMap inputs = step("read the inputs", [&] { return readInputs(session.plan(), flags); });
  step("load the weights", [&] { loadWeights(session, flags); });
  saveInitialWeights(session.plan(), flags);
  TensorMap outputs = [&] {
    Progress progress(fmt::format("running {} on {}", flags.file.filename().string(), device->name()), flags.quiet);
    return session.run(inputs, {.seed = flags.seed});
  }();
  std::erase_if(outputs, [](const auto& output) { return isNonFiniteCount(output.first); }); // of a gate: all 0
  step("write the outputs", [&] {
    if (flags.record)
      writeRecord(flags, outputs);
    if (flags.output)
      writeTensors(*flags.output, outputs);
    if (!flags.output || flags.json)
      print(session, outputs, flags.json);
  });
  if (trace)
    trace->write(*flags.trace);
}

} // namespace

void addRunCommand(CLI::App& app) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = addSubcommand(app, "run", "Run a model or a compiled program on inputs, and print its outputs");
  addModelFlags(*command, *flags);
  addWeightsAsFlag(*command, *flags);
  addWeightFlags(*command, *flags);
  addSaveWeightsFlag(*command, *flags);
  addInputFlags(*command, *flags);
  addDeviceFlags(*command, *flags);
  addOption(*command, "--output", flags->output, "write the outputs to FILE (.npy for one, .safetensors or .json for all) instead of printing them")
      ->type_name("RESULTS");
  addOption(
      *command, "--record", flags->record,
      "write what gates chose to a safetensors file: of each gate choices (tokens, choices per token), in front of capacity, weights, and which choices were kept")
      ->type_name("TENSORS");
  addOption(*command, "--replay", flags->replay, "gates take their choices from such a file; weights are their scores at these")->type_name("TENSORS");
  addNonFiniteFlag(*command, *flags);
  addFlag(*command, "--no-checks", flags->noChecks, "ptx-emulator: results only, without a look at uninitialised reads and races");
  addOption(*command, "--kernel-files", flags->kernelFiles, "cpu: write the kernels into this folder and run them from there, where perf finds their names")
      ->type_name("DIR");
  addTraceFlag(*command, *flags);
  addJsonFlag(*command, *flags);
  addExamples(*command,
              {{"scores of a photo, by weights drawn from the model's rules", "moec run models/zoo/vit-moe.json --init 0 --input image=examples/photo.png"},
               {"with weights of yours, into a file", "moec run vit-moe.moec --weights w.safetensors --input image=photo.jpg --output scores.npy"},
               {"the routing of one run in another, with other weights",
                "moec run models/zoo/vit-moe.json --init 0 --input image=examples/photo.png --record routing.safetensors\nmoec run models/zoo/vit-moe.json "
                "--init 1 --input image=examples/photo.png --replay routing.safetensors"},
               {"CUDA kernels without a GPU, with all of the emulator's checks",
                "moec run models/zoo/vit-moe.json --device ptx-emulator:sm_90a --init 0 --input image=examples/photo.png"}});
  command->callback([flags] { run(*flags); });
}

} // namespace moec::cli
