#include "runtime/data/Tokenizer.h"

#include "runtime/data/tokenizers/RequireText.h"
#include "runtime/data/tokenizers/SentencePiece.h"
#include "runtime/data/tokenizers/TokenizerJson.h"
#include "runtime/io/MappedFile.h"

namespace moec::data {
namespace {

class Bytes final : public Tokenizer {
public:
  int64_t vocabulary() const override { return 256; }
  std::optional<int64_t> endOfText() const override { return {}; }
  std::string describe() const override { return "bytes"; }
  std::string fileName() const override { return ""; }
  const std::string& fileBytes() const override { return nothing_; }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    ids.reserve(text.size());
    for (char byte : text)
      ids.push_back(static_cast<uint8_t>(byte));
    return ids;
  }

  std::string decode(std::span<const int64_t> ids) const override {
    std::string text;
    text.reserve(ids.size());
    for (int64_t id : ids) {
      requireId(id, vocabulary());
      text += static_cast<char>(id);
    }
    return text;
  }

private:
  std::string nothing_;
};

/// A SentencePiece model begins with the key of a field, which may be a newline (of its pieces) but no brace; what follows a newline there is a length.
bool looksLikeJson(std::string_view bytes) {
  constexpr std::string_view kBlank = " \t\r\n";
  size_t brace = bytes.find_first_not_of(kBlank);
  if (brace == std::string_view::npos || bytes[brace] != '{')
    return false;
  size_t next = bytes.find_first_not_of(kBlank, brace + 1);
  return brace == 0 || (next != std::string_view::npos && bytes[next] == '"');
}

} // namespace

TokenizerPtr byteTokenizer() { return std::make_shared<const Bytes>(); }

TokenizerPtr parseTokenizer(std::string bytes, const std::string& name) {
  return looksLikeJson(bytes) ? parseTokenizerJson(std::move(bytes), name) : parseSentencePiece(std::move(bytes), name);
}

TokenizerPtr openTokenizer(const std::filesystem::path& file) {
  MappedFile mapped = MappedFile::open(file);
  auto bytes = mapped.bytes();
  return parseTokenizer({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string());
}

} // namespace moec::data
