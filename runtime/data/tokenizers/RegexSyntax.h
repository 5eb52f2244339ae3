#pragma once
// Regular expressions of a tokenizer.json are Oniguruma's; PCRE2 reads them after this. Where the two mean different characters (white space, words, scripts,
// escapes) the sets are written out.

#include <stdexcept>
#include <string>
#include <string_view>

namespace moec::data {

/// A construct that is not known here: its text, and what is wrong with it.
struct RegexSyntaxError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The same expression in PCRE2's words, for its UTF and UCP mode with MULTILINE and newline LF. Throws RegexSyntaxError.
std::string toPcre(std::string_view pattern);

} // namespace moec::data
