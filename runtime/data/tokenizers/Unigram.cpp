// A unigram language model (Kudo, 2018): of all ways to cut a piece into tokens the one whose scores add up to most.

#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/ByteTrie.h"
#include "runtime/data/tokenizers/PieceModel.h"

#include <algorithm>
#include <limits>

namespace moec::data {
namespace {

constexpr double kUnknownPenalty = 10; // below the least score

class Unigram final : public PieceModel {
public:
  explicit Unigram(const JsonPlace& json) : trie_({}) {
    json.onlyKeys({"type", "unk_id", "vocab", "byte_fallback"});
    JsonPlace vocab = json.at("vocab");
    std::vector<std::pair<std::string, int64_t>> texts;
    for (size_t i = 0; i < vocab.list().size(); ++i) {
      const nlohmann::json& entry = vocab.value()[i];
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
        vocab.at(i).fail("expected a token and its score, as [\"a\", -1.5]");
      auto token = entry[0].get<std::string>();
      vocabulary_.add(token, static_cast<int64_t>(i));
      scores_.push_back(entry[1].get<double>());
      if (!token.empty())
        texts.emplace_back(token, static_cast<int64_t>(i));
    }
    if (auto unknown = json.find("unk_id"))
      unknown_ = unknown->integer(0, static_cast<int64_t>(scores_.size()) - 1);
    byteFallback_ = json.booleanOr("byte_fallback", false);
    unknownScore_ = (scores_.empty() ? 0 : *std::ranges::min_element(scores_)) - kUnknownPenalty;
    trie_ = ByteTrie(std::move(texts));
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string name() const override { return "unigram model"; }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    struct Token {
      int64_t id = 0;
      size_t begin = std::string_view::npos; // no way leads here yet
      double score = 0;                      // of the best way up to its end
    };
    std::vector<Token> best(piece.size() + 1); // by the token's end
    for (size_t at = 0; at < piece.size();) {
      double here = best[at].score;
      size_t character = firstCharacter(piece.substr(at)).bytes;
      bool single = false;
      auto offer = [&](size_t bytes, int64_t id, double score) {
        Token& token = best[at + bytes];
        if (token.begin == std::string_view::npos || here + score > token.score)
          token = {id, at, here + score};
        single = single || bytes == character;
      };
      trie_.prefixes(piece.substr(at), [&](size_t bytes, int64_t id) { offer(bytes, id, scores_[static_cast<size_t>(id)]); });
      if (!single)
        offer(character, unknown_.value_or(-1), unknownScore_);
      at += character;
    }

    // Unknown tokens that lie next to each other are one.
    std::vector<std::pair<size_t, size_t>> spans; // from the end on
    bool unknownBehind = false;
    for (size_t end = piece.size(); end > 0;) {
      const Token& token = best[end];
      bool unknown = token.id == unknown_.value_or(-1);
      if (unknown && unknownBehind)
        spans.back().first = token.begin;
      else
        spans.emplace_back(token.begin, end);
      unknownBehind = unknown;
      end = token.begin;
    }
    std::ranges::reverse(spans);
    for (auto [begin, end] : spans)
      append(piece.substr(begin, end - begin), ids);
  }

private:
  Vocabulary vocabulary_;
  std::vector<double> scores_;
  ByteTrie trie_;
  std::optional<int64_t> unknown_;
  bool byteFallback_ = false;
  double unknownScore_ = 0;

  void append(std::string_view token, std::vector<int64_t>& ids) const {
    if (auto id = vocabulary_.id(token)) {
      ids.push_back(*id);
      return;
    }
    if (byteFallback_)
      if (auto bytes = byteTokens(vocabulary_, token)) {
        ids.insert(ids.end(), bytes->begin(), bytes->end());
        return;
      }
    if (!unknown_)
      failUnknown(token);
    ids.push_back(*unknown_);
  }
};

} // namespace

std::unique_ptr<PieceModel> readUnigram(const JsonPlace& json) { return std::make_unique<Unigram>(json); }

} // namespace moec::data
