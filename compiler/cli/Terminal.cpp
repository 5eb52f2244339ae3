#include "compiler/cli/Terminal.h"

#include <fmt/format.h>

#include <cstdlib>
#include <unistd.h>

namespace moec::cli {

bool isColoured(int descriptor) {
  const char* none = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return isatty(descriptor) && !(none && *none) && !(terminal && std::string_view(terminal) == "dumb");
}

std::string coloured(int descriptor, Colour colour, std::string_view text) {
  if (!isColoured(descriptor))
    return std::string(text);
  int code = colour == Colour::Red ? 31 : colour == Colour::Yellow ? 33 : 32;
  return fmt::format("\033[1;{}m{}\033[0m", code, text);
}

std::string colouredSeverities(int descriptor, std::string_view text) {
  std::string result;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    size_t at = std::string_view::npos;
    std::string_view word;
    for (std::string_view severity : {"error:", "warning:"})
      if (size_t found = line.find(severity); found < at && (found == 0 || line.substr(0, found).ends_with(": ")))
        at = found, word = severity;
    if (at != std::string_view::npos) {
      result += line.substr(0, at);
      result += coloured(descriptor, word == "error:" ? Colour::Red : Colour::Yellow, word);
      result += line.substr(at + word.size());
    } else {
      result += line;
    }
    text.remove_prefix(line.size());
    if (!text.empty()) {
      result += '\n';
      text.remove_prefix(1);
    }
  }
  return result;
}

} // namespace moec::cli
