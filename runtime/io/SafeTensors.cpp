#include "runtime/io/SafeTensors.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

namespace moec {

namespace {

using Json = nlohmann::json;

constexpr size_t kMaxRank = 16;

struct Word {
  std::string_view word;
  DType type;
};
constexpr std::array<Word, 7> kWords{
    {{"F64", DType::F64}, {"F32", DType::F32}, {"BF16", DType::BF16}, {"I64", DType::I64}, {"I32", DType::I32}, {"U8", DType::U8}, {"BOOL", DType::Bool}}};

struct Entry {
  std::string name;
  std::optional<DType> type;
  std::optional<Shape> shape;
  std::vector<uint64_t> offsets; // begin, end in the data section
};

/// Reads the header's one possible form event by event, so that a lying header costs no memory: { name: { key: value,
/// ... }, ... }.
class HeaderReader final : public nlohmann::json_sax<Json> {
public:
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::string problem;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_float(double, const std::string&) override { return unexpected("a number that is not a non-negative integer"); }
  bool number_integer(int64_t) override { return unexpected("a negative number"); }
  bool binary(Json::binary_t&) override { return unexpected("binary"); }

  bool number_unsigned(uint64_t value) override {
    if (!inArray_)
      return unexpected("a number");
    if (field_ == "shape") {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return fail(fmt::format("tensor \"{}\": a size of {}", entry().name, value));
      if (entry().shape->size() == kMaxRank)
        return fail(fmt::format("tensor \"{}\": more than {} sizes", entry().name, kMaxRank));
      entry().shape->push_back(static_cast<int64_t>(value));
    } else {
      if (entry().offsets.size() == 2)
        return fail(fmt::format("tensor \"{}\": more than two data_offsets", entry().name));
      entry().offsets.push_back(value);
    }
    return true;
  }

  bool string(std::string& value) override {
    if (inMetadata_ && depth_ == 2) {
      metadata[field_] = value;
      return true;
    }
    if (depth_ != 2 || field_ != "dtype" || inArray_)
      return unexpected("a string");
    auto found = std::ranges::find(kWords, value, &Word::word);
    if (found == kWords.end())
      return fail(fmt::format("tensor \"{}\": dtype {} is not one of F64, F32, BF16, I64, I32, U8, BOOL", entry().name, value));
    entry().type = found->type;
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ >= 2 || inArray_)
      return unexpected("an object");
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1) {
      if (!inMetadata_ && (!entry().type || !entry().shape || entry().offsets.size() != 2))
        return fail(fmt::format("tensor \"{}\" lacks dtype, shape or data_offsets", entry().name));
      inMetadata_ = false;
    }
    return true;
  }

  bool key(std::string& value) override {
    if (depth_ == 1) {
      inMetadata_ = value == "__metadata__";
      if (!inMetadata_)
        entries.push_back({value, {}, {}, {}});
    } else if (!inMetadata_) {
      bool again = (value == "dtype" && entry().type) || (value == "shape" && entry().shape) || (value == "data_offsets" && !entry().offsets.empty());
      if (value != "dtype" && value != "shape" && value != "data_offsets")
        return fail(fmt::format("tensor \"{}\": unknown key \"{}\"", entry().name, value));
      if (again)
        return fail(fmt::format("tensor \"{}\": \"{}\" twice", entry().name, value));
      field_ = value;
    } else {
      field_ = value;
    }
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || inMetadata_ || inArray_ || field_ == "dtype")
      return unexpected("a list");
    inArray_ = true;
    if (field_ == "shape")
      entry().shape.emplace();
    return true;
  }
  bool end_array() override {
    inArray_ = false;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    return fail(fmt::format("its header is not JSON at byte {}: {}", position + 8, error.what()));
  }

private:
  int depth_ = 0;
  bool inArray_ = false, inMetadata_ = false;
  std::string field_;

  Entry& entry() { return entries.back(); }
  bool fail(std::string message) {
    problem = std::move(message);
    return false;
  }
  bool unexpected(const char* what) {
    if (depth_ < 2 || inMetadata_)
      return fail(fmt::format("its header holds {} where {} belongs", what, inMetadata_ ? "a string of __metadata__" : "a tensor's description"));
    return fail(fmt::format("tensor \"{}\": {} as \"{}\"", entry().name, what, field_));
  }
};

/// Bytes of a tensor of this shape, or nothing past 2^48.
std::optional<uint64_t> byteCount(DType type, const Shape& shape) {
  uint64_t total = byteSize(type);
  if (std::ranges::find(shape, 0) != shape.end())
    return 0;
  for (int64_t size : shape) {
    if (static_cast<uint64_t>(size) > (uint64_t{1} << 48) / total)
      return {};
    total *= static_cast<uint64_t>(size);
  }
  return total;
}

Tensor view(const Entry& entry, std::span<const uint8_t> data, const std::shared_ptr<void>& owner) {
  auto* start = const_cast<uint8_t*>(data.data()) + entry.offsets[0]; // the mapping is private
  bool aligned = reinterpret_cast<uintptr_t>(start) % byteSize(*entry.type) == 0;
  if (aligned && owner && entry.offsets[0] != entry.offsets[1])
    return Tensor::share(owner, start, *entry.shape, *entry.type);
  Tensor copy(*entry.type, *entry.shape);
  if (copy.bytes() != 0)
    std::memcpy(copy.data(), start, copy.bytes());
  return copy;
}

} // namespace

