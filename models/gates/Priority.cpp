#include "models/gates/Priority.h"

#include <fmt/format.h>

namespace moec::models {

Parameter priorityParameter(std::vector<std::string> words) {
  std::string doc = "Who enters an expert first. token_major: by token";
  for (const std::string& word : words)
    doc += word == "choice_major" ? "; choice_major: all first choices, by token, before all second ones"
           : word == "score"      ? "; score: the choices of the highest weight"
           : word == "batch"      ? "; batch: all first choices before all second ones, each time the tokens whose best weight is highest"
                                  : "";
  bool isPlain = words.back() == "choice_major";
  return {.name = "priority",
          .type = ParameterType::Word,
          .fallback = "\"token_major\"",
          .words = std::move(words),
          .doc = doc + ".",
          .source = isPlain ? ""
                            : "score: Megatron-Core (moe_token_drop_policy probs); batch: Riquelme et al. 2021 (arXiv "
                              "2106.05974, Batch Prioritized Routing)"};
}

mlir::Value assignByPriority(Site& site, const Arguments& arguments, mlir::Value indices, mlir::Value weights, Ops::Assignment rule) {
  Ops& ops = site.ops();
  const std::string& word = arguments.word("priority");
  bool isBatch = word == "batch", byScore = isBatch || word == "score";
  rule.priority = word == "choice_major" ? ir::Priority::ChoiceMajor : ir::Priority::TokenMajor;
  // Texts are continued with room for all.
  if (!byScore || !rule.capacity || site.isGenerating() || !indices || !weights)
    return ops.assign(indices, rule);
  int64_t choices = *ir::sizesOf(weights)[1].constant();
  mlir::Value scores = weights;
  if (isBatch && choices > 1) {
    std::vector<double> ones(static_cast<size_t>(choices), 1);
    scores = ops.mul(ops.slice(weights, 1, 0, 1), ops.constant({1, choices}, ones, site.routerElement())); // of the best
  }
  mlir::Value places = ops.places(
      indices, scores,
      {.experts = rule.experts, .priority = isBatch ? ir::Priority::ChoiceMajor : ir::Priority::TokenMajor, .groups = rule.groups, .keep = rule.keep});
  mlir::Value fits = ops.compare(ir::Predicate::LT, places, ops.number(*rule.capacity, ops.element(DType::I32)));
  rule.keep = rule.keep ? ops.binary<ir::MinOp>(*rule.keep, fits) : fits;
  return ops.assign(indices, rule);
}

} // namespace moec::models
