#pragma once
// Properties of characters and normal forms, as the tokenizers ask for them. By utf8proc: of its version of Unicode.

#include <string>
#include <string_view>

namespace moec::data {

bool isSpace(char32_t code);       // White_Space
bool isPunctuation(char32_t code); // category P, and ASCII's signs
bool isNumeric(char32_t code);     // category N
bool isWord(char32_t code);        // letters, marks, digits, connectors, joiners, and what else is Alphabetic
bool isMark(char32_t code);        // category M
bool isNonspacingMark(char32_t code);
bool isControl(char32_t code); // Cc, Cf, Co
bool isCjkIdeograph(char32_t code);

/// Appends the lower case of a character, without regard to what stands around it.
void appendLower(std::string& text, char32_t code);

enum class NormalForm { C, D, KC, KD };
/// Of UTF-8 text.
std::string normalForm(std::string_view text, NormalForm form);

/// How many bytes the first extended grapheme cluster of a text has that is not empty.
size_t firstGrapheme(std::string_view text);

} // namespace moec::data
