#pragma once
// Tensor types as tests write them.

#include <string>
#include <vector>

namespace moec {

/// The text of a tensor type: `tensor<3x5xf32>` of {"3", "5"}, and `tensor<?x5xf32, #moe.sizes<"t", "5">>` of {"t", "5"}, where "t" is known only to a call.
inline std::string tensorText(const std::vector<std::string>& sizes, const std::string& element) {
  std::string dims, names;
  bool symbolic = false;
  for (const std::string& size : sizes) {
    bool number = size.find_first_not_of("0123456789") == std::string::npos;
    symbolic |= !number;
    dims += (number ? size : "?") + "x";
    names += (names.empty() ? "\"" : ", \"") + size + "\"";
  }
  return "tensor<" + dims + element + (symbolic ? ", #moe.sizes<" + names + ">" : "") + ">";
}

} // namespace moec
