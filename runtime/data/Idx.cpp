#include "runtime/data/Sources.h"

#include "runtime/core/Digest.h"
#include "runtime/data/SourceFile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace moec::data {

namespace {

/// Sizes of a file that holds bytes; they are all that it holds besides its header.
struct Idx {
  SourceFilePtr file;
  Shape sizes;
  int64_t offset = 0; // of the first number
};

const char* typeName(int type) {
  switch (type) {
  case 0x09:
    return "signed bytes";
  case 0x0B:
    return "16-bit integers";
  case 0x0C:
    return "32-bit integers";
  case 0x0D:
    return "32-bit floats";
  case 0x0E:
    return "64-bit floats";
  default:
    return nullptr;
  }
}

Idx openHeader(const std::filesystem::path& path) {
  Idx idx{SourceFile::open(path, true), {}, 0};
  auto wrong = [&](const std::string& what) { return Error(Fault::Data, fmt::format("{}: {}", path.string(), what)); };
  std::array<uint8_t, 4> magic{};
  if (idx.file->size() < 4)
    throw wrong(fmt::format("{} bytes are no IDX file", idx.file->size()));
  idx.file->read(0, std::as_writable_bytes(std::span(magic)));
  if (magic[0] != 0 || magic[1] != 0 || (magic[2] != 0x08 && !typeName(magic[2])))
    throw wrong(fmt::format("begins with {:02x} {:02x} {:02x} {:02x}; an IDX file begins with 00 00, a type and the number of sizes", magic[0], magic[1],
                            magic[2], magic[3]));
  if (magic[2] != 0x08)
    throw wrong(fmt::format("holds {}; only IDX files of bytes (type 08) are read", typeName(magic[2])));
  int64_t rank = magic[3];
  idx.offset = 4 + 4 * rank;
  if (rank == 0 || idx.file->size() < idx.offset)
    throw wrong(fmt::format("the header tells of {} sizes, the file has {} bytes", rank, idx.file->size()));
  int64_t numbers = 1, room = idx.file->size() - idx.offset;
  for (int64_t i = 0; i < rank; ++i) {
    std::array<uint8_t, 4> bytes{};
    idx.file->read(4 + 4 * i, std::as_writable_bytes(std::span(bytes)));
    idx.sizes.push_back(int64_t{bytes[0]} << 24 | int64_t{bytes[1]} << 16 | int64_t{bytes[2]} << 8 | bytes[3]);
  }
  if (std::count(idx.sizes.begin(), idx.sizes.end(), 0))
    throw wrong(fmt::format("holds no records: its sizes are {}", fmt::join(idx.sizes, " x ")));
  for (int64_t size : idx.sizes)
    numbers = numbers > room / size ? room + 1 : numbers * size; // past the file's end it does not matter how far
  if (numbers != room)
    throw wrong(fmt::format("the header tells of {} bytes behind it, the file has {}", fmt::join(idx.sizes, " x "), room));
  return idx;
}

class IdxImages : public Dataset {
public:
  IdxImages(Idx images, std::optional<Idx> labels) : images_(std::move(images)) {
    Shape shape(images_.sizes.begin() + 1, images_.sizes.end());
    bytes_ = (images_.file->size() - images_.offset) / size();
    bool picture = shape.size() == 2 || (shape.size() == 3 && (shape[0] == 1 || shape[0] == 3));
    fields_.push_back({"image", DType::U8, shape, 256, {}, false, picture});
    if (labels) {
      labels_.resize(static_cast<size_t>(size()));
      labels->file->read(labels->offset, std::as_writable_bytes(std::span(labels_)));
      fields_.push_back({"label", DType::I64, {}, *std::max_element(labels_.begin(), labels_.end()) + int64_t{1}, {}});
    }
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return images_.sizes[0]; }

