#pragma once
// Texts, each with a number, found by what a text begins with.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moec::data {

class ByteTrie {
public:
  /// None of the texts is empty; of equal ones the highest number counts. Numbers are 0 or more.
  explicit ByteTrie(std::vector<std::pair<std::string, int64_t>> texts);

  /// Calls `found(bytes, number)` for each of the texts that `text` begins with, the shortest first.
  template <class Found> void prefixes(std::string_view text, Found&& found) const {
    int32_t node = 0;
    for (size_t at = 0; at < text.size(); ++at) {
      node = next(node, static_cast<uint8_t>(text[at]));
      if (node < 0)
        return;
      if (int64_t number = nodes_[static_cast<size_t>(node)].number; number >= 0)
        found(at + 1, number);
    }
  }

private:
  struct Node {
    int64_t number = -1;
    uint32_t first = 0, edges = 0; // in edges_, in the order of their bytes
  };
  struct Edge {
    uint8_t byte = 0;
    int32_t node = 0;
  };
  int32_t next(int32_t node, uint8_t byte) const;

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::array<int32_t, 256> roots_{}; // behind the root, by byte; -1: none
};

} // namespace moec::data
