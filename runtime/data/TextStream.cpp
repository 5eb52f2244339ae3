#include "runtime/data/TextStream.h"

#include "runtime/core/Utf8.h"

#include <algorithm>

namespace moec::data {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD
constexpr size_t kLongestWait = 4;                        // tokens of one byte that a character has at most

} // namespace

// A token's text can depend on the one before it (a space in front of a word), so what was given last stays in front of what is decoded; what lies before that
// never matters any more.
std::string TextStream::add(int64_t token) {
  ids_.push_back(token);
  std::string text = tokenizer_->decode(ids_);
  // Bytes of a character whose others are to come are a cut character here, or U+FFFD at the end, by the tokenizer.
  bool waits = text.ends_with(kReplacement) || incompleteTail(text) < text.size();
  if (waits && ids_.size() - shown_ < kLongestWait)
    return "";
  return take(text, text.ends_with(kReplacement) ? text.size() : incompleteTail(text));
}

std::string TextStream::finish() {
  std::string text = tokenizer_->decode(ids_);
  return take(text, text.size());
}

std::string TextStream::take(const std::string& text, size_t end) {
  size_t begin = static_cast<size_t>(std::ranges::mismatch(text, before_).in1 - text.begin());
  while (begin > 0 && begin < text.size() && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80)
    --begin;
  if (begin >= end)
    return "";
  std::string result = withReplacements(std::string_view(text).substr(begin, end - begin));
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<ptrdiff_t>(shown_));
  shown_ = ids_.size();
  before_ = tokenizer_->decode(ids_);
  if (end < text.size()) // a cut character: its bytes are given when they are whole
    before_.resize(before_.size() - (text.size() - end));
  return result;
}

} // namespace moec::data
