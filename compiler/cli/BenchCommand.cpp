#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/OutputFiles.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/ValueKinds.h"
#include "compiler/cli/bench/BenchJson.h"
#include "compiler/cli/bench/BenchPage.h"
#include "compiler/cli/bench/BenchRun.h"
#include "compiler/cli/bench/BenchText.h"
#include "compiler/cli/bench/ResultFile.h"
#include "compiler/cli/bench/TokenSizes.h"
#include "moec_build_id.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/device/cpu/CpuDevice.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <memory>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

struct BenchFlags : CommonOptions {
  std::optional<fs::path> compare, html, output;
  fs::path kernelFiles;
  std::string tokens, format;
  bool hasTokens = false; // --tokens is given
  int repetitions = 10;
  double minSeconds = 0.05;
};

std::string versionText() { return fmt::format("{} ({})", kVersion, sourceId()); }

void writeText(const fs::path& file, const std::string& text) { writeFileAtomically(file, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}); }

/// What a call without --tokens has; refused where two subjects' calls differ in it, for times of more and of less work say nothing of each other.
BenchCase caseOfSizes(const std::vector<BenchSubject*>& subjects, const Bindings& given, const BenchFlags& flags) {
  BenchCase result;
  std::vector<int64_t> tokens;
  for (const BenchSubject* subject : subjects) {
    result.sizes.push_back(checkSizes(subject->plan(), given));
    tokens.push_back(tokensOf(subject->plan(), result.sizes.back()));
    if (tokens.back() != tokens[0])
      throw Error(Fault::Usage, fmt::format("--compare: a call of {} has {} tokens ({}), and one of {} has {} ({}): give --tokens, or --size, so that both "
                                            "have as many",
                                            flags.compare->string(), tokens[0], sizeText(result.sizes[0]), flags.file.string(), tokens.back(),
                                            sizeText(result.sizes.back())));
  }
  result.tokens = tokens[0];
  return result;
}

/// The sizes of every benchmark, a subject each; those that a model refuses are refused before anything is measured.
std::vector<BenchCase> casesOf(const std::vector<BenchSubject*>& subjects, const BenchFlags& flags) {
  Bindings given = parseSizes(flags);
  std::vector<BenchCase> cases;
  if (!flags.hasTokens)
    cases.push_back(caseOfSizes(subjects, given, flags));
  for (int64_t tokens : flags.hasTokens ? parseTokens(flags.tokens) : std::vector<int64_t>()) {
    BenchCase one{.tokens = tokens, .sizes = {}};
    for (const BenchSubject* subject : subjects)
      one.sizes.push_back(sizesOfTokens(subject->plan(), given, tokens));
    cases.push_back(std::move(one));
  }
  for (const BenchCase& one : cases)
    for (size_t i = 0; i < subjects.size(); ++i)
      subjects[i]->setSizes(one.sizes[i]);
  return cases;
}

BenchReport reportOf(const BenchSubject& subject, const Device& device, std::vector<BenchTimes> times) {
  const auto* cpu = dynamic_cast<const CpuDevice*>(&device);
  return {.model = subject.name(),
          .build = versionText(),
          .device = device.name(),
          .target = subject.plan().target,
          .cpu = cpuModel(),
          .token = tokenWord(subject.plan()),
          .made = subject.made(),
          .purpose = subject.plan().purpose,
          .threads = cpu ? cpu->threads() : 0,
          .benchmarks = std::move(times)};
}

/// What a measurement needs, opened: a subject for each file.
struct Bench {
  std::shared_ptr<Device> device;
  std::vector<std::unique_ptr<BenchSubject>> subjects;
  std::vector<BenchSubject*> turns;
  std::vector<BenchCase> cases;
  BenchSettings settings;

  Bench(const BenchFlags& flags, const std::vector<fs::path>& files) {
    device = openDevice(flags.device, {.threads = flags.threads, .maxInstructions = flags.maxInstructions, .kernelFiles = flags.kernelFiles});
    for (const fs::path& file : files)
      turns.push_back(subjects.emplace_back(std::make_unique<BenchSubject>(file, flags, device)).get());
    settings.repetitions = flags.repetitions;
    settings.minSeconds = flags.minSeconds;
    cases = casesOf(turns, flags);
  }

  std::vector<std::vector<BenchTimes>> run(const BenchFlags& flags) {
    Progress progress("measuring", flags.quiet);
    settings.onBenchmark = [&](const std::string& name) { progress.add(name); };
    return runBenchmarks(turns, cases, settings);
  }
};

BenchReport measure(const BenchFlags& flags) {
  Bench bench(flags, {flags.file});
  std::optional<bench::MachineLimits> limits;
  if (auto* cpu = dynamic_cast<CpuDevice*>(bench.device.get())) {
    limits.emplace(cpu->workers());
    bench.settings.limits = &*limits;
    bench.settings.timesLaunches = true;
  }
  BenchReport report = reportOf(*bench.subjects[0], *bench.device, bench.run(flags)[0]);
  report.readBytes = limits ? limits->readBytes() : 0;
  return report;
}

/// Whether the option means something where two results are compared.
bool isForResults(const CLI::Option& option) {
  for (const char* name : {"compare", "format", "json", "output", "quiet"})
    if (option.check_lname(name))
      return true;
  return false;
}

