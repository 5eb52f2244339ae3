#pragma once
// What a kernel of kind `gate`, or the gate within a kernel of kind `moe_layer`, computes, read from its ops. For every backend: no target and no
// schedule.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// x (T, D) times the transpose of w (E, D), both arguments.
struct ScoreProduct {
  ir::MatmulOp op;
  unsigned x;
  ProductOperand w;
};

/// A routing: an assignment, then drops.
struct RoutingChain {
  mlir::Value routing;
  ir::AssignOp assign;
  llvm::SmallVector<mlir::Value> keeps;

  /// Each group, or each expert of an outer routing, has capacities of its own.
  bool isGrouped() const;
  /// Experts that a token chooses among: all, or those of its outer expert.
  int64_t offered() const;
};

struct GatePlan {
  std::vector<ScoreProduct> products;
  std::vector<mlir::Operation*> rowOps; // what is neither product nor routing, in order
  std::vector<RoutingChain> routings;
  DType dtype = DType::F32; // of the products
  Size tokens;

  /// A diagnostic for what no backend writes.
  static mlir::FailureOr<GatePlan> of(ir::KernelOp kernel);
  /// Of some of a kernel's ops, in order, which make these routings.
  static mlir::FailureOr<GatePlan> of(ir::KernelOp kernel, llvm::ArrayRef<mlir::Operation*> ops, llvm::ArrayRef<mlir::Value> routings);
  /// Values that routings are made from: indices and masks, each once, in order.
  std::vector<mlir::Value> routed() const;
  /// The routing whose rows are the kernel's tokens: those behind its count are none. Null: all are.
  mlir::Value within() const { return routings.empty() ? mlir::Value() : ir::AssignOp(routings.front().assign).getWithin(); }
  bool isRowValue(mlir::Value value) const { return llvm::is_contained(rowOps, value.getDefiningOp()); }
  /// Whether it is the scores of a product.
  bool isScores(mlir::Value value) const;

private:
  mlir::LogicalResult addProduct(ir::KernelOp kernel, ir::MatmulOp op);
  mlir::LogicalResult addRouting(ir::KernelOp kernel, mlir::Value routing);
};

/// Whether the kernel only takes a routing apart, by moe.experts_of: no GatePlan then.
bool takesRoutingsApart(ir::KernelOp kernel);

/// A result of such a kernel: experts [from, from + count) of a routing, as a routing of their own.
struct RoutingPart {
  mlir::Value routing; // an argument, at place `input`
  mlir::Value result;
  unsigned input;
  int64_t from, count;
};
/// One for each result, in their order. A diagnostic where the kernel computes something else besides.
mlir::FailureOr<std::vector<RoutingPart>> routingPartsOf(ir::KernelOp kernel);

/// The place of a value among the kernel's results, if it is one.
std::optional<unsigned> resultOf(ir::KernelOp kernel, mlir::Value value);

} // namespace moec::codegen
