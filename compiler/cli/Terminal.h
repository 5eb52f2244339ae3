#pragma once
// Colour: on a terminal only, and not where NO_COLOR (any value but the empty one) or TERM=dumb is set.

#include <string>
#include <string_view>

namespace moec::cli {

enum class Colour { Red, Yellow, Green };

/// Whether what is written to this descriptor may be coloured.
bool isColoured(int descriptor);
/// The text, bold and in the colour where the descriptor may be coloured.
std::string coloured(int descriptor, Colour colour, std::string_view text);

/// The word behind "file:line:col: " or at the front of a diagnostic, coloured as compilers do it: "error:" red,
/// "warning:" yellow; in every line.
std::string colouredSeverities(int descriptor, std::string_view text);

} // namespace moec::cli
