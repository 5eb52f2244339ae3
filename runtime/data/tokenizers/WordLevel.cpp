// Whole pieces that stand in a list.

#include "runtime/data/tokenizers/PieceModel.h"

namespace moec::data {
namespace {

class WordLevel final : public PieceModel {
public:
  explicit WordLevel(const JsonPlace& json) {
    json.onlyKeys({"type", "unk_token", "vocab"});
    vocabulary_ = Vocabulary(json.at("vocab"));
    unknown_ = vocabulary_.id(json.at("unk_token").string());
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string name() const override { return "list of words"; }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    auto id = vocabulary_.id(piece);
    if (!id && !unknown_)
      failUnknown(piece);
    ids.push_back(id ? *id : *unknown_);
  }

private:
  Vocabulary vocabulary_;
  std::optional<int64_t> unknown_;
};

} // namespace

std::unique_ptr<PieceModel> readWordLevel(const JsonPlace& json) { return std::make_unique<WordLevel>(json); }

} // namespace moec::data
