#include "runtime/io/Npy.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

namespace moec {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxRank = 32; // NumPy's own

struct Word {
  std::string_view word;
  DType type;
};
constexpr std::array<Word, 6> kWords{
    {{"<f8", DType::F64}, {"<f4", DType::F32}, {"<i8", DType::I64}, {"<i4", DType::I32}, {"|u1", DType::U8}, {"|b1", DType::Bool}}};

/// The header: a Python dict of three known keys, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }".
class HeaderReader {
public:
  HeaderReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  std::string_view descr;
  std::optional<bool> fortran;
  std::optional<Shape> shape;

  void read() {
    expect('{');
    while (!take('}')) {
      std::string_view key = quoted();
      expect(':');
      if (key == "descr")
        descr = quoted();
      else if (key == "fortran_order")
        fortran = boolean();
      else if (key == "shape")
        shape = tuple();
      else
        fail(fmt::format("unknown key '{}'", key));
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skipSpace();
    if (place_ != text_.size())
      fail("text behind the header's end");
    if (descr.empty() || !fortran || !shape)
      fail("descr, fortran_order or shape is missing");
  }

private:
  std::string_view text_;
  const std::string& where_;
  size_t place_ = 0;

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(Fault::Data, fmt::format("{}: damaged .npy header at character {}: {}", where_, place_, problem));
  }
  void skipSpace() {
    while (place_ < text_.size() && (text_[place_] == ' ' || text_[place_] == '\n' || text_[place_] == '\t'))
      ++place_;
  }
  bool take(char c) {
    skipSpace();
    if (place_ == text_.size() || text_[place_] != c)
      return false;
    ++place_;
    return true;
  }
  void expect(char c) {
    if (!take(c))
      fail(fmt::format("'{}' expected", c));
  }
  std::string_view quoted() {
    skipSpace();
    char quote = take('"') ? '"' : '\'';
    if (quote == '\'')
      expect('\'');
    size_t end = text_.find(quote, place_);
    if (end == std::string_view::npos)
      fail("a string without an end");
    std::string_view result = text_.substr(place_, end - place_);
    place_ = end + 1;
    return result;
  }
  bool boolean() {
    skipSpace();
    for (auto [word, value] : {std::pair("True", true), std::pair("False", false)})
      if (text_.substr(place_).starts_with(word)) {
        place_ += std::strlen(word);
        return value;
      }
    fail("True or False expected");
  }
  Shape tuple() {
    Shape result;
    expect('(');
    while (!take(')')) {
      skipSpace();
      int64_t size = 0;
      auto [end, error] = std::from_chars(text_.data() + place_, text_.data() + text_.size(), size);
      if (error != std::errc{} || size < 0)
        fail("a size from 0 to 2^63-1 expected");
      if (result.size() == kMaxRank)
        fail(fmt::format("more than {} sizes", kMaxRank));
      place_ = static_cast<size_t>(end - text_.data());
      result.push_back(size);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return result;
  }
};

DType elementType(std::string_view descr, const std::string& where) {
  for (const Word& known : kWords)
    if (descr == known.word || (known.word[0] == '|' && descr.size() == 3 && descr.substr(1) == known.word.substr(1)))
      return known.type;
  std::string_view why = descr.starts_with('>') ? "big-endian numbers" : "an element type that is not read";
  throw Error(Fault::Data, fmt::format("{}: {} ('{}'); expected one of <f8, <f4, <i8, <i4, |u1, |b1", where, why, descr));
}

} // namespace

Tensor parseNpy(std::span<const uint8_t> bytes, std::shared_ptr<void> owner, const std::string& where) {
  auto fail = [&](const std::string& problem) { throw Error(Fault::Data, fmt::format("{}: damaged .npy file: {}", where, problem)); };
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic))
    fail("it does not begin with \\x93NUMPY");
  if (text.size() < 10)
    fail(fmt::format("it ends after {} bytes", text.size()));
  int major = bytes[6];
  if (major < 1 || major > 3)
    fail(fmt::format("version {}, expected 1, 2 or 3", major));
  size_t headerStart = major == 1 ? 10 : 12;
  if (text.size() < headerStart)
    fail(fmt::format("it ends after {} bytes", text.size()));
  size_t headerLength = bytes[8] | size_t{bytes[9]} << 8;
  if (major > 1)
    headerLength |= size_t{bytes[10]} << 16 | size_t{bytes[11]} << 24;
  if (headerLength > text.size() - headerStart)
    fail(fmt::format("its header says it has {} bytes, but {} follow", headerLength, text.size() - headerStart));

  HeaderReader header(text.substr(headerStart, headerLength), where);
  header.read();
  DType type = elementType(header.descr, where);
  const Shape& shape = *header.shape;
  if (*header.fortran && shape.size() > 1)
    throw Error(Fault::Data, fmt::format("{}: stored in Fortran order, expected C order; save it through numpy.ascontiguousarray", where));

  auto data = bytes.subspan(headerStart + headerLength);
  // Division instead of products: the sizes are not to be trusted.
  uint64_t elements = data.size() / byteSize(type);
  bool fits = data.size() % byteSize(type) == 0;
  bool empty = false;
  for (int64_t size : shape)
    empty = empty || size == 0;
  for (int64_t size : shape) {
    if (empty || !fits)
      break;
    fits = elements % static_cast<uint64_t>(size) == 0;
    elements /= static_cast<uint64_t>(size);
  }
  if (empty ? !data.empty() : !fits || elements != 1)
    fail(fmt::format("{} has {} bytes of data", describe(type, shape), data.size()));

  auto* start = const_cast<uint8_t*>(data.data()); // the mapping is private
  if (owner && !empty && reinterpret_cast<uintptr_t>(start) % byteSize(type) == 0)
    return Tensor::share(std::move(owner), start, shape, type);
  Tensor copy(type, shape);
  if (!empty)
    std::memcpy(copy.data(), start, data.size());
  return copy;
}

Tensor readNpy(const std::filesystem::path& path) {
  MappedFile file = MappedFile::open(path);
  return parseNpy(file.bytes(), file.owner(), path.string());
}

void writeNpy(const std::filesystem::path& path, const Tensor& original) {
  Tensor tensor = original.dtype() == DType::BF16 ? original.cast(DType::F32) : original;
  std::string_view descr;
  for (const Word& known : kWords)
    if (known.type == tensor.dtype())
      descr = known.word;
  std::string sizes;
  for (int64_t size : tensor.shape())
    sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", size);
  if (tensor.shape().size() == 1)
    sizes += ','; // Python's tuple of one
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, sizes);
  // The data begins at a multiple of 64; the header ends with a line break.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string start = std::string(kMagic) + std::string("\x01\x00", 2);
  start += static_cast<char>(header.size() & 0xff);
  start += static_cast<char>(header.size() >> 8);

  AtomicFile file(path);
  file.write(start);
  file.write(header);
  file.write(std::span(static_cast<const uint8_t*>(tensor.data()), tensor.bytes()));
  file.commit();
}

} // namespace moec
