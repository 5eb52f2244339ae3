#pragma once
// What a training is told, by flags or a file: one table of names, types, ranges and words drives both (docs/TRAINING.md is written from it).

#include "runtime/data/Loader.h"
#include "runtime/data/OpenData.h"
#include "runtime/train/Schedule.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace moec::train {

struct Config {
  data::DataOptions data;
  data::BadRecords badRecords = data::BadRecords::Fail;
  int64_t batch = 64;
  int64_t accumulate = 1;                // batches of a step
  int64_t steps = 0;                     // in all, also after a resume; 0: by epochs
  int64_t epochs = 0;                    // with steps 0; both 0: 1500 steps
  Schedule schedule;                     // its total follows from steps
  uint64_t seed = 0;                     // of weights, draws and the order of records
  std::filesystem::path weights;         // begins with these; empty: drawn by the seed
  int64_t evaluateEvery = 0;             // steps; 0: with every epoch, and at the end
  int64_t patience = 0;                  // evaluations without a better loss before it stops; 0: never
  int64_t checkpointEvery = 0;           // steps; 0: with every evaluation
  int64_t keep = 3;                      // checkpoints; besides the best
  double ema = 0;                        // decay of an average of the weights, which evaluations and checkpoints then hold too; 0: none
  bool tensorboard = false;
  std::filesystem::path out;
};

/// Reads a train.json over `config`: what it does not name stays. Error(Data) "train.json:3:12: ..." for unknown keys (with the nearest), wrong types and values out of range.
void readConfig(const std::filesystem::path& file, Config& config);
/// The whole of it as JSON, which readConfig() reads back.
std::string toJson(const Config& config);

} // namespace moec::train
