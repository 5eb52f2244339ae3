#pragma once
// What a kernel made of a matrix product computes, read from its ops: sizes, operands, batches. For every backend: no target and no schedule.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// Kind `matmul`: for each batch entry, rows (M, K) times the transpose of b (N, K).
struct MatmulPlan {
  ir::MatmulOp op;
  DType dtype;
  unsigned a;
  ProductOperand b;
  bool transposed;         // a: the argument is (.., K, M)
  std::vector<Size> batch; // dimensions that b has beside N and K, as the product has them; all leading ones of a transposed a
  Size rows;               // of one batch entry

  static mlir::FailureOr<MatmulPlan> of(ir::KernelOp kernel);
  /// Strides of a and b over `batch`, in elements of a and in whole matrices of b.
  std::vector<Size> aStrides() const;
  std::vector<Size> bStrides() const { return broadcastStrides(b.batch, batch); }
};

/// Kind `weight_grad`: per expert, the transpose of its rows of dy (R, N) times its rows (R, K).
struct WeightGradPlan {
  ir::GroupedWeightGradOp op;
  DType dtype;
  unsigned dy, rows, routing;
  Size count, columns, depth; // R, N, K
  int64_t experts;

  static mlir::FailureOr<WeightGradPlan> of(ir::KernelOp kernel);
};

/// Kinds `expert_up`, `expert_mid`, `expert_down`: each expert's rows times its own weights.
struct ExpertPlan {
  ir::GroupedMatmulOp op;
  DType dtype;
  bool gathered = false; // rows come from x (T, D) by the routing's list
  unsigned a, routing;
  ProductOperand b;
  int64_t choices;

  static mlir::FailureOr<ExpertPlan> of(ir::KernelOp kernel);
  int64_t experts() const;
  Size tokens() const;
  Size pairs() const { return tokens() * Size(choices); }
  /// Of ragged tensors: as many as there are pairs, or what the routing is bounded by.
  Size rows() const;
  bool isBounded() const { return !(rows() == pairs()); }
};

/// More blocks of at most `rowBlock` rows there never are when each of the experts' rows are cut by themselves.
Size mostExpertBlocks(const Size& rows, int64_t experts, int64_t rowBlock);

/// The combine of `expert_down`, and which of the kernel's results are values of experts' rows (R, ..), and which of tokens.
struct CombinePlan {
  ir::CombineOp op;
  unsigned weights;
  llvm::SmallVector<unsigned> ofRows = {}, ofTokens = {};
  std::optional<unsigned> rows = {}; // of these, the result that the combine reads

  static mlir::FailureOr<CombinePlan> of(ir::KernelOp kernel, const ExpertPlan& plan);
};

/// What is added to the scores: an argument (heads, queries, keys), or (1, queries, keys) for all heads.
struct AttentionBias {
  unsigned input;
  bool ofAllHeads;
};

/// Dropout of the softmax's weights by draws (batch, heads, queries, keys): those of `random`, which the kernel makes, or else of argument `input`.
struct AttentionDropout {
  double p;
  ir::RandomOp random;
  unsigned input;
};

/// Kind `attention`: q, k and v are columns of arguments (B, N, width). Query head h reads head h / sharing() of k and v.
struct AttentionPlan {
  DType dtype;
  Slice q, k, v;
  Size batch, queries, keys;
  int64_t heads, headDim;
  double scale;
  bool causal;
  int64_t keyHeads;
  std::optional<AttentionBias> bias;
  std::optional<AttentionDropout> dropout;

  int64_t sharing() const { return heads / keyHeads; }

  static mlir::FailureOr<AttentionPlan> of(ir::KernelOp kernel);
};

/// Kind `attention_grad`: the attention, dy (B, Nq, heads * Dh), columns of an argument, and where the gradients go: to results, or to columns of a result
/// (through moe.concat; a Slice's input is then the number of the result).
struct AttentionGradPlan {
  AttentionPlan forward;
  Slice dy;
  std::optional<Slice> dq, dk, dv;
  std::optional<unsigned> dbias;

  static mlir::FailureOr<AttentionGradPlan> of(ir::KernelOp kernel);
};

} // namespace moec::codegen
