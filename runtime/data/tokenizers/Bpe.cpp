// Byte-pair encoding (Sennrich, Haddow, Birch, 2016): neighbours are merged in the order of the merges' ranks.

#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/PieceModel.h"

#include <bit>
#include <queue>

namespace moec::data {
namespace {

struct Merge {
  int64_t rank = 0, id = 0; // of what comes of it
};

/// Merges by the two tokens that they join: a table of open addresses, for a long piece asks it several times per character.
class MergeTable {
public:
  /// Room for so many.
  explicit MergeTable(size_t count = 0) : slots_(std::bit_ceil(2 * count + 2)) {}

  /// Takes the place of one that there is.
  void set(int64_t left, int64_t right, Merge merge) {
    Slot& slot = slots_[place(left, right)];
    slot = {left, right, merge};
  }
  const Merge* find(int64_t left, int64_t right) const {
    const Slot& slot = slots_[place(left, right)];
    return slot.left < 0 ? nullptr : &slot.merge;
  }

private:
  struct Slot {
    int64_t left = -1, right = -1;
    Merge merge;
  };
  std::vector<Slot> slots_; // a power of two of them, half of them free at least

  size_t place(int64_t left, int64_t right) const {
    uint64_t key = static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
    size_t at = (key * 0x9E3779B97F4A7C15u) >> 20;
    for (;; ++at) {
      const Slot& slot = slots_[at & (slots_.size() - 1)];
      if (slot.left < 0 || (slot.left == left && slot.right == right))
        return at & (slots_.size() - 1);
    }
  }
};

/// A token of a piece while it is merged; removed ones have size 0.
struct Symbol {
  int64_t id = 0;
  int32_t before = -1, behind = -1;
  size_t bytes = 0;
};

/// Two neighbours that may be merged: the least rank first, of equal ones the left.
struct Candidate {
  int64_t rank = 0;
  int32_t place = 0;
  int64_t id = 0;
  bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : place > other.place; }
};

class Bpe final : public PieceModel {
public:
  explicit Bpe(const JsonPlace& json) {
    json.onlyKeys(
        {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
    if (auto dropout = json.find("dropout"); dropout && dropout->number() != 0)
      dropout->fail("merges that are left out by chance are not known here; a tokenizer that encodes a text the same each time has null");
    vocabulary_ = Vocabulary(json.at("vocab"));
    prefix_ = json.stringOr("continuing_subword_prefix", "");
    suffix_ = json.stringOr("end_of_word_suffix", "");
    fuseUnknown_ = json.booleanOr("fuse_unk", false);
    byteFallback_ = json.booleanOr("byte_fallback", false);
    ignoreMerges_ = json.booleanOr("ignore_merges", false);
    if (auto unknown = json.find("unk_token"))
      unknown_ = vocabulary_.id(unknown->string());
    readMerges(json.at("merges"));
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string name() const override { return "byte-pair encoding"; }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    if (ignoreMerges_)
      if (auto id = vocabulary_.id(piece)) {
        ids.push_back(*id);
        return;
      }
    std::vector<Symbol> symbols = characters(piece);
    merge(symbols);
    for (const Symbol& symbol : symbols)
      if (symbol.bytes > 0)
        ids.push_back(symbol.id);
  }

private:
  Vocabulary vocabulary_;
  MergeTable merges_;
  std::optional<int64_t> unknown_;
  std::string prefix_, suffix_;
  bool fuseUnknown_ = false, byteFallback_ = false, ignoreMerges_ = false;

  void readMerges(const JsonPlace& json) {
    merges_ = MergeTable(json.list().size());
    int64_t rank = 0;
    for (size_t i = 0; i < json.size(); ++i) {
      const nlohmann::json& entry = json.value()[i];
      std::string left, right;
      if (entry.is_string()) { // "left right"
        const auto& text = entry.get_ref<const std::string&>();
        if (text.starts_with("#version"))
          continue;
        size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
          json.at(i).fail(fmt::format("expected two tokens with one space between; found \"{}\"", text));
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
        left = entry[0].get<std::string>();
        right = entry[1].get<std::string>();
      } else {
        json.at(i).fail("expected two tokens, as [\"a\", \"b\"] or \"a b\"");
      }
      auto idOf = [&](const std::string& token) {
        auto id = vocabulary_.id(token);
        if (!id)
          json.at(i).fail(fmt::format("the vocabulary lacks \"{}\"", token));
        return *id;
      };
      if (right.size() < prefix_.size())
        json.at(i).fail(fmt::format("\"{}\" lacks the prefix \"{}\" of what continues a word", right, prefix_));
      int64_t leftId = idOf(left), rightId = idOf(right);
      merges_.set(leftId, rightId, {rank++, idOf(left + right.substr(prefix_.size()))});
    }
  }

  /// The piece's characters, each as a token.
  std::vector<Symbol> characters(std::string_view piece) const {
    std::vector<Symbol> symbols;
    symbols.reserve(piece.size());
    auto add = [&](int64_t id, size_t bytes) {
      auto place = static_cast<int32_t>(symbols.size());
      if (place > 0)
        symbols.back().behind = place;
      symbols.push_back({id, place - 1, -1, bytes});
    };
    size_t unknownBytes = 0; // of an unknown token that has not been added yet
    for (size_t at = 0; at < piece.size();) {
      size_t bytes = firstCharacter(piece.substr(at)).bytes;
      std::string_view character = piece.substr(at, bytes);
      std::string marked;
      if ((at > 0 && !prefix_.empty()) || (at + bytes == piece.size() && !suffix_.empty())) {
        marked = (at > 0 ? prefix_ : "") + std::string(character) + (at + bytes == piece.size() ? suffix_ : "");
        character = marked;
      }
      at += bytes;
      if (auto id = vocabulary_.id(character)) {
        if (unknownBytes > 0)
          add(*unknown_, unknownBytes);
        unknownBytes = 0;
        add(*id, bytes);
        continue;
      }
      if (byteFallback_)
        if (auto tokens = byteTokens(vocabulary_, character)) {
          for (int64_t token : *tokens)
            add(token, 1);
          continue;
        }
      if (!unknown_)
        failUnknown(character);
      if (unknownBytes > 0 && !fuseUnknown_) {
        add(*unknown_, unknownBytes);
        unknownBytes = 0;
      }
      unknownBytes += bytes;
    }
    if (unknownBytes > 0)
      add(*unknown_, unknownBytes);
    return symbols;
  }

  const Merge* find(const std::vector<Symbol>& symbols, int32_t left, int32_t right) const {
    return merges_.find(symbols[static_cast<size_t>(left)].id, symbols[static_cast<size_t>(right)].id);
  }

  void merge(std::vector<Symbol>& symbols) const {
    std::vector<Candidate> room;
    room.reserve(symbols.size());
    std::priority_queue<Candidate> queue({}, std::move(room));
    auto push = [&](int32_t left, int32_t right) {
      if (left >= 0 && right >= 0)
        if (const Merge* merge = find(symbols, left, right))
          queue.push({merge->rank, left, merge->id});
    };
    for (size_t i = 1; i < symbols.size(); ++i)
      push(static_cast<int32_t>(i) - 1, static_cast<int32_t>(i));
    while (!queue.empty()) {
      Candidate top = queue.top();
      queue.pop();
      Symbol& left = symbols[static_cast<size_t>(top.place)];
      if (left.bytes == 0 || left.behind < 0)
        continue;
      // Its neighbours may have been merged since it was found.
      const Merge* merge = find(symbols, top.place, left.behind);
      if (!merge || merge->id != top.id)
        continue;
      Symbol& right = symbols[static_cast<size_t>(left.behind)];
      left.id = top.id;
      left.bytes += right.bytes;
      left.behind = right.behind;
      right.bytes = 0;
      if (left.behind >= 0)
        symbols[static_cast<size_t>(left.behind)].before = top.place;
      push(left.before, top.place);
      push(top.place, left.behind);
    }
  }
};

} // namespace

std::unique_ptr<PieceModel> readBpe(const JsonPlace& json) { return std::make_unique<Bpe>(json); }

} // namespace moec::data
