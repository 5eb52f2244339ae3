#pragma once
// Words of a results file, which anyone may have written: none steers a terminal, and none fills it.

#include "runtime/core/Printable.h"

namespace moec::cli {

/// On one line, what is no plain character written out (runtime/core/Printable.h), and at most so many characters.
inline std::string shownWord(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string result;
  for (size_t length = 0; !text.empty(); ++length) {
    if (length == kMost)
      return result + "...";
    text.remove_prefix(appendPrintable(result, text));
  }
  return result;
}

} // namespace moec::cli
