#include "models/Layers.h"
#include "models/Statistics.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments&, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value experts = inputs[0], weights = inputs[1];
  if (!site.expects(experts, 0, "(experts, batch, .., width)") || !site.expects(weights, 0, "weights (experts) or (batch, experts)"))
    return {};
  ir::Sizes shape = ir::sizesOf(experts), given = ir::sizesOf(weights);
  if (!site.isPerExpert(experts) || shape.size() < 3)
    return site.error("\"blend\" takes the value of a dense_experts block and weights; \"from\" names them in this order");
  bool perRow = given.size() == 2;
  if (given.size() > 2 || given.back() != shape[0] || (perRow && given[0] != shape[1]))
    return site.error(fmt::format("the weights of a blend of {} are {} or {}, not {}", ir::describe(shape), ir::describe({shape[0]}),
                                  ir::describe({shape[1], shape[0]}), ir::describe(given)));
  if (site.wantsStatistics())
    addLoad(site, perRow ? weights : site.ops().broadcast(weights, {shape[1], shape[0]}));
  return weightedSum(site, experts, weights);
}

} // namespace

const Kind& blendBlock() {
  static const Kind kind{
      .name = "blend",
      .doc = "The sum of all experts' outputs (E, B, ..), weighted by (E) or, each row by its own, (B, E). \"from\" "
             "names the experts, then "
             "the weights.",
      .source = "Ling, Fast mixture-of-experts in PyTorch; electronicarts/character-motion-vaes (blending the "
                "parameters of one linear layer gives the same)",
      .parameters = {},
      .inputs = 2,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
