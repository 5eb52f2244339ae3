#include "models/losses/Losses.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

namespace {

bool check(Site& site, const Arguments& arguments) {
  Value prediction = site.named(arguments, "prediction"), target = site.named(arguments, "target");
  if (!prediction || !target)
    return false;
  auto type = mlir::cast<mlir::RankedTensorType>(prediction.getType());
  if (!mlir::isa<mlir::FloatType>(type.getElementType())) {
    site.error(fmt::format("\"mse\" takes a prediction of a float, and gets {}", describe(prediction)));
    return false;
  }
  if (prediction.getType() == target.getType())
    return true;
  site.error(fmt::format("\"mse\" of {} takes a target of the same shape and dtype, {}, not {}", describe(prediction), ir::describe(ir::sizesOf(prediction)),
                         describe(target)));
  return false;
}

Value build(Site& site, const Arguments& arguments) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  Value prediction = ops.cast(site.named(arguments, "prediction"), element);
  Value away = ops.sub(prediction, ops.cast(site.named(arguments, "target"), element));
  return ops.reduceAll(ir::ReduceKind::Mean, ops.mul(away, away));
}

} // namespace

const Kind& mseLoss() {
  static const Kind kind{
      .name = "mse",
      .family = Family::Loss,
      .doc = "The mean of squared differences. With bf16 it is taken in f32.",
      .source = "PyTorch 2.15 (torch.nn.MSELoss)",
      .parameters =
          {
              {.name = "prediction", .type = ParameterType::ValueName, .required = true, .doc = "What the model says."},
              {.name = "target", .type = ParameterType::ValueName, .required = true, .doc = "What it should say, of the same shape."},
          },
      .checkLoss = check,
      .loss = build,
  };
  return kind;
}

} // namespace moec::models
