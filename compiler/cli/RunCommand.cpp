#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/Table.h"
#include "runtime/Session.h"
#include "runtime/io/TensorFile.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

namespace moec::cli {

namespace {

struct RunFlags : CommonOptions {
  std::optional<std::filesystem::path> output;
  bool noChecks = false;
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

void run(const RunFlags& flags) {
  std::shared_ptr<Device> device = openDevice(
      flags.device, {.threads = flags.threads, .checks = !flags.noChecks, .maxInstructions = flags.maxInstructions});
  Program program = openProgram(flags, {.targets = targetsFor({device}), .drawsAsInputs = flags.draws.has_value()}).program;
  Session session(program, device);
  TensorMap inputs = readInputs(session.plan(), flags);
  loadWeights(session, flags);
  saveInitialWeights(session.plan(), flags);
  TensorMap outputs = [&] {
    Progress progress(fmt::format("running {} on {}", flags.file.filename().string(), device->name()), flags.quiet);
    return session.run(inputs, {.seed = flags.seed});
  }();
  if (flags.output)
    writeTensors(*flags.output, outputs);
  if (!flags.output || flags.json)
    print(session, outputs, flags.json);
}

} // namespace

void addRunCommand(CLI::App& app) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Run a model or a compiled program on inputs, and print its outputs");
  addModelFlags(*command, *flags);
  addWeightFlags(*command, *flags);
  addSaveWeightsFlag(*command, *flags);
  addInputFlags(*command, *flags);
  addDeviceFlags(*command, *flags);
  command
      ->add_option("--output", flags->output,
                   "write the outputs to FILE (.npy for one, .safetensors or .json for all) instead of printing them")
      ->type_name("RESULTS");
  command->add_flag("--no-checks", flags->noChecks,
                    "ptx-emulator: results only, without a look at uninitialised reads and races");
  addJsonFlag(*command, *flags);
  addExamples(
      *command,
      {{"scores of a photo, by weights drawn from the model's rules",
        "moec run models/zoo/vit-moe.json --init 0 --input image=examples/photo.png"},
       {"with weights of yours, into a file",
        "moec run vit-moe.moec --weights w.safetensors --input image=photo.jpg --output scores.npy"},
       {"CUDA kernels without a GPU, with all of the emulator's checks",
        "moec run models/zoo/vit-moe.json --device ptx-emulator:sm_90a --init 0 --input image=examples/photo.png"}});
  command->callback([flags] { run(*flags); });
}

} // namespace moec::cli
