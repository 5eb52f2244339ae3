#include "compiler/cli/CacheFolder.h"
#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/ExitCode.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/OutputFiles.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/StopSignals.h"
#include "compiler/cli/Terminal.h"
#include "compiler/cli/TuningFile.h"
#include "compiler/cli/bench/BenchReport.h"
#include "compiler/cli/bench/TokenSizes.h"
#include "compiler/cli/tune/MeasuringLock.h"
#include "compiler/cli/tune/TuneEntries.h"
#include "compiler/cli/tune/TuneText.h"
#include "compiler/cli/tune/Tuner.h"
#include "runtime/Weights.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/core/TuningDatabase.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/io/SafeTensors.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <unistd.h>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

struct TuneFlags : CommonOptions {
  std::string budget = "60s", tokens;
};

/// The target of the device, or the one that --target names.
std::string targetOf(const TuneFlags& flags) {
  if (flags.targets.size() > 1)
    throw Error(Fault::Usage, "--target: schedules are tuned for one target at a time");
  std::string target = flags.targets.empty() || flags.targets[0] == "cpu" ? nativeCpuTarget() : flags.targets[0];
  if (!target.starts_with("cpu:"))
    throw Error(Fault::Usage, fmt::format("--target {}: schedules are tuned for CPUs alone", target));
  return target;
}

std::vector<Bindings> sizesOf(const Plan& plan, const TuneFlags& flags) {
  Bindings given = parseSizes(flags);
  if (flags.tokens.empty())
    return {checkSizes(plan, given)};
  std::vector<Bindings> sizes;
  for (int64_t tokens : parseTokens(flags.tokens))
    sizes.push_back(sizesOfTokens(plan, given, tokens));
  return sizes;
}

/// A kernel's entry has the sizes of all calls: more than it can have are refused before the search.
void checkLength(const std::vector<Bindings>& sizes) {
  size_t length = 0;
  for (const Bindings& each : sizes)
    length += sizeText(each).size() + 2; // "; "
  if (length > kLongestTuningText)
    throw Error(Fault::Usage, fmt::format("--tokens: the {} sizes take {} characters of an entry of the database, and {} is the most; name fewer", sizes.size(),
                                          length, kLongestTuningText));
}

const Plan& planOf(const Program& program, Purpose purpose) {
  for (const Plan& plan : program.data().plans)
    if (plan.purpose == purpose)
      return plan;
  throw Error(Fault::Internal, "internal: the program has no plan of the purpose that it was compiled for");
}

void run(const TuneFlags& flags) {
  if (!flags.tuning.empty() && flags.tuning != "off")
    checkOutputFiles(flags, {{"--tuning", flags.tuning, false, true}});
  if (isProgramFile(flags.file))
    throw Error(Fault::Usage, fmt::format("{} is compiled already; tune takes a model", flags.file.string()));
  checkSourceFiles(flags);
  double budget = static_cast<double>(parseDuration(flags.budget, "--budget").count());
  auto device = std::make_shared<CpuDevice>(DeviceOptions{.threads = flags.threads});
  fs::path file = tuningToAddTo(flags.tuning);
  TuningContents contents;
  if (!file.empty()) {
    TuningDatabase(file).prepare(); // minutes of search must not be lost at their end
    contents = TuningDatabase(file).read();
  }
  MeasuringLock lock(userCacheFolder());
  if (!lock.isAlone())
    fmt::print(stderr, "moec: {} another `moec tune` measures on this machine, and each makes the other's times worse: let one of them end first\n",
               coloured(STDERR_FILENO, Colour::Yellow, "warning:"));
  StopSignals signals("moec: stopped at once: what was tuned is lost\n");

  CommonOptions quiet = flags; // the progress of single compilations says nothing here
  quiet.quiet = true;
  quiet.tuning = "off"; // schedules are given by name
  quiet.targets = {targetOf(flags)};
  TunedModel model{.options = quiet, .compile = compileOptions(quiet, {}), .device = device, .purpose = purposeOf(flags), .weights = {}};
  model.compile.onPhase = {};
  TuneSettings settings{.budget = budget, .sizes = {}, .stop = &signals.flag(), .onProgress = {}};
  TuneResult result;
  {
    Progress progress("tuning " + flags.file.filename().string(), flags.quiet);
    settings.onProgress = [&](const std::string& what) { progress.add(what); };
    Program program = *model.compiled({}).program;
    const Plan& plan = planOf(program, model.purpose);
    settings.sizes = sizesOf(plan, flags);
    checkLength(settings.sizes);
    model.weights = flags.weights ? readSafeTensors(*flags.weights) : initialWeights(plan, flags.init.value_or(0));
    checkWeights(plan, model.weights, flags.allowNonFinite);
    result = tune(model, contents.schedulesFor(cpuModel()), settings);
  }
  limitCache(flags);
  fmt::print("{}", flags.json ? toJson(result, file) : toText(result, file));
  std::fflush(stdout);
  if (!file.empty())
    TuningDatabase(file).append(entriesOf(result, contents, device->threads()));
  if (signals.flag())
    throw ExitCode{kInterrupted};
}

} // namespace

void addTuneCommand(CLI::App& app) {
  auto flags = std::make_shared<TuneFlags>();
  CLI::App* command = addSubcommand(app, "tune", "Measure other schedules of a model's kernels on this CPU, and keep the better ones for compilations to come");
  addModelFlags(*command, *flags);
  command->get_option("file")->description("model.json");
  command->get_option("--target")->description("the target whose kernels are tuned: one that this CPU runs (default: the best)");
  command->get_option("--tuning")
      ->description("the database to read and to add to; off: keep nothing (default: $MOEC_TUNING, or tuning.jsonl beside the caches)");
  addWeightFlags(*command, *flags);
  command->get_option("--init")->description("weights drawn by the model's init rules (default: 0, without --weights)");
  addSeedFlag(*command, *flags, "seed of the generated inputs, and of random draws (default 0)");
  addOption(*command, "--budget", flags->budget, "how long to search, as 90s, 10m or 2h; what was found is measured once more behind it (default 60s)")
      ->type_name("TIME");
  addOption(*command, "--tokens", flags->tokens,
            "calls of so many tokens, as `moec bench` has them; of several, with commas between, a schedule must be worse at none (default: the model's "
            "check size)")
      ->type_name("N,N,..");
  addSizeFlag(*command, *flags);
  addTrainFlags(*command, *flags, "the kernels of a step of training, not of a call of inference");
  checkInteger(addOption(*command, "--threads", flags->threads, "threads (default: as many as this process may use)")->type_name("N"), 1, 4096);
  addJsonFlag(*command, *flags);
  addExamples(*command, {{"ten minutes of search for calls of one token and of many", "moec tune models/zoo/lucidrains-moe.json --tokens 1,256 --budget 10m"},
                         {"the kernels of a step of training", "moec tune models/zoo/vit-moe.json --train --size batch=32"},
                         {"what compilations take from it, and what they would do without",
                          "moec explain models/zoo/vit-moe.json\nmoec explain models/zoo/vit-moe.json --tuning off"}});
  command->callback([flags] { run(*flags); });
}

} // namespace moec::cli
