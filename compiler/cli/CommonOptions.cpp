#include "compiler/cli/CommonOptions.h"

#include "compiler/cli/Options.h"
#include "compiler/cli/ValueKinds.h"
#include "runtime/core/Error.h"
#include "runtime/core/WeightsAs.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>

namespace moec::cli {

namespace {

CLI::Option* addInitFlag(CLI::App& command, CommonOptions& options) {
  return checkInteger(addOption(command, "--init", options.init, "weights drawn by the model's init rules")->type_name("SEED"), 0, UINT64_MAX);
}

const CLI::Validator
    kWeightsAs([](std::string& text) { return WeightsAs::parse(text) ? std::string() : fmt::format("{}: expected {}", text, kWeightsAsWords); }, "");

/// "a, b" in its parts. A text that ends in a comma was meant to go on: the shell has split it at a blank.
void readTargets(const std::vector<std::string>& texts, std::vector<std::string>& targets) {
  for (const std::string& text : texts) {
    size_t begin = 0;
    while (begin <= text.size()) {
      if (text.empty())
        throw CLI::ValidationError("--target", "expected a target, as cpu or cuda:sm_90a; found an empty text");
      size_t end = std::min(text.find(',', begin), text.size());
      std::string part = text.substr(begin, end - begin);
      part.erase(0, part.find_first_not_of(' '));
      part.erase(part.find_last_not_of(' ') + 1);
      if (part.empty())
        throw CLI::ValidationError("--target", fmt::format("\"{}\" has nothing {}; write it without blanks, as cpu,cuda:sm_90a", text,
                                                           end == text.size() ? "behind its last comma" : "before a comma"));
      targets.push_back(part);
      begin = end + 1;
    }
  }
}

} // namespace

void addTargetFlag(CLI::App& command, CommonOptions& options, const std::string& words) {
  command
      .add_option_function<std::vector<std::string>>(
          "--target", [&options](const std::vector<std::string>& texts) { readTargets(texts, options.targets); }, words)
      ->allow_extra_args(false)
      ->type_name("TARGETS");
}

void addModelFlags(CLI::App& command, CommonOptions& options) {
  addOption(command, "file", options.file, "model.json or program.moec")->required()->type_name("MODEL");
  addTargetFlag(command, options, "compile for these, with commas between (default: this machine and cpu:x86-64-v3)");
  addOption(command, "--moefy", options.moefy, "replace every dense mlp by experts, as experts=4,top_k=2,gate=gshard,hidden=32")->type_name("RULE");
  addFlag(command, "--no-cache", options.noCache, "neither read nor write the caches of programs and kernels");
  addOption(command, "--cache-limit", options.cacheLimit,
            "what the caches may take, as 500M or 4G; what was used least goes first (default: $MOEC_CACHE_LIMIT, or 4G)")
      ->type_name("SIZE");
  addOption(command, "--tuning", options.tuning,
            "schedules that `moec tune` measured on this CPU, from this file; off: the cost model's alone (default: $MOEC_TUNING, or tuning.jsonl beside "
            "the caches)")
      ->type_name("TUNING");
  addFlag(command, "-g", options.debugInfo, "CPU kernels know their lines in the model, for debuggers and profilers");
  addFlag(command, "--invariant", options.invariant,
          "a row's results are the same bits whatever rows stand beside it, or nothing is compiled; `moec inspect` says what holds without");
  addFlag(command, "-q,--quiet", options.quiet, "no progress on stderr");
}

void addWeightsAsFlag(CLI::App& command, CommonOptions& options) {
  addOption(command, "--weights-as", options.weightsAs,
            "keep weights of products as bf16, as int8 with a scale for each 32 of the depth, or int8:GROUP; not gates', and only of f32 models on CPUs")
      ->type_name("FORMAT")
      ->check(kWeightsAs);
}

void addTrainFlags(CLI::App& command, CommonOptions& options, const std::string& words) {
  auto* train = addFlag(command, "--train", options.train, words);
  addFlag(command, "--accumulate", options.accumulate, "with --train: gradients add up over several calls until they are applied")->needs(train);
  addFlag(command, "--recompute", options.recompute,
          "with --train: what is cheap is computed again on the way back, not kept for it: mostly less memory, more work")
      ->needs(train);
}

void addEvaluateFlags(CLI::App& command, CommonOptions& options, const std::string& words) {
  addFlag(command, "--evaluate", options.evaluate, words);
  addFlag(command, "--statistics", options.statistics, "with --train or --evaluate: how many choices each expert took, and how many none did, are results too");
}

void addContextFlags(CLI::App& command, CommonOptions& options, const std::string& words) {
  auto* context = addOption(command, "--context", options.context, words)->type_name("TOKENS");
  checkInteger(context, 1, INT64_MAX);
  auto* batch = addOption(command, "--batch", options.batch, "with --context: how many texts are continued at once (default: 1)")->type_name("COUNT");
  checkInteger(batch, 1, INT64_MAX)->needs(context);
}

void addGenerateFlags(CLI::App& command, CommonOptions& options) {
  addFlag(command, "--generate", options.generate, "the plan for generation, of a program that has one; of a model, name --context");
  addContextFlags(command, options, "of a model: the plan for generation of texts of so many tokens at most");
}

void addEmaFlag(CLI::App& command, CommonOptions& options) {
  addOption(command, "--ema", options.ema,
            "with --train: keep averages of the parameters, of which so much stays in a step, as 0.999; 0: none (default: as the model says)")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0))
      ->needs("--train");
}

