// RowText: rows that a routing finds in memory, and sums of them.
#include "codegen/analysis/Rows.h"
#include "codegen/cuda/RowText.h"

namespace moec::codegen::cuda {

namespace {

/// The parts of a routing in memory (runtime/core/KernelAbi.h, RoutingLayout).
struct RoutingParts {
  std::string offsets, rowList, slots;
  int64_t experts, choices;
};

RoutingParts partsOf(KernelText& k, mlir::Value routing) {
  auto type = mlir::cast<ir::RoutingType>(routing.getType());
  std::string base = k.input(mlir::cast<mlir::BlockArgument>(routing).getArgNumber());
  Size rows = Size::parse(type.getTokens().getValue().str()) * Size(type.getChoices());
  return {base, fmt::format("({} + {})", base, type.getExperts() + 1), fmt::format("({} + {} + {})", base, type.getExperts() + 1, k.size(rows)),
          type.getExperts(), type.getChoices()};
}

} // namespace

/// A routed op reads whole tensors: its rows have other indices than the kernel's.
mlir::LogicalResult RowText::checkRouted(mlir::Operation* op) {
  for (mlir::Value operand : op->getOperands())
    if (!mlir::isa<mlir::BlockArgument>(operand))
      return k_.kernel().emitError() << "internal: an operand of " << op->getName() << " must be an argument of its kernel";
  return mlir::success();
}

/// Finds the row's place once; its elements are read where they are wanted.
void RowText::printRouted(mlir::Operation* op) {
  if (auto combine = mlir::dyn_cast<ir::CombineOp>(op))
    return printCombine(combine);
  mlir::Value routing = routingOf(op), from = op->getOperand(0);
  RoutingParts parts = partsOf(k_, routing);
  std::string row;
  if (mlir::isa<ir::ExpertCountsOp>(op)) {
    bind(op->getResult(0), [this, offsets = parts.offsets](const Coordinates& at) {
      return define(DType::I32, "count", fmt::format("{0}[{1} + 1] - {0}[{1}]", offsets, at.back()));
    });
    return;
  }
  if (mlir::isa<ir::RowWeightsOp>(op)) {
    std::string place = texts_.fresh("place"), weights = k_.input(mlir::cast<mlir::BlockArgument>(from).getArgNumber());
    out_.line("const int {} = {}[{}];", place, parts.rowList, row_.at[0]);
    DType type = dtypeOf(from);
    std::string weight =
        define(type, "weight", fmt::format("{} < 0 ? {} : {}", place, literal(type == DType::BF16 ? DType::F32 : type, 0), loadText(type, weights, place)));
    bind(op->getResult(0), [weight](const Coordinates&) { return weight; });
    return;
  }
  if (auto values = mlir::dyn_cast<ir::ChoiceValuesOp>(op)) {
    std::string column = k_.input(mlir::cast<mlir::BlockArgument>(from).getArgNumber());
    bind(values.getResult(), [=, this](const Coordinates& at) {
      DType type = dtypeOf(from);
      std::string slot = texts_.fresh("slot");
      out_.line("const int {} = {}[(long long){} * {} + {}];", slot, parts.slots, at[0], parts.choices, at[1]);
      return define(type, "value", fmt::format("{} < 0 ? {} : {}", slot, literal(type == DType::BF16 ? DType::F32 : type, 0), loadText(type, column, slot)));
    });
    return;
  }
  if (mlir::isa<ir::DispatchOp>(op)) {
    row = texts_.fresh("token");
    std::string choice = texts_.fresh("choice"); // behind the count the list holds -1: any row will do there
    out_.line("const int {} = {}[{}];", choice, parts.rowList, row_.at[0]);
    out_.line("const int {0} = {1} < 0 ? 0 : {1} / {2};", row, choice, parts.choices);
  } else {
    k_.use("routing.cuh");
    std::string& expert = experts_[routing];
    if (expert.empty()) {
      expert = texts_.fresh("expert");
      out_.line("const int {} = expertOfRow<{}>({}, {});", expert, parts.experts, parts.offsets, row_.at[0]);
    }
    row = expert;
  }
  bind(op->getResult(0), [this, from, row](const Coordinates& at) { return texts_.element(from, broadcastPlace(ir::sizesOf(from), {row, at.back()})); });
}

/// An element is the sum over its token's kept choices, in their order.
void RowText::printCombine(ir::CombineOp op) {
  RoutingParts parts = partsOf(k_, op.getRouting());
  DType type = dtypeOf(op.getResult()), ofRows = dtypeOf(op.getRows()), ofWeights = dtypeOf(op.getWeights());
  auto pointer = [&](mlir::Value argument) { return k_.input(mlir::cast<mlir::BlockArgument>(argument).getArgNumber()); };
  std::string slots = texts_.fresh("slots"), weights = texts_.fresh("weights"), rows = pointer(op.getRows()), width = k_.size(widthOf(op.getResult()));
  out_.line("const int* {} = {} + (long long){} * {};", slots, parts.slots, row_.at[0], parts.choices);
  out_.line("const {}* {} = {} + (long long){} * {};", memoryType(ofWeights), weights, pointer(op.getWeights()), row_.at[0], parts.choices);
  bind(op.getResult(), [=, this, choices = parts.choices](const Coordinates& at) {
    std::string sum = texts_.fresh("sum"), choice = texts_.fresh("choice");
    out_.line("{} {} = 0;", registerType(type), sum);
    out_.add("#pragma unroll 1"); // a thread's columns are side by side already
    out_.open("for (int {0} = 0; {0} < {1}; ++{0})", choice, choices);
    out_.line("if ({}[{}] >= 0)", slots, choice);
    std::string element = loadText(ofRows, rows, fmt::format("(long long){}[{}] * {} + {}", slots, choice, width, at.back()));
    out_.line("  {0} += {1} * {2};", sum, loadText(ofWeights, weights, choice), element);
    out_.close();
    return type == DType::BF16 ? define(type, "combined", rounded(type, sum)) : sum;
  });
}

} // namespace moec::codegen::cuda
