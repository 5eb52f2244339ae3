#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/ProgramSummary.h"
#include "compiler/cli/Table.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace moec::cli {

namespace {

constexpr const char* kPhases[] = {"import", "fuse", "schedule", "plan", "emit", "pack"};

struct CompileFlags : CommonOptions {
  std::optional<std::filesystem::path> output;
  bool drawsAsInputs = false, timePhases = false;
  std::string stopAfter, from, emit;
  std::filesystem::path dumpPhases;

  /// What looks at the phases needs them to run: no whole program from the cache.
  bool needsCompiler() const {
    return timePhases || !stopAfter.empty() || !from.empty() || !emit.empty() || !dumpPhases.empty();
  }
};

OpenedProgram compileNow(const CompileFlags& flags, CompileOptions options, std::string& text) {
  options.stopAfter = flags.stopAfter;
  options.from = flags.from;
  options.emit = flags.emit;
  options.dumpPhases = flags.dumpPhases;
  CompileResult result = compileFile(flags.file, compileOptions(flags, std::move(options)));
  warnOfCache(result.cacheProblem);
  text = result.text;
  if (!result.program)
    return {.program = Program(ProgramData{}), .compiled = std::move(result)};
  Program program = *result.program;
  return {.program = std::move(program), .compiled = std::move(result)};
}

void printText(const CompileFlags& flags, const std::string& text) {
  if (flags.output)
    writeFileAtomically(*flags.output, text);
  else
    fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
}

void printSummary(const OpenedProgram& opened, const std::filesystem::path& file, bool json) {
  size_t bytes = opened.program.bytes().size();
  const auto& plans = opened.program.data().plans;
  if (json) {
    nlohmann::ordered_json summary{{"file", file.string()},
                                   {"bytes", bytes},
                                   {"cached", opened.fromCache},
                                   {"parameters", plans.empty() ? 0 : parameterCount(plans[0])}};
    summary["targets"] = nlohmann::ordered_json::array();
    for (const Plan& plan : plans)
      summary["targets"].push_back({{"target", plan.target},
                                    {"kernels", kernelSummaries(opened.program, plan).size()},
                                    {"launches", plan.forward.size()}});
    summary["phase_seconds"] = opened.compiled.phaseSeconds;
    fmt::print("{}\n", summary.dump());
    return;
  }
  Table table({"target", ">kernels", ">launches", ">parameters"});
  for (const Plan& plan : plans)
    table.add({plan.target, std::to_string(kernelSummaries(opened.program, plan).size()),
               std::to_string(plan.forward.size()), std::to_string(parameterCount(plan))});
  fmt::print("{}: {}, {}\n{}", file.string(), opened.program.name(), shortBytes(static_cast<double>(bytes)),
             table.str());
  if (opened.fromCache) {
    fmt::print("taken from the cache\n");
    return;
  }
  Table times({"phase", ">time"});
  double total = 0;
  for (const char* phase : kPhases)
    if (auto found = opened.compiled.phaseSeconds.find(phase); found != opened.compiled.phaseSeconds.end()) {
      times.add({phase, shortSeconds(found->second)});
      total += found->second;
    }
  times.add({"all", shortSeconds(total)});
  fmt::print("{}{} kernels compiled, {} reused, {} from the cache\n", times.str(), opened.compiled.kernelsCompiled,
             opened.compiled.kernelsReused, opened.compiled.kernelsFromCache);
}

/// The model's name, .moec; the model file's when the name would not make a plain file name.
std::filesystem::path defaultOutput(const std::filesystem::path& model, const std::string& name) {
  bool plain = !name.empty() && name[0] != '.' && name.find_first_of("/\\\n") == std::string::npos;
  return (plain ? name : model.stem().string()) + ".moec";
}

void compileCommand(const CompileFlags& flags) {
  if (isProgramFile(flags.file))
    throw Error(Fault::Usage, fmt::format("{} is compiled already; compile takes a model", flags.file.string()));
  CompileOptions options{.drawsAsInputs = flags.drawsAsInputs};
  std::string text;
  OpenedProgram opened = flags.needsCompiler() ? compileNow(flags, options, text) : openProgram(flags, options);
  if (!flags.stopAfter.empty() || !flags.emit.empty()) {
    printText(flags, text);
    return;
  }
  std::filesystem::path file = flags.output.value_or(defaultOutput(flags.file, opened.program.name()));
  opened.program.save(file);
  printSummary(opened, file, flags.json);
}

} // namespace

void addCompileCommand(CLI::App& app) {
  auto flags = std::make_shared<CompileFlags>();
  CLI::App* command = app.add_subcommand("compile", "Compile a model to a program");
  addModelFlags(*command, *flags);
  command->add_option("-o", flags->output, "the file to write (default: the model's name, .moec)")->type_name("FILE");
  command->add_flag("--draws-as-inputs", flags->drawsAsInputs,
                    "random draws become inputs, named by their paths, for --draws");
  auto phase = CLI::IsMember(std::vector<std::string>(std::begin(kPhases), std::end(kPhases)));
  auto* stop = command
                   ->add_option("--stop-after", flags->stopAfter,
                                "print the module after this phase: import fuse schedule plan emit pack")
                   ->type_name("PHASE")
                   ->check(phase);
  command->add_option("--dump-phases", flags->dumpPhases, "write one numbered file per phase into a folder")
      ->type_name("DIR");
  command->add_option("--from", flags->from, "FILE is a dump, edited or not; go on with this phase")
      ->type_name("PHASE")
      ->check(phase);
  command->add_flag("--time-phases", flags->timePhases,
                    "compile even what is in the cache, and show each phase's time");
  command->add_option("--emit", flags->emit, "print the kernels' code: llvm or asm of a CPU target, cuda or ptx of a CUDA one")
      ->type_name("FORM")
      ->check(CLI::IsMember({"llvm", "asm", "cuda", "ptx"}))
      ->excludes(stop);
  addJsonFlag(*command, *flags);
  command->callback([flags] {
    flags->noCache |= flags->timePhases; // times of work, not of reading
    compileCommand(*flags);
  });
}

} // namespace moec::cli
