#pragma once
// What a training is told, by flags or a file: one table of names, types, ranges and words drives both (docs/TRAINING.md holds it too).

#include "runtime/core/Plan.h"
#include "runtime/data/Loader.h"
#include "runtime/data/OpenData.h"
#include "runtime/train/Schedule.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace moec::train {

struct Config {
  data::DataOptions data; // its seed is that of the training
  data::BadRecords badRecords = data::BadRecords::Fail;
  int64_t batch = 64;
  bool dropLast = false;         // leaves out the last batch of an epoch where it is not full
  int64_t accumulate = 1;        // batches of a step; the last step of an epoch may have fewer
  int64_t steps = 0;             // in all, also after a resume; 0: by epochs
  int64_t epochs = 0;            // with steps 0; both 0: 1500 steps
  Schedule schedule;             // its total follows from steps
  uint64_t seed = 0;             // of weights, draws and the order of records
  std::filesystem::path weights; // begins with these; empty: drawn by the seed
  int64_t evaluateEvery = 0;     // steps; 0: with every epoch. At the end in any case
  int64_t patience = 0;          // evaluations without a better loss before it stops; 0: never
  int64_t checkpointEvery = 0;   // steps; 0: with every evaluation (without data to validate: every epoch). At the end in any case
  int64_t keep = 3;              // checkpoints; besides the best
  std::optional<double>
      ema; // decay of an average of the weights, which is then evaluated, and kept with the optimizer's states; 0: none; nothing: as the model says
  bool tensorboard = false;
  std::filesystem::path record, replay;               // of what gates choose in each step: a file to write, and one to take it from; empty: none
  NonFiniteLogits nonFinite = NonFiniteLogits::Count; // what a gate's logit that is no finite number does

  // How the model is compiled: what a training needs to be taken up again.
  std::map<std::string, int64_t> let;
  std::string moefy;
  bool recompute = false;
  std::string device = "cpu";

  std::filesystem::path model; // the model's file, kept as out/model.json; no key of train.json
  std::filesystem::path out;   // no key of train.json either
};

/// A key of train.json. The flag of the same meaning is the key with hyphens.
struct ConfigKey {
  std::string name;               // "evaluate_every"
  std::string type;               // "integer", "number", "boolean", "word", "text", "path", "object of texts", "object of integers"
  std::string range;              // "at least 1"; empty: any
  std::vector<std::string> words; // of a word
  std::string standard;           // what it is when nobody says, as JSON
  std::string doc;                // one line
};
const std::vector<ConfigKey>& configKeys();

/// One value from a flag's text. Error(Usage) "--batch 0: expected an integer that is at least 1"; Error(Internal) for no key of the table, and for objects.
void setConfig(Config& config, const std::string& key, const std::string& text);
/// Error(Usage) for a value out of its range, and for values that do not go together.
void checkConfig(const Config& config);

/// Reads a train.json over `config`: what it does not name stays. Error(Data) "train.json:3:12: ..." for unknown keys (with the nearest), wrong types and
/// values out of range.
void readConfig(const std::filesystem::path& file, Config& config);
/// The same of a text; `where` begins every message.
void parseConfig(const std::string& text, const std::string& where, Config& config);
/// The whole of it as JSON, which readConfig() reads back.
std::string toJson(const Config& config);

} // namespace moec::train
