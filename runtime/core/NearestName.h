#pragma once
// The suggestion behind `unknown gate "topk2"; did you mean "top_k"?`.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Insertions, deletions, replacements and swaps of neighbours that turn one name into the other.
size_t editDistance(std::string_view a, std::string_view b);

/// The known name nearest to `name`, if it is near enough to be meant; the first of equals.
std::optional<std::string> nearestName(std::string_view name, const std::vector<std::string>& known);

/// `; did you mean "top_k"?` or nothing: to be put behind a message.
std::string didYouMean(std::string_view name, const std::vector<std::string>& known);

} // namespace moec