void addNonFiniteFlag(CLI::App& command, CommonOptions& options) {
  addOption(command, "--non-finite", options.nonFinite,
            "error: router logits that are no finite numbers end a call, with the gate's name and their count (default: count, where --statistics are told)")
      ->type_name("LOGITS")
      ->check(CLI::IsMember(wordsOf("LOGITS")));
}

void addTraceFlag(CLI::App& command, CommonOptions& options) {
  addOption(command, "--trace", options.trace, "write what happened when and on which thread, for ui.perfetto.dev or chrome://tracing")->type_name("TRACE");
}

void addSaveWeightsFlag(CLI::App& command, CommonOptions& options) {
  auto* init = command.get_option_no_throw("--init");
  addOption(command, "--save-weights", options.saveWeights, "write the weights of --init to a safetensors file, for --weights")
      ->type_name("TENSORS")
      ->needs(init ? init : addInitFlag(command, options));
}

void addWeightFlags(CLI::App& command, CommonOptions& options) {
  auto* weights = addOption(command, "--weights", options.weights, "weights from a safetensors file")->type_name("TENSORS");
  addInitFlag(command, options)->excludes(weights);
  addFlag(command, "--allow-nonfinite", options.allowNonFinite, "accept NaN and infinities in weights");
}

void addInputFlags(CLI::App& command, CommonOptions& options) {
  addOption(command, "--input", options.inputs, "an input from a PNG, JPEG, .npy, safetensors or JSON file; once per input")
      ->allow_extra_args(false)
      ->type_name("NAME=FILE");
  addOption(command, "--draws", options.draws, "random draws from a safetensors file, by their paths in the model, instead of from --seed")
      ->type_name("TENSORS");
  addSeedFlag(command, options, "seed of random draws (default 0)");
}

void addSeedFlag(CLI::App& command, CommonOptions& options, const std::string& words) {
  checkInteger(addOption(command, "--seed", options.seed, words)->type_name("N"), 0, UINT64_MAX);
}

void addDeviceFlags(CLI::App& command, CommonOptions& options) {
  addOption(command, "--device", options.device, "where to run, see `moec devices` (default cpu)")->type_name("DEVICE");
  checkInteger(addOption(command, "--threads", options.threads, "threads (default: as many as this process may use)")->type_name("N"), 1, 4096);
  auto* instructions = addOption(command, "--max-instructions", options.maxInstructions,
                                 "ptx-emulator: a launch that executes more instructions of warps is taken to hang (default 20000000000)");
  checkInteger(instructions->type_name("N"), 1, UINT64_MAX);
}

void addSizeFlag(CLI::App& command, CommonOptions& options) {
  addOption(command, "--size", options.sizes, "a symbolic size, as batch=8; once per size")->allow_extra_args(false)->type_name("NAME=N");
}

void addJsonFlag(CLI::App& command, CommonOptions& options) { addFlag(command, "--json", options.json, "print JSON"); }

std::pair<std::string, std::string> splitAssignment(const std::string& text, const std::string& flag) {
  size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    throw Error(Fault::Usage, fmt::format("{} {}: expected NAME=VALUE", flag, text));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::map<std::string, int64_t, std::less<>> parseSizes(const CommonOptions& options) {
  std::map<std::string, int64_t, std::less<>> result;
  for (const std::string& text : options.sizes) {
    auto [name, value] = splitAssignment(text, "--size");
    int64_t size = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), size);
    if (error != std::errc{} || end != value.data() + value.size() || size < 1)
      throw Error(Fault::Usage, fmt::format("--size {}: expected a positive integer, found {}", text, value));
    if (!result.emplace(name, size).second)
      throw Error(Fault::Usage, fmt::format("--size {}: {} is given twice", text, name));
  }
  return result;
}

} // namespace moec::cli
