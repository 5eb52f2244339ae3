#include "runtime/data/tokenizers/ByteTrie.h"

#include <algorithm>

namespace moec::data {

ByteTrie::ByteTrie(std::vector<std::pair<std::string, int64_t>> texts) {
  std::ranges::sort(texts);
  // Nodes are made in the order of their depth, each for a range of the texts that begin alike; so a node's edges lie next to each other.
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, texts.size(), 0}};
  nodes_.emplace_back();
  for (size_t node = 0; node < ranges.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    for (; begin < end && texts[begin].first.size() == depth; ++begin)
      nodes_[node].number = texts[begin].second;
    nodes_[node].first = static_cast<uint32_t>(edges_.size());
    while (begin < end) {
      char byte = texts[begin].first[depth];
      size_t stop = begin;
      while (stop < end && texts[stop].first[depth] == byte)
        ++stop;
      edges_.push_back({static_cast<uint8_t>(byte), static_cast<int32_t>(nodes_.size())});
      nodes_.emplace_back();
      ranges.push_back({begin, stop, depth + 1});
      begin = stop;
    }
    nodes_[node].edges = static_cast<uint32_t>(edges_.size()) - nodes_[node].first;
  }
  roots_.fill(-1);
  for (uint32_t i = 0; i < nodes_[0].edges; ++i)
    roots_[edges_[i].byte] = edges_[i].node;
}

int32_t ByteTrie::next(int32_t node, uint8_t byte) const {
  if (node == 0)
    return roots_[byte];
  const Node& from = nodes_[static_cast<size_t>(node)];
  auto begin = edges_.begin() + from.first, end = begin + from.edges;
  auto edge = std::lower_bound(begin, end, byte, [](const Edge& e, uint8_t b) { return e.byte < b; });
  return edge != end && edge->byte == byte ? edge->node : -1;
}

} // namespace moec::data