TensorMap parseSafeTensors(std::span<const uint8_t> bytes, std::shared_ptr<void> owner, const std::string& where,
                           std::map<std::string, std::string>* metadata) {
  auto fail = [&](const std::string& problem) -> void { throw Error(Fault::Data, fmt::format("{}: damaged safetensors file: {}", where, problem)); };
  if (bytes.size() < 8)
    fail(fmt::format("{} bytes, but its header length alone takes 8", bytes.size()));
  uint64_t headerLength = 0;
  for (int i = 7; i >= 0; --i)
    headerLength = headerLength << 8 | bytes[static_cast<size_t>(i)];
  if (headerLength > bytes.size() - 8)
    fail(fmt::format("its header says it has {} bytes, but {} follow", headerLength, bytes.size() - 8));
  auto header = bytes.subspan(8, headerLength);
  auto data = bytes.subspan(8 + headerLength);

  // To the parser a zero byte is the end, whatever comes behind it.
  if (std::ranges::find(header, 0) != header.end())
    fail("its header holds a zero byte");
  HeaderReader reader;
  if (!Json::sax_parse(header.begin(), header.end(), &reader))
    fail(reader.problem);

  auto& entries = reader.entries;
  std::ranges::sort(entries, {}, &Entry::name);
  if (auto twice = std::ranges::adjacent_find(entries, {}, &Entry::name); twice != entries.end())
    fail(fmt::format("tensor \"{}\" stands in it twice", twice->name));
  for (const Entry& entry : entries) {
    uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    if (begin > end || end > data.size())
      fail(fmt::format("tensor \"{}\" has data_offsets [{}, {}], but the data has {} bytes", entry.name, begin, end, data.size()));
    auto needed = byteCount(*entry.type, *entry.shape);
    if (!needed || *needed != end - begin)
      fail(fmt::format("tensor \"{}\", {}, has {} bytes of data", entry.name, describe(*entry.type, *entry.shape), end - begin));
  }
  std::vector<const Entry*> byPlace;
  for (const Entry& entry : entries)
    byPlace.push_back(&entry);
  std::ranges::sort(byPlace, {}, [](const Entry* entry) { return std::pair(entry->offsets[0], entry->offsets[1]); });
  uint64_t place = 0;
  for (const Entry* entry : byPlace) {
    if (entry->offsets[0] != place)
      fail(fmt::format("tensor \"{}\" begins at byte {} of the data, {} byte {}", entry->name, entry->offsets[0],
                       entry->offsets[0] < place ? "inside the one before it, which ends at" : "behind a gap from", place));
    place = entry->offsets[1];
  }
  if (place != data.size())
    fail(fmt::format("{} bytes follow the last tensor", data.size() - place));

  if (metadata)
    *metadata = std::move(reader.metadata);
  TensorMap result;
  for (const Entry& entry : entries)
    result.emplace(entry.name, view(entry, data, owner));
  return result;
}

TensorMap readSafeTensors(const std::filesystem::path& path, std::map<std::string, std::string>* metadata) {
  return readSafeTensors(MappedFile::open(path), path, metadata);
}

TensorMap readSafeTensors(const MappedFile& file, const std::filesystem::path& path, std::map<std::string, std::string>* metadata) {
  // A damaged file says where it is damaged; one of another kind, what it is.
  FileKind kind = fileKind(file.bytes());
  if (kind != FileKind::SafeTensors && (kind == FileKind::Json || file.bytes().size() < 9 || file.bytes()[8] != '{'))
    throw Error(Fault::Data, fmt::format("{}: expected a safetensors file; found {}", path.string(), describeFirstBytes(file.bytes())));
  return parseSafeTensors(file.bytes(), file.owner(), path.string(), metadata);
}

void writeSafeTensors(const std::filesystem::path& path, const TensorMap& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<const std::string*, const Tensor*>> order;
  for (const auto& [name, tensor] : tensors)
    order.emplace_back(&name, &tensor);
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    size_t widthA = byteSize(a.second->dtype()), widthB = byteSize(b.second->dtype());
    return widthA != widthB ? widthA > widthB : *a.first < *b.first;
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty())
    header["__metadata__"] = metadata;
  uint64_t place = 0;
  for (auto [name, tensor] : order) {
    auto word = std::ranges::find(kWords, tensor->dtype(), &Word::type);
    header[*name] = {{"dtype", word->word}, {"shape", tensor->shape()}, {"data_offsets", {place, place + tensor->bytes()}}};
    place += tensor->bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');

  std::string prefix(8, '\0');
  for (size_t i = 0; i < 8; ++i)
    prefix[i] = static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i));
  AtomicFile file(path);
  file.write(prefix);
  file.write(text);
  for (auto [name, tensor] : order)
    file.write(std::span(static_cast<const uint8_t*>(tensor->data()), tensor->bytes()));
  file.commit();
}

} // namespace moec
