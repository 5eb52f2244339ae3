#include "runtime/data/Sources.h"

#include "runtime/core/Digest.h"
#include "runtime/core/Printable.h"
#include "runtime/data/PictureFolders.h"
#include "runtime/data/SourceFile.h"
#include "runtime/io/Image.h"
#include "runtime/io/Photo.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstring>

namespace moec::data {

namespace {

namespace fs = std::filesystem;

const char* const kHeldOut[] = {"val", "valid", "validation", "test"};

struct Picture {
  fs::path path;
  FileStamp stamp;
  int64_t label = 0;
};

std::vector<fs::path> sorted(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (!entry->path().filename().string().starts_with('.'))
      entries.push_back(entry->path());
  if (error)
    throw Error(Fault::Data, fmt::format("{}: cannot read: {}", folder.string(), error.message()));
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// Pictures of one class, also those in folders below its own. What a link leads to must lie inside of `root`.
class Scan {
public:
  explicit Scan(const fs::path& root) : root_(fs::canonical(root)) {}

  void folder(const fs::path& folder, int64_t label, int depth = 0) {
    if (depth > 16)
      throw Error(Fault::Data, fmt::format("{}: folders in folders, more than 16 deep", folder.string()));
    for (const fs::path& path : sorted(folder)) {
      checkInside(path);
      if (fs::is_directory(path))
        this->folder(path, label, depth + 1);
      else if (isPictureFile(path))
        pictures.push_back({path, stampOf(path), label});
      else
        ++others;
    }
  }

  void checkInside(const fs::path& path) const {
    if (!fs::is_symlink(path))
      return;
    std::error_code error;
    fs::path target = fs::canonical(path, error);
    if (error)
      throw Error(Fault::Data, fmt::format("{}: a link that leads nowhere: {}", path.string(), error.message()));
    auto [mine, rest] = std::mismatch(root_.begin(), root_.end(), target.begin(), target.end());
    if (mine != root_.end())
      throw Error(Fault::Data, fmt::format("{}: a link out of the folder, to {}; put the file itself there", path.string(), target.string()));
  }

  std::vector<Picture> pictures;
  int64_t others = 0;

private:
  fs::path root_;
};

/// Sub-folders, that is classes; a folder holds pictures in them alone.
std::vector<std::string> classesIn(const fs::path& folder) {
  std::vector<std::string> classes;
  for (const fs::path& path : sorted(folder))
    if (fs::is_directory(path))
      classes.push_back(path.filename().string());
    else if (isPictureFile(path))
      throw Error(Fault::Data,
                  fmt::format("{}: pictures stand in a folder of their class, as {}", path.string(), (folder / "cats" / path.filename()).string()));
  if (classes.empty())
    throw Error(Fault::Data, fmt::format("{}: no folders; each class has one, with its pictures in it", folder.string()));
  return classes;
}

class PictureFolder : public Dataset {
public:
  PictureFolder(const fs::path& folder, const InputInfo& input, const std::vector<std::string>& expected) : folder_(folder), input_(input) {
    std::vector<std::string> classes = classesIn(folder);
    Scan scan(folder);
    for (const std::string& name : classes) {
      auto at = std::find(expected.begin(), expected.end(), name);
      if (!expected.empty() && at == expected.end())
        throw Error(Fault::Data, fmt::format("{}: the data to learn from have no such class, but {}", (folder / name).string(), fmt::join(expected, ", ")));
      size_t before = scan.pictures.size();
      scan.checkInside(folder / name);
      scan.folder(folder / name, expected.empty() ? static_cast<int64_t>(&name - classes.data()) : at - expected.begin());
      if (scan.pictures.size() == before)
        throw Error(Fault::Data, fmt::format("{}: no .png, .jpg or .jpeg stands here; each folder is a class", (folder / name).string()));
    }
    pictures_ = std::move(scan.pictures);
    others_ = scan.others;
    takeSizes();
    if (!expected.empty())
      classes = expected;
    fields_ = {{"image", input_.dtype, {}, std::nullopt, {}}, {"label", DType::I64, {}, static_cast<int64_t>(classes.size()), classes}};
    for (const Size& size : input_.shape)
      fields_[0].shape.push_back(*size.constant());
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return static_cast<int64_t>(pictures_.size()); }

  void read(int64_t record, std::span<std::byte* const> fields) const override {
    const Picture& picture = at(record);
    std::string where = picture.path.string();
    Tensor numbers = photoToInput(decodeImage(readFile(picture.path, picture.stamp), where), input_, where);
    std::memcpy(fields[0], numbers.data(), numbers.bytes());
    std::memcpy(fields[1], &picture.label, sizeof picture.label);
  }

  /// Of names, classes and sizes: pictures are too many to read them all.
  std::string digest() const override {
    std::string parts = fmt::format("pictures {}", fmt::join(fields_[1].words, "/"));
    for (const Picture& picture : pictures_)
      parts += fmt::format("\n{} {} {}", picture.path.lexically_relative(folder_).string(), picture.label, picture.stamp.size);
    return digestOf(parts).hex();
  }

  std::string describe() const override {
    std::string others = others_ > 0 ? fmt::format(" ({} other files are passed over)", others_) : "";
    return fmt::format("{}: {} pictures of {} classes{}", folderName(), pictures_.size(), fields_[1].words.size(), others);
  }
  std::string placeOf(int64_t record) const override { return at(record).path.string(); }

private:
  const Picture& at(int64_t record) const {
    if (record < 0 || record >= size())
      throw Error(Fault::Usage, fmt::format("{}: there is no picture {}", folderName(), record));
    return pictures_[static_cast<size_t>(record)];
  }

  std::string folderName() const {
    fs::path folder = folder_.has_filename() ? folder_ : folder_.parent_path();
    return folder.filename().string();
  }

  /// The input as one picture of sizes that are known: what the model leaves open, the first picture says.
  void takeSizes() {
    std::vector<std::string> sizes;
    for (const Size& size : input_.shape)
      sizes.push_back(size.str());
    if (input_.shape.size() == 4)
      input_.shape.erase(input_.shape.begin());
    if (input_.shape.size() != 3 || !input_.shape[0].isConstant())
      throw Error(Fault::Usage, fmt::format("{}: pictures for input \"{}\" of [{}]; expected [batch, channels, height, width], and a number of channels",
                                            folder_.string(), input_.name, fmt::join(sizes, ", ")));
    if (input_.shape[1].isConstant() && input_.shape[2].isConstant())
      return;
    if (input_.photo)
      input_.photo->resize = PhotoRule::Resize::None; // all are as the first is
    const Picture& first = pictures_[0];
    Tensor picture = decodeImage(readFile(first.path, first.stamp), first.path.string());
    for (size_t i : {1, 2})
      if (!input_.shape[i].isConstant())
        input_.shape[i] = picture.shape()[i - 1];
  }

  fs::path folder_;
  InputInfo input_; // of one picture, without the batch
  std::vector<Picture> pictures_;
  int64_t others_ = 0;
  std::vector<Field> fields_;
};

} // namespace

bool isPictureFile(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

bool holdsPictures(const fs::path& folder, int depth) {
  if (depth == 0)
    return false;
  std::vector<fs::path> entries = sorted(folder);
  return std::any_of(entries.begin(), entries.end(),
                     [&](const fs::path& path) { return fs::is_directory(path) ? holdsPictures(path, depth - 1) : isPictureFile(path); });
}

Parts openPictures(const fs::path& path, const InputInfo& input, const std::vector<std::string>& classes) {
  if (!fs::is_directory(path))
    throw Error(Fault::Data, fmt::format("{}: pictures to learn from are a folder with a folder for each class", path.string()));
  Parts parts;
  std::vector<std::string> names;
  for (const fs::path& entry : sorted(path))
    if (fs::is_directory(entry))
      names.push_back(entry.filename().string());
  auto isHeldOut = [](const std::string& name) { return std::find(std::begin(kHeldOut), std::end(kHeldOut), name) != std::end(kHeldOut); };
  bool divided = std::find(names.begin(), names.end(), "train") != names.end() &&
                 std::all_of(names.begin(), names.end(), [&](const std::string& name) { return name == "train" || isHeldOut(name); });
  if (!divided)
    return {std::make_shared<PictureFolder>(path, input, classes), nullptr};
  for (const std::string& name : names)
    Scan(path).checkInside(path / name);
  auto train = std::make_shared<PictureFolder>(path / "train", input, classes);
  for (const char* name : kHeldOut) // in this order: what is for testing stays apart where there is another
    if (!parts.validation && std::find(names.begin(), names.end(), name) != names.end())
      parts.validation = std::make_shared<PictureFolder>(path / name, input, train->fields()[1].words);
  parts.train = train;
  return parts;
}

} // namespace moec::data
