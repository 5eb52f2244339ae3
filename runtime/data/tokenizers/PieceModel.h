#pragma once
// The model of a tokenizer.json: ids of a piece, whatever stands around it.

#include "runtime/data/tokenizers/JsonPlace.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace moec::data {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class T> using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

/// Tokens and their ids, both ways.
class Vocabulary {
public:
  Vocabulary() = default;
  /// {"token": id, ..}. Error(Data) for an id that two tokens have.
  explicit Vocabulary(const JsonPlace& json);

  void add(const std::string& token, int64_t id);
  std::optional<int64_t> id(std::string_view token) const;
  /// Nothing where no token has this id.
  const std::string* token(int64_t id) const;
  size_t size() const { return ids_.size(); }
  /// All ids lie below.
  int64_t end() const { return end_; }

private:
  TextMap<int64_t> ids_;
  std::unordered_map<int64_t, std::string> tokens_;
  int64_t end_ = 0;
};

class PieceModel {
public:
  virtual ~PieceModel() = default;
  virtual const Vocabulary& vocabulary() const = 0;
  /// Appends the ids of a piece that is not empty. Error(Data) for one that has no token and no id stands for what is unknown.
  virtual void encode(std::string_view piece, std::vector<int64_t>& ids) const = 0;
  /// "byte-pair encoding".
  virtual std::string name() const = 0;
};

constexpr int64_t kLargestId = INT32_MAX;

std::unique_ptr<PieceModel> readBpe(const JsonPlace& json);
std::unique_ptr<PieceModel> readUnigram(const JsonPlace& json);
std::unique_ptr<PieceModel> readWordPiece(const JsonPlace& json);
std::unique_ptr<PieceModel> readWordLevel(const JsonPlace& json);

/// Whichever `json` describes, by "type", or by its other keys where that is missing.
std::unique_ptr<PieceModel> readPieceModel(const JsonPlace& json);

/// Error(Data): no token for this, and none for what is unknown.
[[noreturn]] void failUnknown(std::string_view piece);
/// The ids of "<0x0A>" and so on for each byte of a text; nothing when one of them is missing.
std::optional<std::vector<int64_t>> byteTokens(const Vocabulary& vocabulary, std::string_view text);

} // namespace moec::data
