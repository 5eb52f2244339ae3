#include "runtime/train/Checkpoint.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"
#include "runtime/io/SafeTensors.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <set>
#include <system_error>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr const char *kWeights = "weights.safetensors", *kState = "state.safetensors", *kTraining = "training.json";

[[noreturn]] void failSystem(const fs::path& path, const char* doing, const std::error_code& code) {
  throw Error(Fault::System, fmt::format("{}: cannot {}: {}", path.string(), doing, code.message()));
}

[[noreturn]] void failData(const fs::path& path, const std::string& what) { throw Error(Fault::Data, path.string() + ": " + what); }

/// Without training.json first: from then on the folder is no checkpoint.
void removeCheckpoint(const fs::path& folder) {
  std::error_code code;
  if (fs::remove(folder / kTraining, code))
    syncFolder(folder);
  if (!code)
    fs::remove_all(folder, code);
  if (code)
    failSystem(folder, "remove the checkpoint", code);
}

/// What rewriteCheckpoint() had half written when it was killed.
void removeParts(const fs::path& folder) {
  std::error_code code;
  std::vector<fs::path> parts;
  for (fs::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code))
    if (entry->path().extension() == ".part")
      parts.push_back(entry->path()); // AtomicFile's
  for (const fs::path& part : parts)
    fs::remove(part, code);
}

/// A file as training.json names it.
Json describeFile(const fs::path& path) {
  MappedFile file = MappedFile::open(path);
  return {{"bytes", file.bytes().size()}, {"xxh3", digestOf(file.bytes()).hex()}};
}

/// training.json of the files beside it.
Json describeTraining(const fs::path& folder, const Checkpoint& checkpoint) {
  Json json = {{"version", kVersion},
               {"step", checkpoint.step},
               {"epoch", checkpoint.place.epoch},
               {"record", checkpoint.place.record},
               {"seed", checkpoint.identity.seed},
               {"model", checkpoint.identity.model},
               {"optimizer", checkpoint.identity.optimizer},
               {"data", checkpoint.identity.data},
               {"target", checkpoint.target}};
  if (const auto& best = checkpoint.best) {
    json["best"] = {{"step", best->step}, {"records", best->records}, {"loss", best->loss}};
    if (best->accuracy)
      json["best"]["accuracy"] = *best->accuracy;
  }
  json["evaluations_since_best"] = checkpoint.evaluationsSinceBest;
  if (checkpoint.evaluated >= 0)
    json["evaluated"] = checkpoint.evaluated;
  if (const auto& length = checkpoint.length)
    json["length"] = {
        {"steps", length->steps}, {"batch", length->batch}, {"accumulate", length->accumulate}, {"drop_last", length->dropLast}, {"epochs", length->epochs}};
  if (!checkpoint.record.empty())
    json["choices"] = checkpoint.record;
  json["files"] = {{kWeights, describeFile(folder / kWeights)}, {kState, describeFile(folder / kState)}};
  return json;
}

/// training.json, checked for its form.
Json readTraining(const fs::path& folder) {
  fs::path path = folder / kTraining;
  if (std::error_code code; !fs::exists(path, code))
    failData(folder, "no checkpoint: it has no training.json, which is written last");
  MappedFile file = MappedFile::open(path);
  Json json = Json::parse(file.bytes().begin(), file.bytes().end(), nullptr, false);
  if (!json.is_object())
    failData(path, "damaged: it is no JSON object");
  auto version = json.find("version");
  if (version == json.end() || !version->is_number_integer())
    failData(path, "damaged: it has no version");
  if (*version != kVersion)
    failData(path, fmt::format("version {} of a checkpoint, but this moec reads version {}: it was written by another one", version->dump(), kVersion));
  return json;
}

