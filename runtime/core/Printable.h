#pragma once
// Foreign text made fit for a terminal.

#include <string>
#include <string_view>

namespace moec {

/// Newlines stay; other control characters, those that turn the direction of writing, and bytes that are no UTF-8 are written out as \u001b or \xff.
std::string printable(std::string_view text);
/// The same for the first character of a text that is not empty, newlines too. Gives how many bytes it has.
size_t appendPrintable(std::string& result, std::string_view text);
/// Does it have a control character, or bytes that are no UTF-8?
bool hasControls(std::string_view text);

} // namespace moec
