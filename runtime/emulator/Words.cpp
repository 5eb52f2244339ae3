#include "runtime/emulator/Decoder.h"

namespace moec::emulator {

Words::Words(std::string_view opcode) {
  size_t begin = 0;
  while (begin <= opcode.size()) {
    size_t end = opcode.find('.', begin);
    end = end == std::string_view::npos ? opcode.size() : end;
    words_.push_back(opcode.substr(begin, end - begin));
    begin = end + 1;
  }
  taken_.assign(words_.size(), false);
  taken_[0] = true;
}

bool Words::take(std::string_view word) {
  for (size_t i = 1; i < words_.size(); ++i)
    if (!taken_[i] && words_[i] == word)
      return taken_[i] = true;
  return false;
}

bool Words::has(std::string_view word) const {
  for (size_t i = 1; i < words_.size(); ++i)
    if (!taken_[i] && words_[i] == word)
      return true;
  return false;
}

int Words::takeOneOf(std::initializer_list<std::string_view> choices) {
  int index = 0;
  for (std::string_view choice : choices) {
    if (take(choice))
      return index;
    ++index;
  }
  return -1;
}

Type Words::takeType() {
  for (size_t i = 1; i < words_.size(); ++i)
    if (!taken_[i])
      if (Type type = typeNamed(words_[i]); type != Type::None) {
        taken_[i] = true;
        return type;
      }
  return Type::None;
}

std::string_view Words::leftOver() const {
  for (size_t i = 1; i < words_.size(); ++i)
    if (!taken_[i])
      return words_[i];
  return {};
}

void Words::skip(std::string_view prefix) {
  for (size_t i = 1; i < words_.size(); ++i)
    if (words_[i].substr(0, prefix.size()) == prefix)
      taken_[i] = true;
}

} // namespace moec::emulator
