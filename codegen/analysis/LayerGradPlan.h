#pragma once
// What a kernel of kind `layer_grad` computes, read from its ops: the way back through a layer's experts, from the gradient of the tokens' results to those of
// all weights. For every backend: no target and no schedule.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

struct LayerGradPlan {
  /// What elements of a value (R, columns) are made from: those of a tensor of tokens, by the routing's list; elementwise of the gathered dy; of the product.
  enum class Source { Tokens, Gradient, Product };
  struct Rows {
    mlir::Value value;
    Source source;
    int64_t columns;
    unsigned input = 0; // of tokens: their tensor
  };
  /// moe.grouped_weight_grad and moe.expert_sums of `rows`, by their places there.
  struct WeightGrad {
    size_t dy, x;
    unsigned result;
  };
  struct Sum {
    size_t rows;
    unsigned result;
  };

  ir::DispatchOp gradient;     // dy by the routing's list
  ir::GroupedMatmulOp product; // of these rows and each expert's weight
  ir::RowWeightsOp ofRows;     // null: no op reads the choices' weights
  ProductOperand w;
  DType dtype = DType::F32;
  unsigned routing = 0, weights = 0; // inputs
  int64_t experts = 0, choices = 0;
  Size count;                   // R
  llvm::SmallVector<Rows> rows; // the first are `gradient`'s; of the others those that other members name
  llvm::SmallVector<WeightGrad> weightGrads;
  llvm::SmallVector<Sum> sums;
  llvm::SmallVector<std::pair<size_t, unsigned>> given; // rows of the product that are results
  llvm::SmallVector<size_t> terms;                      // rows whose sums over all columns, added up, are the result `ofChoices` (R)
  std::optional<unsigned> ofChoices = {};

  /// A diagnostic for what no backend writes; widths that are not known at compile time are among it.
  static mlir::FailureOr<LayerGradPlan> of(ir::KernelOp kernel);
  int64_t width() const { return rows.front().columns; }
  int64_t hidden() const { return *w.columns.constant(); }
  /// Elements of all weights' gradients of one expert.
  int64_t elements() const;
  /// Of a row; a multiply-add counts twice.
  int64_t operations() const { return 2 * (hidden() * width() + elements()); }

private:
  mlir::FailureOr<size_t> add(ir::KernelOp kernel, mlir::Value value);
  mlir::LogicalResult addResult(ir::KernelOp kernel, mlir::Value value, unsigned number);
  mlir::LogicalResult addTerms(ir::KernelOp kernel, mlir::Value sum);
};

} // namespace moec::codegen
