#include "models/losses/Losses.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

namespace {

bool check(Site& site, const Arguments& arguments) {
  Value scores = site.named(arguments, "scores"), labels = site.named(arguments, "labels");
  if (!scores || !labels)
    return false;
  auto type = mlir::cast<mlir::RankedTensorType>(scores.getType());
  ir::Sizes rows = ir::sizesOf(scores);
  if (rows.empty() || !mlir::isa<mlir::FloatType>(type.getElementType())) {
    site.error(fmt::format("\"cross_entropy\" takes scores (.., classes) of a float, and gets {}", describe(scores)));
    return false;
  }
  if (!rows.back().isConstant()) { // no label could be held against it before the kernels read by it
    site.error(fmt::format("\"cross_entropy\" takes a number of classes that the model knows, and gets {}", describe(scores)));
    return false;
  }
  rows.pop_back();
  mlir::Type label = mlir::cast<mlir::RankedTensorType>(labels.getType()).getElementType();
  if (ir::sizesOf(labels) == rows && label.isSignlessInteger() && !label.isInteger(1))
    return true;
  site.error(fmt::format("\"cross_entropy\" of {} takes labels of i64{}, not {}", describe(scores), ir::describe(rows), describe(labels)));
  return false;
}

Value build(Site& site, const Arguments& arguments) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t ignore = arguments.integer("ignore_index");
  Value labels = site.named(arguments, "labels");
  if (!site.limitIds(labels, *ir::sizesOf(site.named(arguments, "scores")).back().constant(), ignore))
    return {};
  Value scores = ops.cast(site.named(arguments, "scores"), element);
  mlir::Type label = mlir::cast<mlir::RankedTensorType>(labels.getType()).getElementType();
  Value rows = ops.crossEntropy(scores, labels, arguments.number("label_smoothing"), ignore);
  Value counts = ops.compare(ir::Predicate::NE, labels, ops.constant({}, {static_cast<double>(ignore)}, label));
  Value count = ops.reduceAll(ir::ReduceKind::Sum, ops.cast(counts, element));
  if (site.wantsMetrics()) {
    Value right = ops.reduceAll(ir::ReduceKind::Sum, ops.cast(ops.isTop(scores, labels, ignore), element));
    site.addMetric("accuracy", ops.div(right, count));
    site.addMetric("labels", count);
  }
  return ops.div(ops.reduceAll(ir::ReduceKind::Sum, rows), count);
}

} // namespace

const Kind& crossEntropyLoss() {
  static const Kind kind{
      .name = "cross_entropy",
      .family = Family::Loss,
      .doc = "The mean of -log softmax(scores)[label] over the rows whose label is not ignore_index. Where all are "
             "ignored it is NaN. With bf16 it is taken in f32. An evaluation also gives `accuracy`, the share of these rows "
             "whose label has the highest score (of equal ones the first counts), and `labels`, how many rows these are.",
      .source = "PyTorch 2.15 (torch.nn.CrossEntropyLoss)",
      .parameters =
          {
              {.name = "scores", .type = ParameterType::ValueName, .required = true, .doc = "Logits (.., classes)."},
              {.name = "labels", .type = ParameterType::ValueName, .required = true, .doc = "Integers (..)."},
              {.name = "label_smoothing",
               .type = ParameterType::Number,
               .fallback = "0",
               .least = 0,
               .most = 0.999,
               .doc = "How much of the loss is the mean of -log softmax(scores) over all classes, in the label's place."},
              {.name = "ignore_index", .fallback = "-100", .least = -16777216, .doc = "The label of rows that do not count."},
          },
      .checkLoss = check,
      .loss = build,
  };
  return kind;
}

} // namespace moec::models
