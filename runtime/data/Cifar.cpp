#include "runtime/data/Sources.h"

#include "runtime/core/Digest.h"
#include "runtime/data/SourceFile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace moec::data {

namespace {

constexpr int64_t kSide = 32, kPictureBytes = 3 * kSide * kSide;

/// A record: one label, or a coarse and a fine one; red, green and blue points.
struct Layout {
  int64_t labels; // bytes
  int64_t classes, coarseClasses;
  int64_t bytes() const { return labels + kPictureBytes; }
};
constexpr Layout kCifar10{1, 10, 0}, kCifar100{2, 100, 20};

/// Names of classes, a line each; none where the file is not there.
std::vector<std::string> classNames(const std::filesystem::path& path, int64_t classes) {
  if (!std::filesystem::exists(path))
    return {};
  std::vector<uint8_t> bytes = SourceFile::open(path)->readAll();
  std::vector<std::string> names(1);
  for (uint8_t c : bytes)
    if (c == '\n')
      names.emplace_back();
    else if (c != '\r')
      names.back().push_back(static_cast<char>(c));
  while (!names.empty() && names.back().empty())
    names.pop_back();
  if (static_cast<int64_t>(names.size()) != classes)
    throw Error(Fault::Data, fmt::format("{}: {} names for {} classes", path.string(), names.size(), classes));
  return names;
}

class Cifar : public Dataset {
public:
  Cifar(const std::vector<std::filesystem::path>& paths, const Layout& layout, std::vector<std::string> names, std::vector<std::string> coarseNames)
      : layout_(layout) {
    for (const auto& path : paths) {
      SourceFilePtr file = SourceFile::open(path);
      if (file->size() % layout_.bytes() != 0)
        throw Error(Fault::Data, fmt::format("{}: {} bytes are no whole number of CIFAR-{}'s records, which have {}", path.string(), file->size(),
                                             layout_.classes, layout_.bytes()));
      begins_.push_back(size_);
      size_ += file->size() / layout_.bytes();
      files_.push_back(std::move(file));
    }
    fields_ = {{"image", DType::U8, {3, kSide, kSide}, 256, {}, false, true}, {"label", DType::I64, {}, layout_.classes, std::move(names)}};
    if (layout_.coarseClasses > 0)
      fields_.push_back({"coarse_label", DType::I64, {}, layout_.coarseClasses, std::move(coarseNames)});
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return size_; }

  void read(int64_t record, std::span<std::byte* const> fields) const override {
    auto [file, within] = find(record);
    std::array<std::byte, kCifar100.labels + kPictureBytes> bytes;
    std::span<std::byte> read = std::span(bytes).first(static_cast<size_t>(layout_.bytes()));
    files_[file]->read(within * layout_.bytes(), read);
    std::memcpy(fields[0], read.data() + layout_.labels, kPictureBytes);
    auto give = [&](size_t field, std::byte stored) {
      auto label = std::to_integer<int64_t>(stored);
      if (label >= *fields_[field].below)
        throw Error(Fault::Data, fmt::format("{}: {} {}, but there are {} classes", placeOf(record), fields_[field].name, label, *fields_[field].below));
      std::memcpy(fields[field], &label, sizeof label);
    };
    give(1, read[static_cast<size_t>(layout_.labels - 1)]);
    if (layout_.coarseClasses > 0)
      give(2, read[0]);
  }

  std::string digest() const override {
    std::string parts = fmt::format("cifar {}", layout_.classes);
    for (const SourceFilePtr& file : files_)
      parts += " " + file->digest();
    return digestOf(parts).hex();
  }
  std::string describe() const override {
    std::string what = files_.size() == 1 ? files_[0]->path().filename().string() : files_[0]->path().parent_path().filename().string();
    return fmt::format("{}: {} images of {} classes", what, size_, layout_.classes);
  }
  std::string placeOf(int64_t record) const override {
    auto [file, within] = find(record);
    return fmt::format("{}: record {} (byte {})", files_[file]->path().string(), within, within * layout_.bytes());
  }

private:
  /// The file of a record, and its number there.
  std::pair<size_t, int64_t> find(int64_t record) const {
    if (record < 0 || record >= size_)
      throw Error(Fault::Usage, fmt::format("{}: there is no record {}", describe(), record));
    auto file = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), record) - begins_.begin() - 1);
    return {file, record - begins_[file]};
  }

  Layout layout_;
  std::vector<SourceFilePtr> files_;
  std::vector<int64_t> begins_; // by file: its first record
  int64_t size_ = 0;
  std::vector<Field> fields_;
};

} // namespace

Parts openCifar(const std::filesystem::path& path) {
  using std::filesystem::exists;
  auto open = [](const std::filesystem::path& folder, const std::vector<std::filesystem::path>& files, const Layout& layout) -> DatasetPtr {
    bool fine = layout.classes == kCifar100.classes;
    return std::make_shared<Cifar>(files, layout, classNames(folder / (fine ? "fine_label_names.txt" : "batches.meta.txt"), layout.classes),
                                   fine ? classNames(folder / "coarse_label_names.txt", layout.coarseClasses) : std::vector<std::string>{});
  };
  if (!std::filesystem::is_directory(path)) {
    int64_t size = stampOf(path).size;
    bool coarse = size % kCifar10.bytes() == 0, fine = size % kCifar100.bytes() == 0;
    if (!coarse && !fine)
      throw Error(Fault::Data, fmt::format("{}: {} bytes are no whole number of records, neither of CIFAR-10's {} nor of CIFAR-100's {}", path.string(), size,
                                           kCifar10.bytes(), kCifar100.bytes()));
    if (coarse && fine && size > 0)
      throw Error(Fault::Data, fmt::format("{}: {} bytes are whole records of CIFAR-10 and of CIFAR-100; name the folder", path.string(), size));
    return {open(path.parent_path(), {path}, fine && size > 0 ? kCifar100 : kCifar10), nullptr};
  }
  Parts parts;
  if (std::vector<std::filesystem::path> batches; exists(path / "data_batch_1.bin")) {
    for (int i = 1; i < 10; ++i)
      if (auto batch = path / fmt::format("data_batch_{}.bin", i); exists(batch)) {
        batches.push_back(batch);
        if (static_cast<int>(batches.size()) != i)
          throw Error(Fault::Data, fmt::format("{}: data_batch_{}.bin is missing", path.string(), batches.size()));
      }
    parts.train = open(path, batches, kCifar10);
    if (exists(path / "test_batch.bin"))
      parts.validation = open(path, {path / "test_batch.bin"}, kCifar10);
  } else if (exists(path / "train.bin")) {
    parts.train = open(path, {path / "train.bin"}, kCifar100);
    if (exists(path / "test.bin"))
      parts.validation = open(path, {path / "test.bin"}, kCifar100);
  } else {
    throw Error(Fault::Data, fmt::format("{}: neither CIFAR-10's data_batch_1.bin nor CIFAR-100's train.bin stands here", path.string()));
  }
  return parts;
}

} // namespace moec::data
