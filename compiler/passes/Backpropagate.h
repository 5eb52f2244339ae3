#pragma once
// The reverse pass: from a function that computes a scalar to the gradients of that scalar. Knows no optimizer and no plan; what one op's gradient is says
// ir/gradients/Gradient.h.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

/// Emits, at `builder` (behind all that computes `loss`, in its block), the gradient of `loss`, a float of no dimensions, with respect to each of `wanted`:
/// arguments of the block and results of its ops, moe.read among them. Ops are emitted for values alone that depend on a wanted one and reach the loss.
/// Returns one value per wanted one, of its type; zeros where no gradient flows. Where a value is used several times, its gradients are added in the order
/// of the uses, the last one first. Several reads of one state count as one value: where any of them is wanted, its gradient is the sum over all reads of
/// that state in the block. Fails with a diagnostic at the op where a gradient would have to flow through an op that has none.
/// `reached`, where given, tells to which of them one flows.
mlir::FailureOr<llvm::SmallVector<mlir::Value>> backpropagate(mlir::Value loss, llvm::ArrayRef<mlir::Value> wanted, mlir::OpBuilder& builder,
                                                              llvm::SmallVectorImpl<bool>* reached = nullptr);

} // namespace moec::compiler
