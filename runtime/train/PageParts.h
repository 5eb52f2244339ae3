#pragma once
// The files of page/ as they stand there; made by cmake/EmbedTexts.cmake.

#include <string_view>

namespace moec::train {

extern const std::string_view kPageHtml, kPageCss, kPageJs;

} // namespace moec::train
