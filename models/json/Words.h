#pragma once
// Words in messages: quoting, and the suggestion for a misspelt one.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec::models {

/// As a JSON string, printable; past 80 characters it is cut with "...".
std::string inQuotes(std::string_view text);
/// "a, b, c".
std::string joined(std::span<const std::string> words);
/// `unknown gate "topk2"; did you mean "top_k"? known: gshard, top_k`.
std::string unknownWord(std::string_view what, std::string_view word, const std::vector<std::string>& known);
/// The end of such a message: `; did you mean "top_k"? known: gshard, top_k`.
std::string suggestion(std::string_view word, const std::vector<std::string>& known);
/// A letter or underscore, then letters, digits and underscores; at most 64 of them.
bool isName(std::string_view text);

} // namespace moec::models