  void read(int64_t record, std::span<std::byte* const> fields) const override {
    if (record < 0 || record >= size())
      throw Error(Fault::Usage, fmt::format("{}: there is no image {}", images_.file->path().string(), record));
    images_.file->read(images_.offset + record * bytes_, {fields[0], static_cast<size_t>(bytes_)});
    if (!labels_.empty()) {
      int64_t label = labels_[static_cast<size_t>(record)];
      std::memcpy(fields[1], &label, sizeof label);
    }
  }

  std::string digest() const override { return digestOf("idx " + images_.file->digest() + " " + digestOf({labels_.data(), labels_.size()}).hex()).hex(); }

  std::string describe() const override {
    std::string classes = fields_.size() > 1 ? fmt::format(" of {} classes", *fields_[1].below) : "";
    return fmt::format("{}: {} images{}", images_.file->path().filename().string(), size(), classes);
  }
  std::string placeOf(int64_t record) const override { return fmt::format("{}: image {}", images_.file->path().string(), record); }

private:
  Idx images_;
  int64_t bytes_ = 0; // of an image
  std::vector<uint8_t> labels_;
  std::vector<Field> fields_;
};

/// `name` with the last `from` in it replaced; empty where there is none.
std::string renamed(std::string name, std::string_view from, std::string_view to) {
  size_t at = name.rfind(from);
  return at == std::string::npos ? "" : name.replace(at, from.size(), to);
}

DatasetPtr openPair(const std::filesystem::path& images) {
  Idx first = openHeader(images);
  if (first.sizes.size() < 2)
    throw Error(Fault::Data,
                fmt::format("{}: holds {} numbers, no images; name the file of images, its labels are found beside it", images.string(), first.sizes[0]));
  std::string name = images.filename().string(), beside = renamed(name, "images", "labels");
  if (std::string numbered = renamed(beside, "idx3", "idx1"); !numbered.empty())
    beside = numbered;
  if (beside.empty())
    return std::make_shared<IdxImages>(std::move(first), std::nullopt);
  std::filesystem::path path = images.parent_path() / beside;
  if (!std::filesystem::exists(path)) { // one of the two may be packed
    std::filesystem::path other = path.extension() == ".gz" ? std::filesystem::path(path).replace_extension() : std::filesystem::path(path.string() + ".gz");
    if (!std::filesystem::exists(other))
      throw Error(Fault::Data, fmt::format("{}: its labels, {}, do not stand beside it", images.string(), beside));
    path = other;
  }
  Idx labels = openHeader(path);
  if (labels.sizes.size() != 1)
    throw Error(Fault::Data, fmt::format("{}: its sizes are {}; labels have one", path.string(), fmt::join(labels.sizes, " x ")));
  if (labels.sizes[0] != first.sizes[0])
    throw Error(Fault::Data, fmt::format("{}: {} labels for the {} images of {}", path.string(), labels.sizes[0], first.sizes[0], name));
  return std::make_shared<IdxImages>(std::move(first), std::move(labels));
}

} // namespace

Parts openIdx(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path))
    return {openPair(path), nullptr};
  std::vector<std::string> train, held, names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    std::string name = entry.path().filename().string();
    if (name.find("images") == std::string::npos || name.find("idx3") == std::string::npos)
      continue;
    names.push_back(name);
    bool isTest = name.find("t10k") != std::string::npos || name.find("test") != std::string::npos;
    (isTest ? held : train).push_back(name);
  }
  std::sort(names.begin(), names.end());
  if (names.empty())
    throw Error(Fault::Data, fmt::format("{}: no file of images (\"images\" and \"idx3\" in its name) stands here", path.string()));
  if (train.empty())
    std::swap(train, held);
  if (train.size() > 1 || held.size() > 1)
    throw Error(Fault::Data, fmt::format("{}: several files of images: {}; name the one to learn from", path.string(), fmt::join(names, ", ")));
  return {openPair(path / train[0]), held.empty() ? nullptr : openPair(path / held[0])};
}

} // namespace moec::data
