#include "runtime/data/tokenizers/SentencePiece.h"

#include "runtime/core/Error.h"
#include "runtime/core/Printable.h"
#include "runtime/data/tokenizers/RequireText.h"
#include "runtime/data/tokenizers/SentencePieceFile.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <mutex>

namespace sentencepiece::logging {
void SetMinLogLevel(int level); // of the library, in no header of version 0.1.97
} // namespace sentencepiece::logging

namespace moec::data {
namespace {

/// Libraries of moec print nothing.
void silence() {
  static std::once_flag once;
  std::call_once(once, [] { sentencepiece::logging::SetMinLogLevel(3); });
}

class SentencePiece final : public Tokenizer {
public:
  SentencePiece(std::string bytes, const std::string& name) : bytes_(std::move(bytes)), file_(inspectSentencePiece(bytes_, name)) {
    silence();
    std::string problem;
    try {
      auto status = processor_.LoadFromSerializedProto(bytes_);
      if (!status.ok())
        problem = status.ToString();
      else if (processor_.GetPieceSize() == 0)
        problem = "it has no pieces";
    } catch (const std::exception& error) { // of the structure that finds pieces
      problem = error.what();
    }
    if (!problem.empty())
      throw Error(Fault::Data, fmt::format("{}: a damaged SentencePiece model: {}", name, printable(problem)));
    // Where nothing crosses a newline, lines are encoded one by one: scores that add up over a whole book would lose their digits.
    if (file_.newlineStandsAlone && !file_.addsSpace && !file_.joinsSpaces)
      newline_ = processor_.PieceToId("\n");
  }

  int64_t vocabulary() const override { return processor_.GetPieceSize(); }
  std::optional<int64_t> endOfText() const override { return processor_.eos_id() >= 0 ? std::optional<int64_t>(processor_.eos_id()) : std::nullopt; }
  std::string describe() const override { return fmt::format("SentencePiece {} model of {} pieces", file_.kind, vocabulary()); }
  std::string fileName() const override { return "tokenizer.model"; }
  const std::string& fileBytes() const override { return bytes_; }

  std::vector<int64_t> encode(std::string_view text) const override {
    requireText(text);
    std::vector<int64_t> ids;
    if (!newline_) {
      append(text, ids);
      return ids;
    }
    for (;;) {
      size_t end = text.find('\n');
      append(text.substr(0, end), ids);
      if (end == std::string_view::npos)
        return ids;
      ids.push_back(*newline_);
      text.remove_prefix(end + 1);
    }
  }

  std::string decode(std::span<const int64_t> ids) const override {
    std::vector<int> numbers;
    for (int64_t id : ids) {
      requireId(id, vocabulary());
      numbers.push_back(static_cast<int>(id));
    }
    std::string text;
    if (auto status = processor_.Decode(numbers, &text); !status.ok())
      throw Error(Fault::Data, fmt::format("{}: {} tokens cannot be decoded: {}", describe(), ids.size(), printable(status.ToString())));
    return text;
  }

private:
  std::string bytes_;
  SentencePieceFile file_;
  sentencepiece::SentencePieceProcessor processor_;
  std::optional<int64_t> newline_;

  void append(std::string_view text, std::vector<int64_t>& ids) const {
    if (text.empty())
      return;
    std::vector<int> numbers;
    if (auto status = processor_.Encode(absl::string_view(text.data(), text.size()), &numbers); !status.ok())
      throw Error(Fault::Data, fmt::format("{}: a text of {} bytes cannot be encoded: {}", describe(), text.size(), printable(status.ToString())));
    ids.insert(ids.end(), numbers.begin(), numbers.end());
  }
};

} // namespace

TokenizerPtr parseSentencePiece(std::string bytes, const std::string& name) { return std::make_shared<const SentencePiece>(std::move(bytes), name); }

} // namespace moec::data
