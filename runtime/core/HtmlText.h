#pragma once
// Foreign text made fit for a page.

#include <string>
#include <string_view>

namespace moec {

/// Text between tags or in an attribute; control characters become blanks.
std::string htmlText(std::string_view text);

} // namespace moec
