#include "compiler/cli/GenerationSource.h"

#include "runtime/core/Error.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/OutFolder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

/// The checkpoint that `which` names, of those in a training's folder.
fs::path chooseCheckpoint(const fs::path& out, const std::string& which) {
  std::vector<fs::path> all = train::listCheckpoints(out);
  if (all.empty())
    throw Error(Fault::Usage, fmt::format("{} has no checkpoint: train on, or give --weights FILE or --init SEED", out.string()));
  if (which.empty() || which == "last")
    return all.back();
  std::optional<int64_t> step;
  if (which == "best") {
    auto best = train::readCheckpoint(all.back()).best;
    if (!best)
      throw Error(Fault::Usage, fmt::format("{}: its training has evaluated nothing, so no checkpoint is the best: take --checkpoint last", out.string()));
    step = best->step;
  } else {
    int64_t number = 0;
    auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
    if (error != std::errc() || end != which.data() + which.size())
      throw Error(Fault::Usage, fmt::format("--checkpoint {}: expected last, best or the number of a step", which));
    step = number;
  }
  std::vector<int64_t> steps;
  for (const fs::path& folder : all) {
    if (train::stepOf(folder) == step)
      return folder;
    steps.push_back(train::stepOf(folder).value_or(-1));
  }
  throw Error(Fault::Usage, fmt::format("{} has no checkpoint of step {}; it has those of {}", out.string(), *step, fmt::join(steps, ", ")));
}

data::TokenizerPtr namedTokenizer(const std::string& name) { return name == "bytes" ? data::byteTokenizer() : data::openTokenizer(name); }

GenerationSource sourceOfTraining(const GenerationFlags& flags) {
  train::Config config = train::readOutFolder(flags.file);
  if (config.model.empty())
    throw Error(Fault::Data, fmt::format("{}: its model.json is missing", flags.file.string()));
  if (!flags.moefy.empty())
    throw Error(Fault::Usage, fmt::format("--moefy changes a model, and {} is trained already", flags.file.string()));
  GenerationSource source{.file = config.model, .compile = {}, .tokenizer = nullptr, .checkpoint = {}, .weights = {}};
  source.compile.let = config.let;
  source.compile.moefy = config.moefy;
  if (!flags.tokenizer.empty())
    source.tokenizer = namedTokenizer(flags.tokenizer);
  else if (config.data.tokenizerInHand)
    source.tokenizer = config.data.tokenizerInHand;
  else if (config.data.tokenizer == "bytes")
    source.tokenizer = data::byteTokenizer();
  else
    throw Error(Fault::Usage, fmt::format("{} has no tokenizer: it was not trained on text. Give --tokenizer FILE", flags.file.string()));
  if (flags.weights || flags.init) {
    if (!flags.checkpoint.empty())
      throw Error(Fault::Usage, "--checkpoint and --weights or --init name different weights: leave one of them out");
    return source;
  }
  source.checkpoint = chooseCheckpoint(flags.file, flags.checkpoint);
  train::Checkpoint checkpoint = train::readCheckpoint(*source.checkpoint);
  auto averages = train::averagedWeights(checkpoint.weights, checkpoint.state);
  source.weights = averages ? std::move(*averages) : std::move(checkpoint.weights);
  return source;
}

} // namespace

GenerationSource findSource(const GenerationFlags& flags) {
  std::error_code code;
  if (fs::is_directory(flags.file, code))
    return sourceOfTraining(flags);
  if (!fs::exists(flags.file, code))
    throw Error(Fault::Data, fmt::format("{}: there is no such model, program or folder of a training", flags.file.string()));
  if (!flags.checkpoint.empty())
    throw Error(Fault::Usage, fmt::format("--checkpoint is of a training's folder, and {} is a file: give --weights FILE", flags.file.string()));
  if (flags.tokenizer.empty())
    throw Error(Fault::Usage, fmt::format("{} does not say what its tokens are: give --tokenizer FILE or --tokenizer bytes", flags.file.string()));
  return {.file = flags.file, .compile = {}, .tokenizer = namedTokenizer(flags.tokenizer), .checkpoint = {}, .weights = {}};
}

std::optional<int64_t> longestText(const Plan& plan) {
  std::optional<int64_t> most;
  for (const InputInfo& input : plan.inputs) {
    if (input.isDraw || input.dtype != DType::I64 || input.shape.size() != 2)
      continue;
    for (const SizeRule& rule : plan.rules)
      if (rule.atMost && rule.size.str() == input.shape[1].str())
        most = std::min(most.value_or(*rule.atMost), *rule.atMost);
  }
  return most;
}

} // namespace moec::cli
