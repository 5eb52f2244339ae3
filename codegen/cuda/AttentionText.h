#pragma once
// Text that kernels of attention and of its gradients share: where a head's rows lie.

#include "codegen/analysis/ProductPlans.h"
#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

/// The widest copy that a head's rows in all these arguments are aligned to and whole numbers of.
int64_t headCopyBytes(DType dtype, int64_t headDim, llvm::ArrayRef<Slice> slices);

/// "const float* q = in0 + batch * 65 * 96 + 32 + head * 16;": the head's part of a batch entry's first row. `rows`: of a batch entry.
void printHead(KernelText& k, Lines& lines, const char* name, DType dtype, int64_t headDim, const Slice& slice, const Size& rows, const char* head = "head");

/// "const float* { return query0 + m < 65 ? q + (query0 + m) * 96 : nullptr; }": the end of a lambda; `inside` empty: always.
std::string rowHole(KernelText& k, const char* matrix, const char* index, const std::string& inside, DType dtype, const Size& width);

/// "[&](int m, int key) -> float { return .. ? 1.25f : 0.0f; }": what dropout multiplies a weight with, or NoDropout(). `query` and `key` are numbers in the
/// lambda's `parameters`; the text around it defines `rows`, the number of the head's first query among the queries of all heads of all the batch. `inside`
/// (empty: always) says whether there is such a query.
std::string dropoutHole(KernelText& k, const AttentionPlan& plan, const char* parameters, const std::string& query, const std::string& key,
                        const std::string& inside);

} // namespace moec::codegen::cuda