BenchComparisons compare(const BenchFlags& flags, const CLI::App& command) {
  const fs::path &a = *flags.compare, &b = flags.file;
  bool isReportA = isBenchReport(a), isReportB = isBenchReport(b);
  if (isReportA != isReportB)
    throw Error(Fault::Usage, fmt::format("--compare: {} is a result of `moec bench` and {} is none: name two results, or two models or programs",
                                          (isReportA ? a : b).string(), (isReportA ? b : a).string()));
  if (isReportA) {
    for (const CLI::Option* option : command.get_options())
      if (option->count() > 0 && option->nonpositional() && !isForResults(*option))
        throw Error(Fault::Usage, fmt::format("{} says how to measure, and {} is a result: it is measured already", option->get_name(), a.string()));
    return compareReports(a.string(), readBenchReport(a), b.string(), readBenchReport(b), bench::Pairing::Unpaired);
  }
  if (flags.repetitions < static_cast<int>(bench::kFewestTimes))
    throw Error(Fault::Usage, fmt::format("--repetitions {}: an interval of 95 % needs at least {}", flags.repetitions, bench::kFewestTimes));
  Bench bench(flags, {a, b});
  auto times = bench.run(flags);
  return compareReports(a.string(), reportOf(*bench.subjects[0], *bench.device, times[0]), b.string(), reportOf(*bench.subjects[1], *bench.device, times[1]),
                        bench::Pairing::Paired);
}

template <class Result> void print(const BenchFlags& flags, const Result& result) {
  std::string json = toJson(result);
  fmt::print("{}", flags.json || flags.format == "json" ? json : flags.format == "csv" ? toCsv(result) : toText(result));
  std::fflush(stdout); // what was measured is told before a file can fail
  if (flags.output)
    writeText(*flags.output, json);
}

void run(const BenchFlags& flags, const CLI::App& command) {
  checkOutputFiles(flags, {{"--html", flags.html}, {"-o", flags.output}, {"--kernel-files", flags.kernelFiles, true}});
  if (flags.compare) {
    CommonOptions other = flags;
    other.file = *flags.compare;
    checkOutputFiles(other, {{"-o", flags.output}});
  }
  if (!flags.compare) {
    BenchReport report = measure(flags);
    print(flags, report);
    if (flags.html)
      writeText(*flags.html, toPage(report));
    return;
  }
  if (flags.html)
    throw Error(Fault::Usage, "--html shows one result, and --compare has two: leave one of them out");
  print(flags, compare(flags, command));
}

} // namespace

void addBenchCommand(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = addSubcommand(app, "bench", "Measure a model's calls and each of its kernels beside the limits of the machine");
  addModelFlags(*command, *flags);
  addWeightsAsFlag(*command, *flags);
  command->get_option("file")->description("model.json or program.moec; with --compare also a result that -o wrote");
  addWeightFlags(*command, *flags);
  command->get_option("--init")->description("weights drawn by the model's init rules (default: 0, without --weights)");
  addSeedFlag(*command, *flags, "seed of the generated inputs, and of random draws (default 0)");
  addOption(*command, "--tokens", flags->tokens,
            "benchmarks of so many tokens a call, with commas between, as 1,8,64: changes the last size of the model's first input that --size does not "
            "give, and one before it is 1 (default: the model's check size)")
      ->type_name("N,N,..");
  addSizeFlag(*command, *flags);
  addTrainFlags(*command, *flags, "a step of training, not a call of inference");
  addDeviceFlags(*command, *flags);
  addOption(*command, "--kernel-files", flags->kernelFiles, "cpu: write the kernels into this folder and run them from there, where perf finds their names")
      ->type_name("DIR");
  checkInteger(addOption(*command, "--repetitions", flags->repetitions, "how often each benchmark is measured (default 10)")->type_name("N"), 1, 100000);
  addOption(*command, "--min-time", flags->minSeconds, "seconds of calls in a repetition, at least (default 0.05)")
      ->type_name("SECONDS")
      ->check(CLI::Range(1e-6, 3600.0));
  addOption(*command, "--compare", flags->compare,
            "is MODEL, as B, faster than this, A? Two results of -o, or two models or programs, which are then measured by turns")
      ->type_name("MODEL");
  auto* format =
      addOption(*command, "--format", flags->format, "how results are printed (default table)")->type_name("LAYOUT")->check(CLI::IsMember(wordsOf("LAYOUT")));
  addOption(*command, "--html", flags->html, "write a page with each kernel on the machine's roofline")->type_name("PAGE");
  addOption(*command, "-o,--output", flags->output, "write the results as JSON too, for --compare")->type_name("RESULT");
  addJsonFlag(*command, *flags);
  command->get_option("--json")->excludes(format)->description("print JSON, as --format json does");
  addExamples(*command,
              {{"a layer of experts at four sizes of a call, and where the time goes", "moec bench models/zoo/lucidrains-moe.json --tokens 1,8,64,512"},
               {"a language model: texts of 16 tokens, 4 and 64 of them", "moec bench models/zoo/switch-lm.json --size sequence=16 --tokens 64,1024"},
               {"a step of training, with a page that shows each kernel beside the machine's limits",
                "moec bench models/zoo/vit-moe.json --train --size batch=64 --html roofline.html"},
               {"before and after a change",
                "moec bench models/zoo/vit-moe.json -o before.json -q\n# change it\nmoec bench models/zoo/vit-moe.json -o after.json -q\nmoec "
                "bench --compare before.json after.json"},
               {"two models by turns, on the same machine in the same minute", "moec bench --compare models/zoo/vit.json models/zoo/vit-moe.json --tokens 8"}});
  command->callback([flags, command] {
    flags->hasTokens = command->count("--tokens") > 0;
    run(*flags, *command);
  });
}

} // namespace moec::cli
