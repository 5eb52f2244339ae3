#include "runtime/emulator/ptx/Lexer.h"
#include "runtime/emulator/ptx/Module.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>

namespace moec::emulator {
namespace {
bool startsName(char c) { return std::isalpha((unsigned char)c) || c == '_' || c == '$' || c == '%'; }
bool inName(char c) { return std::isalnum((unsigned char)c) || c == '_' || c == '$'; }
} // namespace

void Lexer::skipBlanks() {
  while (position_ < text_.size()) {
    char c = text_[position_];
    if (c == '\n') {
      ++line_;
      ++position_;
    } else if (std::isspace((unsigned char)c)) {
      ++position_;
    } else if (c == '/' && position_ + 1 < text_.size() && text_[position_ + 1] == '/') {
      while (position_ < text_.size() && text_[position_] != '\n')
        ++position_;
    } else if (c == '/' && position_ + 1 < text_.size() && text_[position_ + 1] == '*') {
      size_t end = text_.find("*/", position_ + 2);
      if (end == std::string::npos)
        throw PtxError(fmt::format("ptx:{}: the comment has no end: \"{}\"", line_, lineText(line_)));
      line_ += int(std::count(text_.begin() + long(position_), text_.begin() + long(end), '\n'));
      position_ = end + 2;
    } else {
      return;
    }
  }
}

void Lexer::advance() {
  skipBlanks();
  start_ = position_;
  token_ = {Token::Kind::End, {}, line_};
  if (position_ >= text_.size() || text_[position_] == '\0')
    return;
  auto piece = [&](Token::Kind kind, size_t begin, size_t end) { token_ = {kind, std::string_view(text_).substr(begin, end - begin), line_}; };
  char c = text_[position_];
  if (c == '"') {
    size_t end = text_.find('"', position_ + 1);
    if (end == std::string::npos)
      throw PtxError(fmt::format("ptx:{}: the string has no end: \"{}\"", line_, lineText(line_)));
    piece(Token::Kind::String, position_ + 1, end);
    position_ = end + 1;
    return;
  }
  size_t end = position_ + 1;
  if (startsName(c)) {
    while (end < text_.size() && inName(text_[end]))
      ++end;
    // %tid.x and the like are one name
    if (c == '%' && end + 1 < text_.size() && text_[end] == '.' && std::isalpha((unsigned char)text_[end + 1])) {
      ++end;
      while (end < text_.size() && inName(text_[end]))
        ++end;
    }
    piece(Token::Kind::Name, position_, end);
  } else if (std::isdigit((unsigned char)c)) {
    while (end < text_.size() && (std::isalnum((unsigned char)text_[end]) || text_[end] == '.'))
      ++end;
    piece(Token::Kind::Number, position_, end);
  } else if (c == '.' && end < text_.size() && startsName(text_[end])) {
    while (end < text_.size() && (inName(text_[end])))
      ++end;
    piece(Token::Kind::Directive, position_, end);
  } else {
    piece(Token::Kind::Punctuation, position_, end);
  }
  position_ = end;
}

Token Lexer::nextOpcode() {
  size_t end = start_;
  while (end < text_.size() && (inName(text_[end]) || text_[end] == '.' || text_[end] == ':'))
    ++end;
  Token token{Token::Kind::Name, std::string_view(text_).substr(start_, end - start_), token_.line};
  position_ = end;
  advance();
  return token;
}

std::string Lexer::lineText(int line) const {
  size_t begin = 0;
  for (int at = 1; at < line; ++at) {
    begin = text_.find('\n', begin);
    if (begin == std::string::npos)
      return {};
    ++begin;
  }
  size_t end = text_.find('\n', begin);
  std::string found = text_.substr(begin, end == std::string::npos ? end : end - begin);
  size_t first = found.find_first_not_of(" \t\r"), last = found.find_last_not_of(" \t\r");
  if (first == std::string::npos)
    return {};
  constexpr size_t kMost = 200;
  found = found.substr(first, last - first + 1);
  return found.size() > kMost ? found.substr(0, kMost) + "..." : found;
}

} // namespace moec::emulator
