#pragma once
// Runs IR through the evaluators of Evaluate.h: functions of a model, or one kernel's region, op by op. Every value is
// a Tensor; a !moe.routing is its i32 RoutingLayout. Errors are moec::Error and name the op by its path. Knows no phase
// and no device.

#include "ir/dialect/Moe.h"
#include "runtime/core/Tensor.h"

namespace moec::reference {

/// What ops look at besides their operands.
struct Call {
  Bindings bindings;                                // of every symbol in the types; see bindSizes
  std::map<std::string, Tensor, std::less<>> state; // parameters, states and prepared state by symbol
  std::map<std::string, Tensor> written;            // by moe.write; a function's end puts them into `state`
  uint64_t seed = 0;
  uint32_t step = 0;
};

/// Called with each op and its results, in order.
using Observer = std::function<void(mlir::Operation*, llvm::ArrayRef<Tensor>)>;

/// The values that a function returns. Ragged rows behind a routing's count come from zeros, and mean nothing.
std::vector<Tensor> evaluate(mlir::func::FuncOp function, llvm::ArrayRef<Tensor> arguments, Call& call, const Observer& observer = {});
/// The values that a kernel yields: its meaning, which its machine code must agree with.
std::vector<Tensor> evaluate(ir::KernelOp kernel, llvm::ArrayRef<Tensor> arguments, Call& call, const Observer& observer = {});
/// Any region of one block that ends with moe.yield or func.return.
std::vector<Tensor> evaluate(mlir::Region& region, llvm::ArrayRef<Tensor> arguments, Call& call, const Observer& observer = {});

/// Adds to `bindings` the symbols that stand alone as a size in `types`, with their values in `arguments`. Error(Usage)
/// when one name would be two sizes.
void bindSizes(mlir::TypeRange types, llvm::ArrayRef<Tensor> arguments, Bindings& bindings);

/// The shape of a value's tensor: of a !moe.routing the one of its RoutingLayout.
Shape shapeOf(mlir::Type type, const Bindings& bindings);
DType dtypeOf(mlir::Type type);

Tensor toTensor(mlir::DenseElementsAttr attribute);

} // namespace moec::reference