/// Members by type; what is missing or of another type is damage.
class Members {
public:
  Members(const Json& json, const fs::path& path) : json_(json), path_(path) {}
  template <class T> T get(const char* key) const {
    auto found = json_.find(key);
    bool fits = found != json_.end();
    if constexpr (std::is_same_v<T, std::string>)
      fits = fits && found->is_string();
    else if constexpr (std::is_same_v<T, bool>)
      fits = fits && found->is_boolean();
    else if constexpr (std::is_same_v<T, uint64_t>)
      fits = fits && found->is_number_unsigned();
    else if constexpr (std::is_same_v<T, int64_t>)
      fits = fits && found->is_number_unsigned() && found->template get<uint64_t>() <= uint64_t{1} << 62;
    else
      fits = fits && found->is_number();
    if (!fits)
      failData(path_, fmt::format("damaged: \"{}\" is missing, or no {}", key,
                                  std::is_same_v<T, std::string> ? "text"
                                  : std::is_same_v<T, bool>      ? "boolean"
                                                                 : "number that it can be"));
    return found->template get<T>();
  }
  Members object(const char* key) const {
    auto found = json_.find(key);
    if (found == json_.end() || !found->is_object())
      failData(path_, fmt::format("damaged: \"{}\" is missing, or no object", key));
    return {*found, path_};
  }
  bool has(const char* key) const { return json_.contains(key); }

private:
  const Json& json_;
  const fs::path& path_;
};

/// training.json is written at once, and last: where it is there and cannot be read, it is damaged, and no half of an interrupted one.
bool isWhole(const fs::path& folder) {
  std::error_code code;
  fs::path path = folder / kTraining;
  if (!fs::exists(path, code))
    return false;
  Json json = readTraining(folder);
  Members files = Members(json, path).object("files");
  for (const char* name : {kWeights, kState}) {
    auto bytes = fs::file_size(folder / name, code);
    if (code || bytes != files.object(name).get<uint64_t>("bytes"))
      return false;
  }
  return true;
}

/// Folders of out/checkpoints by step.
std::vector<fs::path> foldersBelow(const fs::path& out) {
  std::vector<fs::path> folders;
  std::error_code code;
  for (fs::directory_iterator entry(out / "checkpoints", code), end; !code && entry != end; entry.increment(code))
    if (stepOf(entry->path()) && entry->is_directory())
      folders.push_back(entry->path());
  if (code && code != std::errc::no_such_file_or_directory)
    failSystem(out / "checkpoints", "read the folder", code);
  std::ranges::sort(folders, {}, [](const fs::path& folder) { return *stepOf(folder); });
  return folders;
}

} // namespace

fs::path checkpointFolder(const fs::path& out, int64_t step) { return out / "checkpoints" / fmt::format("step-{:08}", step); }

std::optional<int64_t> stepOf(const fs::path& folder) {
  std::string name = folder.filename().string();
  if (!name.starts_with("step-"))
    return {};
  int64_t step = 0;
  const char* end = name.data() + name.size();
  auto [stop, error] = std::from_chars(name.data() + 5, end, step);
  if (error != std::errc() || stop != end || step < 0 || folder.filename() != checkpointFolder({}, step).filename())
    return {};
  return step;
}

void writeCheckpoint(const fs::path& folder, const Checkpoint& checkpoint) {
  std::error_code code;
  if (fs::exists(folder, code))
    removeCheckpoint(folder); // half of one that was interrupted
  fs::create_directories(folder, code);
  if (code)
    failSystem(folder, "make the folder", code);
  try {
    writeSafeTensors(folder / kWeights, checkpoint.weights);
    writeSafeTensors(folder / kState, checkpoint.state);
    writeFileAtomically(folder / kTraining, describeTraining(folder, checkpoint).dump(2) + "\n");
  } catch (...) {
    fs::remove_all(folder, code); // no checkpoint without training.json; its memory is wanted
    throw;
  }
  syncFolder(folder.parent_path());
  syncFolder(folder.parent_path().parent_path());
}

void rewriteCheckpoint(const fs::path& folder, const Checkpoint& checkpoint) {
  writeFileAtomically(folder / kTraining, describeTraining(folder, checkpoint).dump(2) + "\n");
  syncFolder(folder);
}

