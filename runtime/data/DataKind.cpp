#include "runtime/data/DataKind.h"

#include "runtime/core/NearestName.h"
#include "runtime/data/PictureFolders.h"
#include "runtime/data/SourceFile.h"
#include "runtime/io/FileKind.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace moec::data {

namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
bool isTable(const fs::path& path) { return path.extension() == ".csv" || path.extension() == ".tsv"; }

DataKind kindOfFile(const fs::path& path) {
  SourceFilePtr file = SourceFile::open(path);
  std::array<uint8_t, 4096> buffer{};
  std::span<uint8_t> bytes = std::span(buffer).first(static_cast<size_t>(std::min<int64_t>(file->size(), buffer.size())));
  file->read(0, std::as_writable_bytes(bytes));
  std::string name = path.filename().string();
  auto unknown = [&](const std::string& what) {
    return Error(
        Fault::Data,
        fmt::format(
            "{}: found {}; data to learn from are a text, a table (.csv), arrays (.npy, .safetensors), MNIST's or CIFAR's files, or a folder of pictures",
            path.string(), what));
  };
  switch (fileKind(bytes)) {
  case FileKind::Npy:
  case FileKind::SafeTensors:
    return DataKind::Arrays;
  case FileKind::Png:
  case FileKind::Jpeg:
    throw unknown("one picture");
  case FileKind::Program:
    throw unknown("a compiled program");
  default:
    break;
  }
  if (isTable(path))
    return DataKind::Csv;
  if (bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] >= 8 && bytes[2] <= 14 && bytes[3] >= 1 && bytes[3] <= 4)
    return DataKind::Idx;
  if (bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b && contains(name, "idx"))
    return DataKind::Idx;
  if (path.extension() == ".bin")
    return DataKind::Cifar;
  if (std::find(bytes.begin(), bytes.end(), 0) != bytes.end() || (bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b))
    throw unknown(describeFirstBytes(bytes));
  return DataKind::Text;
}

bool holdsText(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".txt")
      return true;
  return false;
}

DataKind kindOfFolder(const fs::path& folder) {
  bool cifar = false, idx = false, arrays = false, pictures = false, tables = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (entry.is_directory()) {
      pictures = pictures || (!name.starts_with('.') && holdsPictures(entry.path(), 3));
      continue;
    }
    cifar = cifar || name == "data_batch_1.bin" || name == "train.bin";
    idx = idx || (contains(name, "images") && contains(name, "idx3"));
    arrays = arrays || entry.path().extension() == ".npy" || entry.path().extension() == ".safetensors";
    tables = tables || isTable(entry.path());
  }
  std::vector<std::string> found;
  for (auto [holds, kind] :
       {std::pair(cifar, DataKind::Cifar), {idx, DataKind::Idx}, {arrays, DataKind::Arrays}, {pictures, DataKind::Pictures}, {tables, DataKind::Csv}})
    if (holds)
      found.push_back(name(kind));
  if (found.size() > 1)
    throw Error(Fault::Usage, fmt::format("{}: could be data of several kinds: {}; say which (\"kind\"), or name a folder or file in it", folder.string(),
                                          fmt::join(found, ", ")));
  if (found.size() == 1)
    return parseDataKind(found[0]);
  if (holdsText(folder))
    return DataKind::Text;
  if (std::any_of(fs::directory_iterator(folder), fs::directory_iterator(), [](const auto& entry) { return isPictureFile(entry.path()); }))
    throw Error(Fault::Data, fmt::format("{}: pictures without a class; put those of each class into a folder of their own", folder.string()));
  throw Error(Fault::Data,
              fmt::format("{}: no data to learn from: no *.txt, no pictures in folders, no .csv, .npy or .safetensors, none of MNIST's or CIFAR's files",
                          folder.string()));
}

} // namespace

const std::vector<std::string>& dataKindNames() {
  static const std::vector<std::string> names = {"text", "images", "idx", "cifar", "arrays", "csv"};
  return names;
}

DataKind parseDataKind(const std::string& word) {
  const std::vector<std::string>& names = dataKindNames();
  auto found = std::find(names.begin(), names.end(), word);
  if (found == names.end())
    throw Error(Fault::Usage, fmt::format("\"{}\" is no kind of data; there are {}{}", word, fmt::join(names, ", "), didYouMean(word, names)));
  return static_cast<DataKind>(found - names.begin());
}

const std::string& name(DataKind kind) { return dataKindNames()[static_cast<size_t>(kind)]; }

DataKind findDataKind(const fs::path& path) {
  try {
    return fs::is_directory(path) ? kindOfFolder(path) : kindOfFile(path);
  } catch (const fs::filesystem_error& error) {
    throw Error(Fault::Data, fmt::format("{}: cannot read: {}", error.path1().string(), error.code().message()));
  }
}

} // namespace moec::data
