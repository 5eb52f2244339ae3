// A SentencePiece model learnt from a text: what decodes to the text that was encoded, newlines and runs of spaces included.

#include "runtime/core/Error.h"
#include "runtime/core/Printable.h"
#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/RequireText.h"
#include "runtime/data/tokenizers/SentencePiece.h"

#include <fmt/format.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <set>
#include <unordered_map>

namespace moec::data {
namespace {

constexpr size_t kLongestSentence = 4096; // bytes; the library's memory grows with it
constexpr int64_t kPiecesForBytes = 512;  // from this vocabulary on, the 256 bytes are pieces
constexpr int64_t kMeta = 3;              // unknown, newline, tab
constexpr char32_t kSpaceSign = 0x2581,
                   kUnknownSign = 0x2585; // characters that the library keeps for itself: a space inside of pieces, and one that makes it leave a line out

class Sentences final : public sentencepiece::SentenceIterator {
public:
  explicit Sentences(std::vector<std::string> sentences) : sentences_(std::move(sentences)) {}
  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

private:
  std::vector<std::string> sentences_;
  size_t at_ = 0;
};

/// How often each character stands in the text, those left out that no piece may hold.
std::unordered_map<char32_t, int64_t> countCharacters(std::string_view text) {
  std::unordered_map<char32_t, int64_t> counts;
  while (!text.empty()) {
    Utf8Character character = firstCharacter(text);
    text.remove_prefix(character.bytes);
    if (character.code != '\n' && character.code != '\t' && character.code != 0 && character.code != kUnknownSign)
      ++counts[character.code == kSpaceSign ? U' ' : character.code];
  }
  return counts;
}

/// The most frequent ones, of equal ones the lower number first.
std::set<char32_t> mostFrequent(const std::unordered_map<char32_t, int64_t>& counts, size_t most) {
  std::vector<std::pair<int64_t, char32_t>> order;
  for (auto [code, count] : counts)
    order.emplace_back(-count, code);
  std::ranges::sort(order);
  order.resize(std::min(order.size(), most));
  std::set<char32_t> result;
  for (auto [count, code] : order)
    result.insert(code);
  return result;
}

/// Lines, cut at characters that are not `kept`, and before a space where they are long: nothing is too long for the library.
std::vector<std::string> sentencesOf(std::string_view text, const std::set<char32_t>& kept) {
  std::vector<std::string> result;
  std::string sentence;
  size_t space = 0; // where the last one stands in the sentence
  auto flush = [&](size_t bytes) {
    if (bytes > 0)
      result.push_back(sentence.substr(0, bytes));
    sentence.erase(0, bytes);
    space = 0;
  };
  while (!text.empty()) {
    Utf8Character character = firstCharacter(text);
    std::string_view bytes = text.substr(0, character.bytes);
    text.remove_prefix(character.bytes);
    bool isSpace = character.code == ' ' || character.code == kSpaceSign;
    if (character.code == '\n' || (character.code != '\t' && !isSpace && !kept.contains(character.code))) {
      flush(sentence.size());
      continue;
    }
    if (sentence.size() + bytes.size() > kLongestSentence)
      flush(space > 0 ? space : sentence.size());
    if (isSpace)
      space = sentence.size();
    sentence += bytes;
  }
  flush(sentence.size());
  return result;
}

} // namespace

TokenizerPtr learnSentencePiece(std::string_view text, int64_t vocabulary) {
  requireText(text);
  bool bytes = vocabulary >= kPiecesForBytes;
  auto counts = countCharacters(text);
  auto characters = static_cast<int64_t>(counts.size());
  if (!bytes && characters + kMeta > vocabulary)
    throw Error(
        Fault::Data,
        fmt::format(
            "a vocabulary of {} is too small for a text of {} different characters: {} pieces are needed, or {} with pieces for bytes; the tokenizer \"bytes\" takes 256",
            vocabulary, characters, characters + kMeta, kPiecesForBytes));
  if (vocabulary > INT32_MAX)
    throw Error(Fault::Usage, fmt::format("a vocabulary of {}: at most {}", vocabulary, INT32_MAX));
  // Characters that are rare are left to the bytes: half of what these leave is for longer pieces at least.
  auto room = static_cast<size_t>(bytes ? (vocabulary - kMeta - 256) / 2 : characters);
  std::vector<std::string> sentences = sentencesOf(text, mostFrequent(counts, room));
  if (characters == 0)
    throw Error(Fault::Data, fmt::format("a text of {} bytes without a character to learn a tokenizer from", text.size()));

  Sentences iterator(std::move(sentences));
  std::string model;
  std::string problem;
  try {
    auto status = sentencepiece::SentencePieceTrainer::Train(
        {{"model_type", "unigram"},
         {"vocab_size", std::to_string(vocabulary)},
         {"hard_vocab_limit", "false"},
         {"character_coverage", "1.0"},
         {"max_sentence_length", std::to_string(kLongestSentence)},
         {"byte_fallback", bytes ? "true" : "false"},
         {"normalization_rule_name", "identity"},
         {"add_dummy_prefix", "false"},
         {"remove_extra_whitespaces", "false"},
         {"allow_whitespace_only_pieces", "true"},
         {"user_defined_symbols", "\n,\t"},
         {"unk_id", "0"},
         {"bos_id", "-1"},
         {"eos_id", "-1"},
         {"pad_id", "-1"},
         {"unk_surface", "\xEF\xBF\xBD"},
         {"num_threads", "8"}, // their shares and the order of their sums are fixed by this number, whatever the machine has
         {"minloglevel", "3"}},
        &iterator, &model);
    if (!status.ok())
      problem = status.ToString();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  if (!problem.empty())
    throw Error(Fault::Data,
                fmt::format("a text of {} bytes is too small to learn a tokenizer of {} pieces from: take the tokenizer \"bytes\" or more text ({})",
                            text.size(), vocabulary, printable(problem)));
  return parseSentencePiece(std::move(model), "tokenizer.model");
}

} // namespace moec::data
