#pragma once
// Cuts PTX text into words. Knows no grammar but comments, strings, numbers and names. Throws PtxError for a comment or string without end.

#include <cstdint>
#include <string>
#include <string_view>

namespace moec::emulator {

struct Token {
  enum class Kind : uint8_t { End, Name, Directive, Number, String, Punctuation } kind = Kind::End;
  std::string_view text; // a Directive with its dot; a String without quotes
  int line = 1;
};

class Lexer {
public:
  explicit Lexer(const std::string& text) : text_(text) { advance(); }

  const Token& peek() const { return token_; }
  Token next() {
    Token token = token_;
    advance();
    return token;
  }
  bool at(std::string_view text) const { return token_.kind != Token::Kind::String && token_.text == text; }
  bool take(std::string_view text) {
    if (!at(text))
      return false;
    advance();
    return true;
  }
  /// Goes back to the start of the current token and reads it as an opcode with all its dotted suffixes.
  Token nextOpcode();
  /// The character right behind the current token.
  char after() const { return position_ < text_.size() ? text_[position_] : '\0'; }
  char secondAfter() const { return position_ + 1 < text_.size() ? text_[position_ + 1] : '\0'; }
  /// The line with that number, trimmed; of a very long one the beginning.
  std::string lineText(int line) const;

private:
  void advance();
  void skipBlanks();

  const std::string& text_;
  size_t position_ = 0, start_ = 0;
  int line_ = 1;
  Token token_;
};

} // namespace moec::emulator
