#pragma once
// Tensors to and from other libraries (PyTorch, NumPy, JAX ...) without a copy, by the structures of DLPack 1.0 (dmlc/dlpack, dlpack.h). Their
// definitions are the user's: any dlpack.h will do.

#include "runtime/core/Tensor.h"

struct DLManagedTensor;
struct DLManagedTensorVersioned;

namespace moec {

/// The same storage under DLPack's name, on the CPU, row-major. The storage lives until the consumer calls the deleter, whatever becomes of the
/// tensor. Null never; the caller owns the result.
DLManagedTensorVersioned* toDLPack(const Tensor& tensor);
/// The form before DLPack 1.0, which has no version and no flags.
DLManagedTensor* toUnversionedDLPack(const Tensor& tensor);

/// The same storage as a tensor; its deleter is called when the last handle goes. Only memory of the CPU, dense and row-major, one lane, of a dtype that
/// moec has, and not read-only (a session may be given it as weights): else Error(Usage), and the argument still belongs to the caller.
Tensor fromDLPack(DLManagedTensorVersioned* managed);
Tensor fromDLPack(DLManagedTensor* managed);

} // namespace moec
