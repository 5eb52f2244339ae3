#pragma once
// The page's HTML and style: compiler/cli/bench/page, embedded.

#include <string_view>

namespace moec::cli {

extern const std::string_view kBenchPageHtml, kBenchPageCss;

} // namespace moec::cli
