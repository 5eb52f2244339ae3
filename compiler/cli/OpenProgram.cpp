#include "compiler/cli/OpenProgram.h"

#include "compiler/cli/CacheFolder.h"
#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/ProgramCache.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/Table.h"
#include "compiler/cli/Terminal.h"
#include "compiler/cli/TuningFile.h"
#include "models/json/Parse.h"
#include "moec_build_id.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/MappedFile.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <unistd.h>

namespace moec::cli {

namespace fs = std::filesystem;

Program openForView(const CommonOptions& common) {
  CommonOptions options = common;
  if (isProgramFile(common.file))
    options.targets.clear();
  return openProgram(options).program;
}

Purpose purposeOf(const CommonOptions& common) {
  bool generates = common.generate || common.context;
  std::vector<std::string> named;
  for (auto [flag, given] :
       {std::pair("--train", common.train), std::pair("--evaluate", common.evaluate), std::pair(common.generate ? "--generate" : "--context", generates)})
    if (given)
      named.emplace_back(flag);
  if (named.size() > 1)
    throw Error(Fault::Usage, named[0] + " and " + named[1] + " name two plans, and one is wanted: leave one of them out");
  return common.train ? Purpose::Training : common.evaluate ? Purpose::Evaluation : generates ? Purpose::Generation : Purpose::Inference;
}

const Plan& choosePlan(const Program& program, const CommonOptions& common) {
  Purpose purpose = purposeOf(common);
  requirePlans(program.data(), purpose);
  std::vector<std::reference_wrapper<const Plan>> plans;
  for (const Plan& plan : program.data().plans)
    if (plan.purpose == purpose)
      plans.emplace_back(plan);
  if (plans.empty())
    throw Error(Fault::Data, fmt::format("{}: no plan for any target", common.file.string()));
  if (common.targets.empty()) {
    checkInvariant(plans.front(), common);
    return plans.front();
  }
  const std::string& wanted = common.targets.front();
  auto found = std::ranges::find_if(plans, [&](const Plan& plan) { return plan.target == wanted || (wanted == "cpu" && plan.target.starts_with("cpu:")); });
  if (found == plans.end())
    throw Error(Fault::Usage,
                fmt::format("{} has no plan for target \"{}\"; it is compiled for: {}", common.file.string(), wanted, fmt::join(targetsOf(program), ", ")));
  checkInvariant(*found, common);
  return *found;
}

void checkInvariant(const Plan& plan, const CommonOptions& common) {
  if (!common.invariant || plan.invariant)
    return;
  std::string file = common.file.string();
  if (plan.couplings.empty())
    throw Error(
        Fault::Usage,
        fmt::format("{}: --invariant: the plan for {} does not say whether a row's bits depend on its neighbours: compile the model again", file, plan.target));
  throw Error(Fault::Usage,
              fmt::format("{}: --invariant: on {} a row's bits depend on its neighbours: {}", file, plan.target, describe(plan.couplings.front())));
}

void describeTargetOfView(CLI::App& command) {
  command.get_option("--target")->description("of a program: the target to show (default: its first); of a model: compile for these, show the first");
}

std::vector<std::string> targetsOf(const Program& program) {
  std::vector<std::string> targets;
  for (const Plan& plan : program.data().plans)
    if (plan.purpose == Purpose::Inference)
      targets.push_back(plan.target);
  return targets;
}

void addModelOptions(const CommonOptions& common, CompileOptions& options) {
  if (!common.targets.empty())
    options.targets = common.targets;
  options.moefy = common.moefy;
  // Read here and nowhere else: who adds to the file in between must not come between a program and its key in the cache.
  if (fs::path tuning = tuningToRead(common.tuning); !tuning.empty())
    options.schedules = TuningDatabase(tuning).read().schedulesFor(cpuModel());
  options.weightsAs = common.weightsAs;
  options.debugInfo = common.debugInfo;
  options.invariant |= common.invariant;
  options.train |= common.train;
  options.accumulate |= common.accumulate;
  options.recompute |= common.recompute;
  options.evaluate |= common.evaluate;
  if (common.context)
    options.generate = GenerationSizes{common.batch.value_or(1), *common.context};
  options.statistics |= common.statistics;
  if (common.nonFinite == "error")
    options.nonFinite = NonFiniteLogits::Error;
  if (common.ema)
    options.ema = common.ema;
}

namespace {

void addCacheAndProgress(const CommonOptions& common, CompileOptions& options) {
  if (fs::path cache = userCacheFolder(); !common.noCache && !cache.empty()) {
    cacheLimit(common.cacheLimit); // a wrong limit is said before anything is compiled
    options.kernelCache = CacheFolder(cache).kernels();
  }
  auto progress = std::make_shared<Progress>("compiling " + common.file.filename().string(), common.quiet);
  options.onPhase = [progress](const std::string& phase, double seconds) { progress->add(phase + " " + shortSeconds(seconds)); };
}

} // namespace

CompileOptions compileOptions(const CommonOptions& common, CompileOptions options) {
  addModelOptions(common, options);
  addCacheAndProgress(common, options);
  return options;
}

void warnOfCache(const std::string& problem) {
  if (!problem.empty())
    fmt::print(stderr, "moec: {} what was compiled is not cached: {}\n", coloured(STDERR_FILENO, Colour::Yellow, "warning:"), problem);
}

void limitCache(const CommonOptions& common) {
  fs::path folder = userCacheFolder();
  if (common.noCache || folder.empty())
    return;
  try {
    CacheFolder(folder).shrinkTo(cacheLimit(common.cacheLimit));
  } catch (const Error& error) {
    if (error.fault() != Fault::System)
      throw;
    fmt::print(stderr, "moec: warning: {}\n", error.what());
  }
}

std::vector<std::string> targetsFor(const std::vector<std::shared_ptr<Device>>& devices) {
  std::vector<std::string> targets;
  for (const auto& device : devices)
    for (const std::string& target : device->targets())
      if (std::ranges::find(targets, target) == targets.end())
        targets.push_back(target);
  // The CPU alone: the targets that a compilation without any has, so that both share the cache's entry.
  return targets == std::vector<std::string>{"cpu"} ? std::vector<std::string>{} : targets;
}

bool isProgramFile(const std::filesystem::path& path) {
  MappedFile file = MappedFile::open(path);
  FileKind kind = fileKind(file.bytes());
  if (kind == FileKind::Program)
    return true;
  // A .json that does not begin like JSON is still a model: the compiler says where it goes wrong.
  if (kind == FileKind::Json || path.extension() == ".json" || path.extension() == ".mlir")
    return false;
  throw Error(Fault::Data, fmt::format("{}: expected a model (JSON) or a compiled program; found {}", path.string(), describeFirstBytes(file.bytes())));
}

OpenedProgram openProgram(const CommonOptions& common, CompileOptions options) {
  if (isProgramFile(common.file)) {
    for (auto [given, flag] :
         {std::pair(!common.targets.empty(), "--target"), std::pair(!common.moefy.empty(), "--moefy"), std::pair(!common.weightsAs.empty(), "--weights-as"),
          std::pair(common.debugInfo, "-g"), std::pair(common.accumulate, "--accumulate"), std::pair(common.recompute, "--recompute"),
          std::pair(common.statistics, "--statistics"), std::pair(common.ema.has_value(), "--ema"), std::pair(common.context.has_value(), "--context"),
          std::pair(!common.tuning.empty(), "--tuning")})
      if (given)
        throw Error(Fault::Usage, fmt::format("{}: {} changes how a model is compiled, but this file is compiled already", common.file.string(), flag));
    for (auto [given, flag, what] : {std::tuple(common.train, "--train", "gradients"), std::tuple(common.evaluate, "--evaluate", "losses")})
      if (common.invariant && given)
        throw Error(Fault::Usage,
                    fmt::format("--invariant is for inference and generation: {} are sums over the rows of a call; leave it or {} out", what, flag));
    Program program = Program::load(common.file);
    for (const Plan& plan : program.data().plans)
      if (!common.nonFinite.empty() && plan.purpose != Purpose::Generation && (common.nonFinite == "error") != (plan.nonFinite == NonFiniteLogits::Error))
        throw Error(Fault::Usage, fmt::format("{}: --non-finite is a choice of how a model is compiled, and this file was compiled with the other one",
                                              common.file.string()));
    return {.program = std::move(program), .precompiled = true, .compiled = {}};
  }

  // A model that is too large is refused by its reader, and not digested before.
  std::error_code unknown;
  bool tooLarge = std::filesystem::file_size(common.file, unknown) > models::kLargestText && !unknown;
  std::optional<ProgramCache> cache;
  if (fs::path folder = userCacheFolder(); !common.noCache && !tooLarge && !folder.empty())
    cache.emplace(CacheFolder(folder).programs());
  addModelOptions(common, options);
  ProgramKey key;
  std::string damage;
  if (cache) {
    Trace::Span span(options.trace.get(), "look into the cache of programs", "cache");
    key = ProgramKey::of(MappedFile::open(common.file).bytes(), common.file.filename().string(), options, sourceId(), hostCpu());
    auto [found, damaged] = cache->find(key);
    span.add("cache", found ? "hit" : damaged.empty() ? "miss" : "damaged");
    if (found)
      return {.program = *found, .fromCache = true, .damagedEntry = {}, .compiled = {}};
    damage = damaged;
  }
  checkSourceFiles(common);
  addCacheAndProgress(common, options);
  CompileResult result = compileFile(common.file, options);
  if (!result.program)
    throw Error(Fault::Internal, fmt::format("{}: the compiler gave no program", common.file.string()));
  Program program = *result.program;
  std::string problem = result.cacheProblem;
  if (cache) {
    Trace::Span span(options.trace.get(), "write into the cache of programs", "cache");
    try {
      cache->store(key, common.file, program);
    } catch (const Error& error) {
      problem = error.what();
    }
    limitCache(common);
  }
  warnOfCache(problem);
  if (!damage.empty())
    fmt::print(stderr, "moec: warning: {}; compiled again\n", damage);
  return {.program = std::move(program), .damagedEntry = std::move(damage), .compiled = std::move(result)};
}

} // namespace moec::cli
