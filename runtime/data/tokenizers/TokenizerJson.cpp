#include "runtime/data/tokenizers/TokenizerJson.h"

#include "runtime/data/tokenizers/AddedTokens.h"
#include "runtime/data/tokenizers/Decoders.h"
#include "runtime/data/tokenizers/RequireText.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace moec::data {
namespace {

constexpr size_t kRemembered = 256; // bytes of a piece whose ids are kept while a text is encoded

class TokenizerJson final : public Tokenizer {
public:
  TokenizerJson(std::string bytes, const JsonPlace& json) : bytes_(std::move(bytes)) {
    json.onlyKeys({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"});
    if (auto version = json.find("version"); version && version->string() != "1.0")
      version->fail(fmt::format("unknown version \"{}\"; known is 1.0", version->string()));
    model_ = readPieceModel(json.at("model"));
    if (auto normalizer = json.find("normalizer"))
      normalizer_ = readNormalizer(*normalizer);
    if (auto preTokenizer = json.find("pre_tokenizer"))
      preTokenizer_ = readPreTokenizer(*preTokenizer);
    if (auto decoder = json.find("decoder"))
      decoder_ = readDecoder(*decoder);
    if (auto added = json.find("added_tokens"))
      added_ = AddedTokens(*added, model_->vocabulary(), normalizer_);
    vocabulary_ = std::max(model_->vocabulary().end(), added_.end());
    if (vocabulary_ == 0)
      json.at("model").fail("no tokens");
    for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<|end\xE2\x96\x81of\xE2\x96\x81sentence|>"})
      if (auto id = added_.id(name); id && !end_)
        end_ = id;
  }

  int64_t vocabulary() const override { return vocabulary_; }
  std::optional<int64_t> endOfText() const override { return end_; }
  std::string describe() const override { return fmt::format("tokenizer.json: {} of {} tokens", model_->name(), vocabulary_); }
  std::string fileName() const override { return "tokenizer.json"; }
  const std::string& fileBytes() const override { return bytes_; }

  std::vector<int64_t> encode(std::string_view text) const override {
    requireText(text);
    std::vector<Piece> pieces = added_.split(text, normalizer_);
    if (preTokenizer_)
      preTokenizer_(pieces);
    std::vector<int64_t> ids;
    TextMap<std::pair<size_t, size_t>> known; // where the ids of a piece stand already
    for (const Piece& piece : pieces) {
      if (piece.token >= 0) {
        ids.push_back(piece.token);
        continue;
      }
      if (auto found = known.find(piece.text); found != known.end()) {
        auto [begin, count] = found->second;
        for (size_t i = 0; i < count; ++i)
          ids.push_back(ids[begin + i]);
        continue;
      }
      size_t begin = ids.size();
      model_->encode(piece.text, ids);
      if (piece.text.size() <= kRemembered)
        known.emplace(piece.text, std::pair(begin, ids.size() - begin));
    }
    return ids;
  }

  std::string decode(std::span<const int64_t> ids) const override {
    std::vector<std::string> texts;
    for (int64_t id : ids) {
      requireId(id, vocabulary_);
      const std::string* text = added_.text(id);
      if (!text)
        text = model_->vocabulary().token(id);
      if (text && !added_.isSpecial(*text))
        texts.push_back(*text);
    }
    if (decoder_) {
      decoder_(texts);
      return fmt::format("{}", fmt::join(texts, ""));
    }
    return fmt::format("{}", fmt::join(texts, " "));
  }

private:
  std::string bytes_;
  std::unique_ptr<PieceModel> model_;
  Normalizer normalizer_;
  PreTokenizer preTokenizer_;
  Decoder decoder_;
  AddedTokens added_;
  int64_t vocabulary_ = 0;
  std::optional<int64_t> end_;
};

} // namespace

TokenizerPtr parseTokenizerJson(std::string bytes, const std::string& name) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(bytes);
  } catch (const nlohmann::json::exception& error) {
    throw Error(Fault::Data, fmt::format("{}: not JSON: {}", name, error.what()));
  }
  return std::make_shared<const TokenizerJson>(std::move(bytes), JsonPlace(document, name));
}

} // namespace moec::data
