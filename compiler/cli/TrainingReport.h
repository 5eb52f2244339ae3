#pragma once
// A training in numbers, of one that just ran or of its folder: what `moec train` and `moec inspect DIR` print, and the page beside it.

#include "runtime/train/Config.h"
#include "runtime/train/History.h"
#include "runtime/train/Page.h"

#include <filesystem>
#include <optional>
#include <string>

namespace moec::cli {

struct TrainingReport {
  std::filesystem::path out;
  train::About about;
  train::History history;
  std::optional<std::filesystem::path> checkpoint; // the last whole one

  std::filesystem::path page() const { return out / "index.html"; }
};

/// Whether `path` is the folder of a training.
bool isTraining(const std::filesystem::path& path);
/// A training's folder as it is now. Error(Usage) for a folder that holds none, Error(Data) that names the damaged file and line.
TrainingReport readTraining(const std::filesystem::path& out);

/// The lines of a page's table that a configuration has.
std::vector<std::pair<std::string, std::string>> factsOf(const train::Config& config);
/// What a configuration says of its data: the file's name, or that they ship with moec.
std::string dataName(const train::Config& config);
/// The "name" of a model's file; the file's own where it has none, or cannot be read.
std::string modelName(const std::filesystem::path& model);

/// As docs/schemas/train.json says.
std::string reportJson(const TrainingReport& report);
std::string reportText(const TrainingReport& report);
/// index.html. Error(System).
void writePage(const TrainingReport& report);

} // namespace moec::cli
