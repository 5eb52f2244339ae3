#pragma once
// A training on disk: out/checkpoints/step-00000100/ with weights.safetensors, state.safetensors (the optimizer's, an average of the weights among it) and,
// written last, training.json, which names the two with size and digest. A folder without it, or whose files are not those that it names, is no checkpoint.

#include "runtime/core/Tensor.h"
#include "runtime/data/Order.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace moec::train {

/// The evaluation with the least loss so far; the first of equals.
struct BestEvaluation {
  int64_t step = 0, records = 0;
  double loss = 0;
  std::optional<double> accuracy;
  bool operator==(const BestEvaluation&) const = default;
};

/// What a training is of: it goes on with equal ones alone.
struct Identity {
  std::string model;     // name and digest of the model as it was built
  std::string optimizer; // as the model's file has it, and what states it keeps
  std::string data;      // digests of what is learnt from and what is validated with
  uint64_t seed = 0;
  bool operator==(const Identity&) const = default;
};

/// How many steps a training by epochs was foretold, which its schedule follows, and what that was made for. Its steps may be fewer: batches of nothing but bad
/// records are none.
struct Length {
  int64_t steps = 0, batch = 0, accumulate = 0;
  bool dropLast = false;
  int64_t epochs = 0;
  bool operator==(const Length&) const = default;
};

struct Checkpoint {
  TensorMap weights, state;
  int64_t step = 0;
  data::Place place; // of the next record
  Identity identity;
  std::string target; // "cpu:x86-64-v4": the same bits are promised on it alone
  std::optional<BestEvaluation> best;
  int64_t evaluationsSinceBest = 0;
  int64_t evaluated = -1;       // the step of the last evaluation; -1: there was none
  std::optional<Length> length; // of a training by epochs
  std::string record = {};      // digest of what it recorded of its gates' choices up to here; empty: it recorded none
};

/// Nothing in it depends on time or place: equal trainings write equal bytes. Error(System) when the disk is full; what was there before still is.
void writeCheckpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint);
/// The same of a whole checkpoint that has these weights and states already: only what is said of them changes, and it is whole at any moment.
void rewriteCheckpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint);
/// Error(Data) naming the file for what is missing, damaged or of a later version.
Checkpoint readCheckpoint(const std::filesystem::path& folder);

/// out/checkpoints/step-00000100
std::filesystem::path checkpointFolder(const std::filesystem::path& out, int64_t step);
/// Its step; nothing for a folder of another name.
std::optional<int64_t> stepOf(const std::filesystem::path& folder);
/// Whole checkpoints below out/checkpoints, the latest last. Sizes are looked at; readCheckpoint() holds bytes to their digests.
std::vector<std::filesystem::path> listCheckpoints(const std::filesystem::path& out);
/// Deletes all but the last `keep` and the one of step `best`; unfinished ones too. training.json goes first.
void pruneCheckpoints(const std::filesystem::path& out, int64_t keep, int64_t best);

/// The weights that a training begins with: a file, or that of a checkpoint whose folder is named.
std::filesystem::path weightsFile(const std::filesystem::path& named);

/// The averages of the weights among the states ("p.average" of each parameter p), by parameter and of its dtype; of a parameter that has none, the weight
/// itself. Nothing when no parameter has one.
std::optional<TensorMap> averagedWeights(const TensorMap& weights, const TensorMap& state);

} // namespace moec::train