Checkpoint readCheckpoint(const fs::path& folder) {
  Json json = readTraining(folder);
  fs::path path = folder / kTraining;
  Members members(json, path);
  Checkpoint checkpoint;
  checkpoint.step = members.get<int64_t>("step");
  checkpoint.place = {members.get<int64_t>("epoch"), members.get<int64_t>("record")};
  checkpoint.identity = {members.get<std::string>("model"), members.get<std::string>("optimizer"), members.get<std::string>("data"),
                         members.get<uint64_t>("seed")};
  checkpoint.target = members.get<std::string>("target");
  if (members.has("best")) {
    Members best = members.object("best");
    checkpoint.best = {best.get<int64_t>("step"), best.get<int64_t>("records"), best.get<double>("loss"), {}};
    if (best.has("accuracy"))
      checkpoint.best->accuracy = best.get<double>("accuracy");
  }
  checkpoint.evaluationsSinceBest = members.get<int64_t>("evaluations_since_best");
  if (members.has("evaluated"))
    checkpoint.evaluated = members.get<int64_t>("evaluated");
  if (members.has("length")) { // by steps, and of an earlier moec, there is none
    Members length = members.object("length");
    checkpoint.length = {length.get<int64_t>("steps"), length.get<int64_t>("batch"), length.get<int64_t>("accumulate"), length.get<bool>("drop_last"),
                         length.get<int64_t>("epochs")};
  }
  if (members.has("choices"))
    checkpoint.record = members.get<std::string>("choices");
  Members files = members.object("files");
  auto tensors = [&](const char* name) {
    fs::path file = folder / name;
    Members about = files.object(name);
    if (std::error_code code; !fs::exists(file, code))
      failData(file, "missing: training.json beside it names it");
    MappedFile bytes = MappedFile::open(file);
    if (auto expected = about.get<uint64_t>("bytes"); bytes.bytes().size() != expected)
      failData(file, fmt::format("{} bytes, but training.json beside it says {}", bytes.bytes().size(), expected));
    if (auto expected = about.get<std::string>("xxh3"); digestOf(bytes.bytes()).hex() != expected)
      failData(file, fmt::format("damaged: its digest is {}, but training.json beside it says {}", digestOf(bytes.bytes()).hex(), expected));
    return parseSafeTensors(bytes.bytes(), bytes.owner(), file.string());
  };
  checkpoint.weights = tensors(kWeights);
  checkpoint.state = tensors(kState);
  return checkpoint;
}

fs::path weightsFile(const fs::path& named) {
  std::error_code code;
  return fs::is_directory(named, code) ? named / kWeights : named;
}

std::vector<fs::path> listCheckpoints(const fs::path& out) {
  std::vector<fs::path> folders = foldersBelow(out);
  std::erase_if(folders, [](const fs::path& folder) { return !isWhole(folder); });
  return folders;
}

void pruneCheckpoints(const fs::path& out, int64_t keep, int64_t best) {
  std::vector<fs::path> whole = listCheckpoints(out);
  std::set<fs::path> kept;
  for (size_t i = 0; i < whole.size(); ++i)
    if (static_cast<int64_t>(whole.size() - i) <= keep || stepOf(whole[i]) == best)
      kept.insert(whole[i]);
  for (const fs::path& folder : foldersBelow(out))
    if (kept.contains(folder))
      removeParts(folder);
    else
      removeCheckpoint(folder);
}

std::optional<TensorMap> averagedWeights(const TensorMap& weights, const TensorMap& state) {
  bool any = false;
  TensorMap averaged;
  for (const auto& [name, weight] : weights) {
    auto found = state.find(name + ".average");
    bool has = found != state.end() && found->second.shape() == weight.shape();
    averaged.emplace(name, has ? found->second.cast(weight.dtype()) : weight);
    any = any || has;
  }
  return any ? std::optional(std::move(averaged)) : std::nullopt;
}

} // namespace moec::train
