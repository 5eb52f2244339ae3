#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 0, "(experts, batch, ..)"))
    return {};
  if (!site.isPerExpert(x))
    return site.error("\"variance\" over experts takes the value of a dense_experts block");
  int64_t experts = *ir::sizesOf(x)[0].constant(), correction = arguments.integer("correction");
  if (experts <= correction)
    return site.error(fmt::format("the variance over {} experts with correction {} divides by {}", experts, correction, experts - correction));
  Ops& ops = site.ops();
  mlir::Value away = ops.sub(x, ops.reduce(ir::ReduceKind::Mean, x, 0));
  mlir::Value sum = ops.reduce(ir::ReduceKind::Sum, ops.mul(away, away), 0);
  double count = static_cast<double>(experts - correction);
  return ops.div(sum, ops.constant({1}, {count}, site.element()));
}

} // namespace

const Kind& varianceBlock() {
  static const Kind kind{
      .name = "variance",
      .doc = "How far the experts' outputs (E, ..) lie apart: the sum of squared distances from their mean, over E - "
             "correction.",
      .source = "PyTorch 2.5 (torch.var)",
      .parameters =
          {
              {.name = "over", .type = ParameterType::Word, .required = true, .words = {"experts"}, .doc = "The dimension that disappears."},
              {.name = "correction", .fallback = "1", .least = 0, .most = 1, .doc = "1: of a sample (torch.var's default). 0: of the whole."},
          },
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
