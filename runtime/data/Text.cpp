#include "runtime/data/Text.h"

#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/core/Utf8.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace moec::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string readFile(const fs::path& path) {
  MappedFile file = MappedFile::open(path);
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (size_t byte = firstInvalidByte(text); byte != std::string_view::npos)
    throw Error(Fault::Data, fmt::format("{}: no UTF-8 at byte {}, 0x{:02x}: convert it to UTF-8", path.string(), byte,
                                         static_cast<unsigned>(static_cast<uint8_t>(text[byte]))));
  if (text.starts_with(kByteOrderMark))
    text.remove_prefix(kByteOrderMark.size());
  return std::string(text);
}

/// Files below a folder by their paths in it, '/' between the parts.
std::vector<fs::path> textFiles(const fs::path& folder) {
  std::vector<std::pair<std::string, fs::path>> found;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().extension() == ".txt" && entry->is_regular_file(error) && !error)
      found.emplace_back(entry->path().lexically_relative(folder).generic_string(), entry->path());
  if (error)
    throw Error(Fault::Data, fmt::format("{}: cannot be read: {}", folder.string(), error.message()));
  std::ranges::sort(found);
  std::vector<fs::path> result;
  for (auto& [name, path] : found)
    result.push_back(path);
  return result;
}

class TextWindows final : public Dataset {
public:
  TextWindows(std::vector<int64_t> tokens, int64_t vocabulary, int64_t window, int64_t stride, std::string name)
      : tokens_(std::move(tokens)), window_(window), stride_(stride), name_(std::move(name)) {
    for (const char* field : {"tokens", "targets"})
      fields_.push_back({field, DType::I64, {window}, vocabulary});
    auto bytes = std::span(reinterpret_cast<const uint8_t*>(tokens_.data()), tokens_.size() * sizeof(int64_t));
    digest_ = digestOf(fmt::format("text windows {} {} {} {}", digestOf(bytes).hex(), window, stride, vocabulary)).hex();
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return (count() - window_ - 1) / stride_ + 1; }
  std::string digest() const override { return digest_; }
  std::string describe() const override { return fmt::format("{}: {} tokens in {} windows of {}", name_, count(), size(), window_); }
  std::string placeOf(int64_t record) const override { return fmt::format("{}: tokens {} to {}", name_, record * stride_, record * stride_ + window_); }

  void read(int64_t record, std::span<std::byte* const> fields) const override {
    if (record < 0 || record >= size())
      throw Error(Fault::Usage, fmt::format("{}: record {} of {}", name_, record, size()));
    const int64_t* begin = tokens_.data() + record * stride_;
    auto bytes = static_cast<size_t>(window_) * sizeof(int64_t);
    std::memcpy(fields[0], begin, bytes);
    std::memcpy(fields[1], begin + 1, bytes);
  }

private:
  std::vector<int64_t> tokens_;
  int64_t window_, stride_;
  std::string name_, digest_;
  std::vector<Field> fields_;

  int64_t count() const { return static_cast<int64_t>(tokens_.size()); }
};

} // namespace

std::string readText(const fs::path& path) {
  std::error_code error;
  std::string text;
  if (fs::is_directory(path, error)) {
    std::vector<fs::path> files = textFiles(path);
    if (files.empty())
      throw Error(Fault::Data, fmt::format("{}: a folder without *.txt files", path.string()));
    for (const fs::path& file : files) {
      if (!text.empty() && text.back() != '\n')
        text += '\n';
      text += readFile(file);
    }
  } else {
    text = readFile(path);
  }
  if (text.empty())
    throw Error(Fault::Data, fmt::format("{}: no text in it", path.string()));
  return text;
}

DatasetPtr textWindows(std::vector<int64_t> tokens, int64_t vocabulary, int64_t window, int64_t stride, std::string name) {
  if (window < 1 || stride < 1 || vocabulary < 1)
    throw Error(Fault::Usage, fmt::format("windows of {} tokens, {} apart, of a vocabulary of {}: each is at least 1", window, stride, vocabulary));
  auto count = static_cast<int64_t>(tokens.size());
  if (window >= count)
    throw Error(Fault::Data,
                fmt::format("{}: {} tokens are too few for a window of {} and the token behind it: take more text or a shorter window", name, count, window));
  for (size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= vocabulary)
      throw Error(Fault::Data, fmt::format("{}: token {} is {}, but the vocabulary has {}", name, i, tokens[i], vocabulary));
  return std::make_shared<const TextWindows>(std::move(tokens), vocabulary, window, stride, std::move(name));
}

} // namespace moec::data
