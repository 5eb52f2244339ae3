#include "compiler/CheckOptions.h"
#include "compiler/Compilation.h"
#include "runtime/core/Error.h"
#include "runtime/core/WeightsAs.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec::compiler {

namespace {

constexpr int64_t kMostTexts = int64_t{1} << 24; // at once, and tokens of each

void checkDebugInfo(const CompileOptions& options, const std::vector<std::string>& targets) {
  for (const std::string& target : targets)
    if (options.debugInfo && target.starts_with("cuda:"))
      throw Error(Fault::Usage, "-g: kernels of CPU targets know their lines in the model, those of " + target + " do not; leave -g or the target out");
}

void checkWeightsAsTargets(const CompileOptions& options, const std::vector<std::string>& targets) {
  for (const std::string& target : targets)
    if (!options.weightsAs.empty() && target.starts_with("cuda:"))
      throw Error(Fault::Usage, fmt::format("--weights-as {}: kernels of CPU targets read converted weights, those of {} do not yet; leave --weights-as or the "
                                            "target out",
                                            options.weightsAs, target));
}

void checkKernelsTargets(const CompileOptions& options, const std::vector<std::string>& targets) {
  if (options.kernels.empty() || std::ranges::any_of(targets, [](const std::string& target) { return target.starts_with("cuda:"); }))
    return;
  std::string named;
  for (const std::string& target : targets)
    named += (named.empty() ? "" : ", ") + target;
  throw Error(Fault::Usage, "--kernels names CUDA texts, and kernels of " + named + " have none; name a CUDA target with --target cuda:sm_90a");
}

} // namespace

std::optional<codegen::CodeText> formOf(std::string_view word) {
  using enum codegen::CodeText;
  for (auto [name, form] : {std::pair("llvm", Llvm), std::pair("asm", Asm), std::pair("cuda", Cuda), std::pair("ptx", Ptx)})
    if (word == name)
      return form;
  return std::nullopt;
}

void checkOptions(const CompileOptions& options) {
  std::string known;
  for (const char* name : phaseNames)
    known += std::string(known.empty() ? "" : " ") + name;
  for (const std::string& phase : {options.stopAfter, options.from})
    if (!phase.empty() && !parsePhase(phase))
      throw Error(Fault::Usage, "unknown phase '" + phase + "'; known: " + known);
  if (options.from == "import")
    throw Error(Fault::Usage, "phase 'import' starts from a model: leave --from out");
  if (options.stopAfter == "pack")
    throw Error(Fault::Usage, "behind 'pack' stands the program itself: leave --stop-after out");
  for (auto [given, name] :
       {std::pair(options.accumulate, "--accumulate"), std::pair(options.recompute, "--recompute"), std::pair(options.inputGradients, "--input-gradients")})
    if (given && !options.train)
      throw Error(Fault::Usage, std::string(name) + " is for training: name --train too");
  if (options.generate &&
      (options.generate->batch < 1 || options.generate->context < 1 || options.generate->batch > kMostTexts || options.generate->context > kMostTexts))
    throw Error(Fault::Usage, fmt::format("generation of {} texts of {} tokens: expected numbers from 1 to {}", options.generate->batch,
                                          options.generate->context, kMostTexts));
  if (options.generate && options.drawsAsInputs)
    throw Error(Fault::Usage, "--draws-as-inputs is not for generation, whose inputs are tokens alone: leave it or --context out");
  for (auto [given, name] : {std::pair(options.record, "--record"), std::pair(options.replay, "--replay")})
    if (given && options.generate)
      throw Error(Fault::Usage, fmt::format("{} is not for generation, whose calls are of other tokens each: leave it or --context out", name));
  if (options.nonFinite == NonFiniteLogits::Error && options.generate)
    throw Error(Fault::Usage, "--non-finite error is not for generation, whose calls count no logits: leave it or --context out");
  for (auto [given, name] : {std::pair(options.record, "--record"), std::pair(options.replay, "--replay"),
                             std::pair(options.nonFinite == NonFiniteLogits::Error, "--non-finite error")})
    if (given && !options.from.empty())
      throw Error(Fault::Usage, fmt::format("{} is for phase 'import', which lies before --from {}: give it where the dump is made, and leave it out here",
                                            name, options.from));
  if (options.ofStepsAlone && (options.record || options.replay) && !options.train)
    throw Error(Fault::Usage, "what is recorded or replayed of steps alone is of training: compile for training too (CompileOptions::train)");
  if (!options.weightsAs.empty() && !WeightsAs::parse(options.weightsAs))
    throw Error(Fault::Usage, fmt::format("--weights-as {}: expected {}", options.weightsAs, kWeightsAsWords));
  if (!options.weightsAs.empty() && options.train)
    throw Error(Fault::Usage, fmt::format("--weights-as {} is for inference, evaluation and generation: what training changes stays as the model has it; leave "
                                          "it or --train out",
                                          options.weightsAs));
  if (!options.weightsAs.empty() && !options.from.empty() && *parsePhase(options.from) > Phase::Schedule)
    throw Error(Fault::Usage, fmt::format("--weights-as is for phase 'schedule', which lies before --from {}: give it where the dump is made, and leave it out "
                                          "here",
                                          options.from));
  if (options.statistics && !options.train && !options.evaluate)
    throw Error(Fault::Usage, "--statistics is for training and evaluation: name --train or --evaluate too");
  for (auto [given, name, what] : {std::tuple(options.train, "--train", "gradients"), std::tuple(options.evaluate, "--evaluate", "losses")})
    if (options.invariant && given)
      throw Error(Fault::Usage, fmt::format("--invariant is for inference and generation: {} are sums over the rows of a call; leave it or {} out, and "
                                            "compile the model for each",
                                            what, name));
  if (options.invariant && !options.stopAfter.empty() && *parsePhase(options.stopAfter) <= Phase::Schedule)
    throw Error(Fault::Usage,
                fmt::format("--invariant is held against what stands behind phase 'schedule', and --stop-after {} ends before: leave one of them out",
                            options.stopAfter));
  if (options.ema && !options.train)
    throw Error(Fault::Usage, "--ema is for training: name --train too");
  if (options.ema && !(*options.ema >= 0 && *options.ema < 1))
    throw Error(Fault::Usage, fmt::format("--ema {}: expected how much of an average stays in a step, from 0 and below 1", *options.ema));
  if (!options.emit.empty() && !formOf(options.emit))
    throw Error(Fault::Usage, "unknown form of code '" + options.emit + "'; known: llvm asm cuda ptx");
  bool emits = options.stopAfter.empty() || options.stopAfter == "emit";
  if (!options.kernels.empty() && (!emits || options.from == "pack"))
    throw Error(Fault::Usage,
                "--kernels is for phase 'emit', which " + (emits ? "lies before --from pack" : "does not run with --stop-after " + options.stopAfter));
}

void checkTargets(const CompileOptions& options, const std::vector<std::string>& targets) {
  checkDebugInfo(options, targets);
  checkWeightsAsTargets(options, targets);
  checkKernelsTargets(options, targets);
}

} // namespace moec::compiler
