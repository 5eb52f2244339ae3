#pragma once
// Kernels of kind `loops` whose results are few and their sums long: the gradient of a bias, the mean of a loss, a sum of squares. A thread for each result
// would walk all rows by itself.

#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

/// The long sums of a kernel that can be written so; empty when it is one for a thread per element.
std::vector<ir::ReduceOp> longSumsOf(ir::KernelOp kernel);

/// The kernel's stages: sums of pieces whose length depends on shapes alone, then their sums, in order, and the ops behind.
void buildPartialSums(KernelText& k, llvm::ArrayRef<ir::ReduceOp> sums);

} // namespace moec::codegen::cuda
