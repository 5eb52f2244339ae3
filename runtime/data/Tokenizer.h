#pragma once
// Text to ids and back.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec::data {

class Tokenizer {
public:
  virtual ~Tokenizer() = default;
  /// Ids lie in [0, vocabulary).
  virtual int64_t vocabulary() const = 0;
  /// The text's own tokens, without marks of beginning or end. Safe from several threads at once. Error(Data) naming the byte for a text that is not UTF-8
  /// (bytes take any), and for what the tokenizer has no token for.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  /// Ids that stand for no text (padding, control) give none. Error(Usage) for an id outside.
  virtual std::string decode(std::span<const int64_t> ids) const = 0;
  virtual std::optional<int64_t> endOfText() const = 0;
  /// For people: "SentencePiece unigram model of 2000 pieces".
  virtual std::string describe() const = 0;
  /// What openTokenizer() reads again, and the name of the file that holds it ("tokenizer.model", "tokenizer.json"); empty for bytes.
  virtual std::string fileName() const = 0;
  virtual const std::string& fileBytes() const = 0;
};

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

/// Each byte is its value: vocabulary 256.
TokenizerPtr byteTokenizer();
/// A SentencePiece model, or a tokenizer.json of Hugging Face's tokenizers, by what the file holds. Error(Data) naming file, and for JSON the place, for what
/// is damaged or of a kind that is not known (which kinds are: docs/TRAINING.md).
TokenizerPtr openTokenizer(const std::filesystem::path& file);
/// The same of bytes in memory; `name` is for messages.
TokenizerPtr parseTokenizer(std::string bytes, const std::string& name);
/// A SentencePiece unigram model of at most `vocabulary` pieces, learnt from this text; the same for the same text. It decodes to what was encoded
/// (docs/TRAINING.md says where not). Error(Data) when the text is too small for it, or the vocabulary for the text's characters.
TokenizerPtr learnSentencePiece(std::string_view text, int64_t vocabulary);

} // namespace moec::data
