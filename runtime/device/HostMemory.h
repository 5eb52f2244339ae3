#pragma once
// Tensors in the memory of a host's allocator.

#include "runtime/core/Tensor.h"
#include "runtime/device/Host.h"

namespace moec {

/// Error(Usage) when one of the two functions is missing.
void checkAllocator(const Allocator& allocator);

/// 64-byte aligned storage that goes back to the allocator with its last tensor; `what` names it in Error(System) when there is none. Zeroed, or of any
/// contents.
enum class Contents { Zeroed, Any };
Tensor allocate(const Allocator& allocator, DType type, Shape shape, Contents contents, const std::string& what);
Tensor clone(const Allocator& allocator, const Tensor& tensor, const std::string& what);

} // namespace moec
