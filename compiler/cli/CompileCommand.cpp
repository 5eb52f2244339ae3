#include "compiler/cli/CacheFolder.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/KernelTable.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/OutputFiles.h"
#include "compiler/cli/ProgramSummary.h"
#include "compiler/cli/Table.h"
#include "compiler/cli/ValueKinds.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

namespace moec::cli {

namespace {

struct CompileFlags : CommonOptions {
  std::optional<std::filesystem::path> output;
  bool drawsAsInputs = false, record = false, replay = false, timePhases = false, inputGradients = false;
  std::string stopAfter, from, emit;
  std::filesystem::path dumpPhases, kernels;

  /// What looks at the phases needs them to run: no whole program from the cache.
  bool needsCompiler() const { return timePhases || !stopAfter.empty() || !from.empty() || !emit.empty() || !dumpPhases.empty() || !kernels.empty(); }
};

/// A database that somebody names is there to be used; the one that nobody names may lie idle.
void checkTuning(const CompileFlags& flags) {
  if (flags.tuning.empty() || flags.tuning == "off")
    return;
  const std::vector<std::string>& phases = wordsOf("PHASE");
  auto place = [&](const std::string& phase) { return std::ranges::find(phases, phase); };
  if (!flags.from.empty() && place(flags.from) > place("schedule"))
    throw Error(
        Fault::Usage,
        fmt::format("--tuning is for phase 'schedule', which lies before --from {}: give it where the dump is made, and leave it out here", flags.from));
  if (!flags.stopAfter.empty() && place(flags.stopAfter) < place("schedule"))
    throw Error(Fault::Usage, fmt::format("--tuning is for phase 'schedule', which does not run with --stop-after {}: leave one of them out", flags.stopAfter));
}

OpenedProgram compileNow(const CompileFlags& flags, CompileOptions options, std::string& text) {
  checkTuning(flags);
  options.stopAfter = flags.stopAfter;
  options.from = flags.from;
  options.emit = flags.emit;
  options.dumpPhases = flags.dumpPhases;
  options.kernels = flags.kernels;
  CompileResult result = compileFile(flags.file, compileOptions(flags, std::move(options)));
  warnOfCache(result.cacheProblem);
  limitCache(flags);
  text = result.text;
  if (!result.program)
    return {.program = Program(ProgramData{}), .damagedEntry = {}, .compiled = std::move(result)};
  Program program = *result.program;
  return {.program = std::move(program), .damagedEntry = {}, .compiled = std::move(result)};
}

void writeText(const CompileFlags& flags, const std::string& text) {
  if (flags.output)
    writeFileAtomically(*flags.output, text);
  else
    fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
}

nlohmann::ordered_json targetJson(const Program& program, const Plan& plan) {
  std::vector<KernelSummary> kernels = kernelSummaries(program, plan);
  nlohmann::ordered_json json{
      {"target", plan.target}, {"kernels", kernels.size()}, {"launches", plan.forward.size()}, {"tuned_kernels", tunedKernels(kernels)}};
  if (plan.purpose != Purpose::Inference)
    json["purpose"] = name(plan.purpose);
  if (plan.purpose == Purpose::Training) {
    json["apply_launches"] = plan.apply.size();
    json["states"] = plan.states.size();
  }
  if (!plan.target.starts_with("cuda:"))
    return json;
  json["functions"] = nlohmann::ordered_json::array();
  for (const KernelSummary& kernel : kernels)
    for (const FunctionSummary& function : kernel.functions) {
      nlohmann::ordered_json entry{{"kernel", kernel.symbol}, {"kind", kernel.kind}, {"layers", kernel.layers}, {"launches", kernel.launches}};
      entry.update(functionJson(function));
      json["functions"].push_back(std::move(entry));
    }
  return json;
}

/// `hit`, `miss`, `damaged` (compiled again and replaced), or `unused`.
const char* programCacheWord(const CompileFlags& flags, const OpenedProgram& opened) {
  if (flags.noCache || flags.needsCompiler() || userCacheFolder().empty())
    return "unused";
  return opened.fromCache ? "hit" : opened.damagedEntry.empty() ? "miss" : "damaged";
}

void printJson(const OpenedProgram& opened, const std::filesystem::path& file, size_t bytes, const char* cacheWord) {
  const CompileResult& compiled = opened.compiled;
  const auto& plans = opened.program.data().plans;
  nlohmann::ordered_json summary{
      {"file", file.string()}, {"bytes", bytes}, {"cached", opened.fromCache}, {"parameters", plans.empty() ? 0 : parameterCount(plans[0])}};
  summary["targets"] = nlohmann::ordered_json::array();
  for (const Plan& plan : plans)
    summary["targets"].push_back(targetJson(opened.program, plan));
  summary["phase_seconds"] = compiled.phaseSeconds;
  summary["kernels"] = {{"compiled", compiled.kernelsCompiled},
                        {"reused", compiled.kernelsReused},
                        {"from_cache", compiled.kernelsFromCache},
                        {"bad_cache_entries", compiled.badCacheEntries}};
  summary["program_cache"] = cacheWord;
  fmt::print("{}\n", summary.dump());
}

void printWork(const CompileResult& compiled) {
  Table times({"phase", ">time"});
  double total = 0;
  for (const std::string& phase : wordsOf("PHASE"))
    if (auto found = compiled.phaseSeconds.find(phase); found != compiled.phaseSeconds.end()) {
      times.add({phase, shortSeconds(found->second)});
      total += found->second;
    }
  times.add({"all", shortSeconds(total)});
  fmt::print("{}{} compiled, {} reused, {} from the cache\n", times.str(), counted(compiled.kernelsCompiled, "kernel"), compiled.kernelsReused,
             compiled.kernelsFromCache);
  if (compiled.badCacheEntries > 0)
    fmt::print("{} of the cache of kernels replaced\n", counted(compiled.badCacheEntries, "damaged entry", "damaged entries"));
}

void printText(const OpenedProgram& opened, const std::filesystem::path& file, size_t bytes) {
  const auto& plans = opened.program.data().plans;
  Table table({"target", ">kernels", ">tuned", ">launches", ">parameters"});
  std::string functions;
  for (const Plan& plan : plans) {
    std::vector<KernelSummary> kernels = kernelSummaries(opened.program, plan);
    table.add({plan.target + purposeSuffix(plan), std::to_string(kernels.size()), std::to_string(tunedKernels(kernels)),
               std::to_string(plan.forward.size() + plan.apply.size()), std::to_string(parameterCount(plan))});
    if (std::string text = functionTable(kernels); !text.empty())
      functions += fmt::format("\nkernels of {}{}\n{}", plan.target, purposeSuffix(plan), text);
  }
  fmt::print("{}: {}, {}\n{}", file.string(), opened.program.name(), shortBytes(static_cast<double>(bytes)), table.str());
  if (opened.fromCache)
    fmt::print("taken from the cache\n");
  else
    printWork(opened.compiled);
  fmt::print("{}", functions);
}

/// The model's name, .moec; the model file's when the name would not make a plain file name.
std::filesystem::path defaultOutput(const std::filesystem::path& model, const std::string& name) {
  bool plain = !name.empty() && name[0] != '.' && name.find_first_of("/\\\n") == std::string::npos;
  return (plain ? name : model.stem().string()) + ".moec";
}

void compileCommand(const CompileFlags& flags) {
  if (isProgramFile(flags.file))
    throw Error(Fault::Usage, fmt::format("{} is compiled already; compile takes a model", flags.file.string()));
  checkOutputFiles(flags, {{"-o", flags.output}, {"--dump-phases", flags.dumpPhases, true}});
  auto trace = flags.trace ? std::make_shared<Trace>() : nullptr;
  CompileOptions options{
      .drawsAsInputs = flags.drawsAsInputs, .inputGradients = flags.inputGradients, .record = flags.record, .replay = flags.replay, .trace = trace};
  std::string text;
  OpenedProgram opened = flags.needsCompiler() ? compileNow(flags, options, text) : openProgram(flags, options);
  if (!flags.stopAfter.empty() || !flags.emit.empty()) {
    writeText(flags, text);
  } else {
    std::filesystem::path file = flags.output.value_or(defaultOutput(flags.file, opened.program.name()));
    std::vector<uint8_t> bytes = opened.program.bytes(); // once: it is work
    writeFileAtomically(file, bytes);
    flags.json ? printJson(opened, file, bytes.size(), programCacheWord(flags, opened)) : printText(opened, file, bytes.size());
  }
  if (trace)
    trace->write(*flags.trace);
}

} // namespace

void addCompileCommand(CLI::App& app) {
  auto flags = std::make_shared<CompileFlags>();
  CLI::App* command = addSubcommand(app, "compile", "Compile a model to a program");
  addModelFlags(*command, *flags);
  addWeightsAsFlag(*command, *flags);
  addOption(*command, "-o,--output", flags->output, "the file to write (default: the model's name, .moec)")->type_name("PROGRAM");
  addFlag(*command, "--draws-as-inputs", flags->drawsAsInputs, "random draws become inputs, named by their paths, for --draws");
  addFlag(*command, "--record", flags->record,
          "what gates choose, its weights and what was dropped are results too, for `moec run --record` and for programs that train");
  addFlag(*command, "--replay", flags->replay, "gates take their choices from inputs, for `moec run --replay` and for programs that train");
  addNonFiniteFlag(*command, *flags);
  addTrainFlags(*command, *flags, "a plan for training too: gradients, and the step of the model's optimizer");
  addEmaFlag(*command, *flags);
  addEvaluateFlags(*command, *flags, "a plan for evaluation too: the loss of the model as it infers, and what else its loss can tell");
  addContextFlags(
      *command, *flags,
      "a plan for generation too: texts of so many tokens at most are continued, keys and values of their tokens kept; --invariant is then a demand on it alone");
  addFlag(*command, "--input-gradients", flags->inputGradients, "with --train: the gradients of inputs are results too, as gradient.<input>")->needs("--train");
  auto phase = CLI::IsMember(wordsOf("PHASE"));
  auto* stop = addOption(*command, "--stop-after", flags->stopAfter, "print the module after this phase")->type_name("PHASE")->check(phase);
  addOption(*command, "--dump-phases", flags->dumpPhases, "write one numbered file per phase into a folder")->type_name("DIR");
  addOption(*command, "--from", flags->from, "MODEL is a dump, edited or not; go on with this phase")->type_name("PHASE")->check(phase);
  addFlag(*command, "--time-phases", flags->timePhases, "compile even what is in the cache, and show each phase's time");
  addOption(*command, "--emit", flags->emit, "print the kernels' code")->type_name("FORM")->check(CLI::IsMember(wordsOf("FORM")))->excludes(stop);
  addOption(*command, "--kernels", flags->kernels,
            "CUDA texts of yours, DIR/<kernel>.cu, take the place of moec's; with --emit cuda, write moec's there to begin with")
      ->type_name("DIR");
  addTraceFlag(*command, *flags);
  addJsonFlag(*command, *flags);
  addExamples(
      *command,
      {{"for this machine and for cpu:x86-64-v3: vit-moe.moec", "moec compile models/zoo/vit-moe.json"},
       {"for a GPU that need not be here", "moec compile models/zoo/vit-moe.json --target cuda:sm_90a -o vit-moe.sm_90a.moec"},
       {"with steps of training", "moec compile models/zoo/vit-moe.json --train"},
       {"with what a trainer runs: steps, and the loss of the model as it infers", "moec compile models/zoo/vit-moe.json --train --evaluate --statistics"},
       {"with what continues texts of up to 4096 tokens", "moec compile llama.json --context 4096"},
       {"the module after a phase, and one file per phase", "moec compile models/zoo/vit-moe.json --stop-after fuse\nmoec compile models/zoo/vit-moe.json "
                                                            "--dump-phases phases"},
       {"edit CUDA kernels: write their texts, then compile with them",
        "moec compile models/zoo/vit-moe.json --target cuda:sm_90a --emit cuda --kernels texts\nmoec compile "
        "models/zoo/vit-moe.json --target cuda:sm_90a --kernels texts"}});
  command->callback([flags] {
    flags->noCache |= flags->timePhases; // times of work, not of reading
    compileCommand(*flags);
  });
}

} // namespace moec::cli
