#pragma once
// A training on disk: out/checkpoints/step-00000100/ with weights.safetensors, state.safetensors (the optimizer's, the average's) and, written last, training.json, which names the two with size and
// digest. A folder without it, or whose files are not those that it names, is no checkpoint.

#include "runtime/core/Tensor.h"
#include "runtime/data/Order.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace moec::train {

struct Checkpoint {
  TensorMap weights, state;
  std::optional<TensorMap> average;      // an exponential moving average of the weights
  int64_t step = 0;
  data::Place place;                     // of the next record
  uint64_t seed = 0;
  std::string model;                     // a digest of the model as it was built
  std::string data;                      // Dataset::digest()
  std::string target;                    // "cpu:x86-64-v4": the same bits are promised on it alone
  std::optional<double> bestLoss;
  int64_t bestStep = 0, evaluationsSinceBest = 0;
};

/// Nothing in it depends on time or place: equal trainings write equal bytes. Error(System) when the disk is full; what was there before still is.
void writeCheckpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint);
/// Error(Data) naming the file for what is missing, damaged or of a later version.
Checkpoint readCheckpoint(const std::filesystem::path& folder);

/// Whole checkpoints below out/checkpoints, the latest last.
std::vector<std::filesystem::path> listCheckpoints(const std::filesystem::path& out);
/// Deletes all but the last `keep` and the one of `best`; unfinished ones too. training.json goes first.
void pruneCheckpoints(const std::filesystem::path& out, int64_t keep, int64_t best);

} // namespace moec::train
