#pragma once
// One level of lucidrains' gates: a first and a second choice among a few scores, weights, who stays. The kinds top_2
// and hierarchical are made of it. Knows nothing of who computes the scores.

#include "models/gates/Gates.h"

namespace moec::models {

/// Parameters that both kinds have.
std::vector<Parameter> top2Parameters();

struct Top2Tokens {
  Size count;             // in a group: what the rate is of
  mlir::Value importance; // (T, 1), each 0, 0.5 or 1; null: all 1
};

struct Top2Choices {
  mlir::Value indices, weights;    // (T, K): 2 choices, or 1 without a second one
  std::optional<mlir::Value> keep; // (T, K); nothing: all enter
  Size capacity;                   // of an expert in a group
  mlir::Value firsts, scores;      // (T, E): 1 at the first choice, and the softmax; 0 of tokens whose importance is not 1
};

/// From logits (T, E). Of importance 1 a token has both choices, of 0.5 the best expert as its second one, of 0 none.
Top2Choices chooseTop2(Site& site, const Arguments& arguments, mlir::Value logits, const Top2Tokens& tokens);

} // namespace moec::models
