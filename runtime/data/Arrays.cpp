#include "runtime/data/Sources.h"

#include "runtime/core/Digest.h"
#include "runtime/core/NearestName.h"
#include "runtime/data/SourceFile.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/MappedFile.h"
#include "runtime/io/Npy.h"
#include "runtime/io/SafeTensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

namespace moec::data {

namespace {

/// An array in a file: where it begins, or itself where its bytes cannot be told from the file's (they stood unaligned and were copied).
struct StoredArray {
  std::string name;
  SourceFilePtr file;
  DType dtype = DType::F32;
  Shape shape;
  int64_t offset = -1;
  Tensor copy;
  bool shared = false;
};

StoredArray stored(const std::string& name, const SourceFilePtr& file, const Tensor& tensor, std::span<const uint8_t> bytes) {
  StoredArray array{name, file, tensor.dtype(), tensor.shape(), -1, {}};
  auto* begin = static_cast<const uint8_t*>(tensor.data());
  if (begin >= bytes.data() && begin + tensor.bytes() <= bytes.data() + bytes.size())
    array.offset = begin - bytes.data();
  else
    array.copy = tensor.clone();
  return array;
}

std::vector<StoredArray> arraysOfFile(const std::filesystem::path& path) {
  SourceFilePtr file = SourceFile::open(path);
  MappedFile mapped = MappedFile::open(path);
  std::vector<StoredArray> arrays;
  switch (fileKind(mapped.bytes())) {
  case FileKind::Npy:
    arrays.push_back(stored(path.stem().string(), file, parseNpy(mapped.bytes(), mapped.owner(), path.string()), mapped.bytes()));
    break;
  case FileKind::SafeTensors:
    for (const auto& [name, tensor] : parseSafeTensors(mapped.bytes(), mapped.owner(), path.string()))
      arrays.push_back(stored(name, file, tensor, mapped.bytes()));
    break;
  default:
    throw Error(Fault::Data, fmt::format("{}: expected .npy or safetensors, found {}", path.string(), describeFirstBytes(mapped.bytes())));
  }
  return arrays;
}

bool isArrayFile(const std::filesystem::path& path) { return path.extension() == ".npy" || path.extension() == ".safetensors"; }

std::vector<StoredArray> arraysOf(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path))
    return arraysOfFile(path);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    if (isArrayFile(entry.path()))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty())
    throw Error(Fault::Data, fmt::format("{}: no .npy and no .safetensors file stands here", path.string()));
  std::vector<StoredArray> arrays;
  for (const auto& file : files)
    for (StoredArray& array : arraysOfFile(file)) {
      auto same = std::find_if(arrays.begin(), arrays.end(), [&](const StoredArray& known) { return known.name == array.name; });
      if (same != arrays.end())
        throw Error(Fault::Data, fmt::format("{}: an array \"{}\" stands in {} too", file.string(), array.name, same->file->path().string()));
      arrays.push_back(std::move(array));
    }
  return arrays;
}

Field fieldOf(const StoredArray& array) {
  return {array.name, array.dtype, Shape(array.shape.begin() + (array.shared ? 0 : 1), array.shape.end()), std::nullopt, {}, array.shared};
}

class Arrays : public Dataset {
public:
  Arrays(std::filesystem::path path, std::vector<StoredArray> arrays) : path_(std::move(path)), arrays_(std::move(arrays)) {
    auto first = std::find_if(arrays_.begin(), arrays_.end(), [](const StoredArray& array) { return !array.shared; });
    if (first == arrays_.end())
      throw Error(Fault::Usage, fmt::format("{}: no array with records is asked for", path_.string()));
    size_ = first->shape[0];
    for (const StoredArray& array : arrays_) {
      if (!array.shared && array.shape[0] != size_)
        throw Error(Fault::Data, fmt::format("{}: \"{}\" has {} records, \"{}\" has {}", path_.string(), array.name, array.shape[0], first->name, size_));
      fields_.push_back(fieldOf(array));
      bytes_.push_back(static_cast<int64_t>(byteSize(array.dtype)));
      for (int64_t extent : fields_.back().shape)
        bytes_.back() *= extent;
    }
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return size_; }

  void read(int64_t record, std::span<std::byte* const> fields) const override {
    if (record < 0 || record >= size())
      throw Error(Fault::Usage, fmt::format("{}: there is no record {}", path_.string(), record));
    for (size_t i = 0; i < arrays_.size(); ++i) {
      const StoredArray& array = arrays_[i];
      if (bytes_[i] == 0)
        continue;
      int64_t begin = array.shared ? 0 : record * bytes_[i];
      if (array.offset >= 0)
        array.file->read(array.offset + begin, {fields[i], static_cast<size_t>(bytes_[i])});
      else
        std::memcpy(fields[i], static_cast<const std::byte*>(array.copy.data()) + begin, static_cast<size_t>(bytes_[i]));
    }
  }

  std::string digest() const override {
    std::string parts = "arrays";
    for (const StoredArray& array : arrays_)
      parts += fmt::format(" {} {} {} {}", array.name, array.offset, array.shared, array.file->digest());
    return digestOf(parts).hex();
  }

  std::string describe() const override {
    std::string parts;
    for (const Field& field : fields_)
      parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", field.name, moec::describe(field.dtype, field.shape));
    return fmt::format("{}: {} records of {}", path_.filename().string(), size(), parts);
  }
  std::string placeOf(int64_t record) const override { return fmt::format("{}: record {}", path_.string(), record); }

private:
  std::filesystem::path path_;
  std::vector<StoredArray> arrays_;
  int64_t size_ = 0;
  std::vector<Field> fields_;
  std::vector<int64_t> bytes_; // of a record, by array
};

} // namespace

std::vector<Field> listArrays(const std::filesystem::path& path) {
  std::vector<Field> fields;
  for (const StoredArray& array : arraysOf(path))
    fields.push_back({array.name, array.dtype, array.shape, std::nullopt, {}});
  return fields;
}

DatasetPtr openArrays(const std::filesystem::path& path, const std::vector<std::string>& names, const std::vector<std::string>& shared) {
  std::vector<StoredArray> all = arraysOf(path), chosen;
  std::vector<std::string> known;
  for (const StoredArray& array : all)
    known.push_back(array.name);
  for (const std::string& name : names) {
    auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end())
      throw Error(Fault::Data, fmt::format("{}: no array \"{}\" among {}{}", path.string(), name, fmt::join(known, ", "), didYouMean(name, known)));
    StoredArray& array = all[static_cast<size_t>(found - known.begin())];
    array.shared = std::find(shared.begin(), shared.end(), name) != shared.end();
    if (!array.shared && (array.shape.empty() || array.shape[0] == 0))
      throw Error(Fault::Data, fmt::format("{}: \"{}\" is {}, which has no records; they are counted by the first size", array.file->path().string(), name,
                                           moec::describe(array.dtype, array.shape)));
    chosen.push_back(array);
  }
  if (chosen.empty())
    throw Error(Fault::Usage, fmt::format("{}: no array is asked for", path.string()));
  return std::make_shared<Arrays>(path, std::move(chosen));
}

} // namespace moec::data
