#pragma once
// What is left of an update when rules have moved out of it (MoveUpdates.cpp): the numbers that both still read, and what nothing needs any more. Knows nothing
// of where rules move to.

#include "ir/dialect/Moe.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace moec::compiler {

/// Takes out of a kernel the ops and arguments that nothing reads.
void eraseUnread(ir::KernelOp kernel);

/// The update without results that are not written any more.
void dropResults(ir::KernelOp update);

/// The numbers of an update that kernels in front of it read, in a kernel of their own.
class UpdateNumbers {
public:
  explicit UpdateNumbers(ir::KernelOp update) : update_(update) {}

  /// Values of the update's body: those that it computes.
  void add(const llvm::SetVector<mlir::Value>& numbers);
  /// In front of an op.
  void make(mlir::Operation* at);
  /// The value of the function for one of the update's body.
  mlir::Value operator()(mlir::Value number);
  /// The update reads them too.
  void useInUpdate();

private:
  ir::KernelOp update_, kernel_;
  llvm::MapVector<mlir::Value, unsigned> places_; // among the kernel's results
};

} // namespace moec::compiler
