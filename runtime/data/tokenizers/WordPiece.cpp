// WordPiece: from the left the longest token each time; a word that cannot be cut like this is unknown as a whole.

#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/PieceModel.h"

namespace moec::data {
namespace {

class WordPiece final : public PieceModel {
public:
  explicit WordPiece(const JsonPlace& json) {
    json.onlyKeys({"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
    vocabulary_ = Vocabulary(json.at("vocab"));
    unknown_ = vocabulary_.id(json.at("unk_token").string());
    prefix_ = json.at("continuing_subword_prefix").string();
    longest_ = json.at("max_input_chars_per_word").integer(0, INT32_MAX);
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string name() const override { return "WordPiece model"; }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    size_t before = ids.size();
    if (characters(piece) <= longest_ && cut(piece, ids))
      return;
    ids.resize(before);
    if (!unknown_)
      failUnknown(piece);
    ids.push_back(*unknown_);
  }

private:
  Vocabulary vocabulary_;
  std::optional<int64_t> unknown_;
  std::string prefix_;
  int64_t longest_ = 0; // characters

  static int64_t characters(std::string_view text) {
    int64_t count = 0;
    for (char c : text)
      count += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
    return count;
  }

  bool cut(std::string_view piece, std::vector<int64_t>& ids) const {
    for (size_t begin = 0; begin < piece.size();) {
      std::string token = begin > 0 ? prefix_ : "";
      size_t mark = token.size(), end = piece.size();
      token += piece.substr(begin);
      std::optional<int64_t> id;
      while (end > begin && !(id = vocabulary_.id(token))) {
        do
          --end;
        while ((static_cast<uint8_t>(piece[end]) & 0xC0) == 0x80);
        token.resize(mark + end - begin);
      }
      if (!id)
        return false;
      ids.push_back(*id);
      begin = end;
    }
    return true;
  }
};

} // namespace

std::unique_ptr<PieceModel> readWordPiece(const JsonPlace& json) { return std::make_unique<WordPiece>(json); }

} // namespace moec::data
