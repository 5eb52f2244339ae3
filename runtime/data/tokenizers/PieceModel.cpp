#include "runtime/data/tokenizers/PieceModel.h"

#include "runtime/core/Printable.h"
#include "runtime/data/tokenizers/Kinds.h"

#include <algorithm>

namespace moec::data {

Vocabulary::Vocabulary(const JsonPlace& json) {
  ids_.reserve(json.object().size());
  tokens_.reserve(json.value().size());
  for (const auto& [token, value] : json.value().items()) {
    if (!value.is_number_integer())
      json.fail(fmt::format("token \"{}\" has the id {}; expected an integer", token, value.dump()));
    // A negative number is a large one here.
    auto id = value.get<uint64_t>();
    if (id > static_cast<uint64_t>(kLargestId))
      json.fail(fmt::format("token \"{}\" has the id {}; ids lie from 0 to {}", token, value.dump(), kLargestId));
    if (const std::string* other = this->token(static_cast<int64_t>(id)))
      json.fail(fmt::format("the tokens \"{}\" and \"{}\" both have the id {}", *other, token, id));
    add(token, static_cast<int64_t>(id));
  }
}

void Vocabulary::add(const std::string& token, int64_t id) {
  ids_[token] = id;
  tokens_[id] = token;
  end_ = std::max(end_, id + 1);
}

std::optional<int64_t> Vocabulary::id(std::string_view token) const {
  auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Vocabulary::token(int64_t id) const {
  auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second;
}

void failUnknown(std::string_view piece) {
  throw Error(Fault::Data, fmt::format("the tokenizer has no token for \"{}\", and none for what it does not know", printable(piece)));
}

std::optional<std::vector<int64_t>> byteTokens(const Vocabulary& vocabulary, std::string_view text) {
  std::vector<int64_t> result;
  for (char byte : text) {
    auto id = vocabulary.id(fmt::format("<0x{:02X}>", static_cast<unsigned>(static_cast<uint8_t>(byte))));
    if (!id)
      return {};
    result.push_back(*id);
  }
  return result;
}

std::unique_ptr<PieceModel> readPieceModel(const JsonPlace& json) {
  static const Kinds<std::unique_ptr<PieceModel>> kinds{{"BPE", readBpe}, {"Unigram", readUnigram}, {"WordLevel", readWordLevel}, {"WordPiece", readWordPiece}};
  if (json.find("type"))
    return readKind(kinds, "model", json);
  // Files of before there were types.
  if (json.find("merges"))
    return readBpe(json);
  if (json.find("continuing_subword_prefix"))
    return readWordPiece(json);
  return json.at("vocab").value().is_array() ? readUnigram(json) : readWordLevel(json);
}

} // namespace moec::data
