#pragma once
// A small model that continues texts: attention over what came before, a mixture of experts, a score for each token.

#include <fmt/format.h>

#include <string>

namespace moec::test {

struct Speaker {
  int vocabulary, width, length, hidden;
  std::string more = {}; // behind the loss: further members of the file
};

inline std::string textOf(const Speaker& speaker) {
  constexpr const char* kText = R"({{
  "name": "speaker",
  "inputs": {{"tokens": {{"shape": ["batch", "sequence"], "dtype": "i64"}}, "targets": {{"shape": ["batch", "sequence"], "dtype": "i64", "for": "loss"}}}},
  "model": [
    {{"kind": "embedding", "vocabulary": {0}, "dim": {1}}},
    {{"kind": "position_embedding", "length": {2}}},
    {{"kind": "residual", "body": [{{"kind": "layer_norm"}}, {{"kind": "attention", "heads": 2, "causal": true}}]}},
    {{"kind": "residual", "body": [{{"kind": "layer_norm"}}, {{"kind": "moe", "gate": {{"kind": "top_k", "top_k": 2}}, "experts": {{"kind": "mlp", "count": 4, "hidden": {3}, "activation": "gelu"}}}}]}},
    {{"kind": "linear", "out": {0}, "name": "scores"}}
  ],
  "loss": {{"kind": "cross_entropy", "scores": "scores", "labels": "targets"}}{4}
}})";
  return fmt::format(kText, speaker.vocabulary, speaker.width, speaker.length, speaker.hidden, speaker.more);
}

} // namespace moec::test
