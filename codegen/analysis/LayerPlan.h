#pragma once
// What a kernel of kind `moe_layer` computes, read from its ops: a gate, its experts' products, and their combine. For every
// backend: no target and no schedule.

#include "codegen/analysis/GatePlan.h"

namespace moec::codegen {

/// Each expert's rows times its own weights, and the ops behind.
struct LayerProduct {
  ir::GroupedMatmulOp op;
  bool gathered = false; // rows are x (T, depth) by the routing's list; else the sink of a product before
  mlir::Value rows;      // x, or those rows
  size_t from = 0;       // of rows that are not gathered: the product that they are the sink of
  ProductOperand w;
  mlir::Value sink; // rows that the ops behind the product make: the next product's, the combine's, or what a product side by side goes on with
  llvm::SmallVector<unsigned, 2> given; // results of the kernel that are rows, too, made behind this product

  int64_t columns() const { return *w.columns.constant(); }
  int64_t depth() const { return *w.depth.constant(); }
};

struct LayerPlan {
  GatePlan gate;
  llvm::SmallVector<LayerProduct, 2> products; // in the body's order; the last one's sink is combined
  ir::CombineOp combine;
  DType dtype = DType::F32; // of the products
  Size tokens;
  int64_t experts = 0, choices = 0;
  llvm::SmallVector<unsigned> results;   // of the kernel, those behind the combine
  llvm::SmallVector<mlir::Value> wanted; // scores and values of tokens' rows that must stand in memory: results, what the routing is made from, weights
  llvm::SmallVector<mlir::Value> held;   // of these, and the routing, those that are no results

  /// A diagnostic for what no backend writes; widths that are not known at compile time are among it.
  static mlir::FailureOr<LayerPlan> of(ir::KernelOp kernel);
  /// Whether the products stand one behind the other.
  bool isChain() const;
  /// Whether rows of its experts are results: those stand in the routing's order.
  bool givesRows() const {
    return llvm::any_of(products, [](const LayerProduct& product) { return !product.given.empty(); });
  }
  Size rows() const { return tokens * Size(choices); }
  int64_t width() const { return products.back().columns(); }
  mlir::Value routing() const { return gate.routings.front().routing; }

private:
  void addWanted(ir::KernelOp kernel);
  mlir::LogicalResult addProducts(ir::KernelOp kernel);
  mlir::LogicalResult addGiven(ir::KernelOp kernel, llvm::ArrayRef<mlir::Operation*> ofExperts);
  mlir::LogicalResult checkRows(ir::KernelOp kernel) const;
  mlir::LogicalResult checkValues(ir::KernelOp kernel, llvm::ArrayRef<mlir::Operation*> ofExperts) const;
};

} // namespace moec::codegen
