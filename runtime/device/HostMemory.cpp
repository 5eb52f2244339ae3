#include "runtime/device/HostMemory.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <cstring>

namespace moec {
namespace {

constexpr size_t kAlignment = 64;

} // namespace

void checkAllocator(const Allocator& allocator) {
  if (!allocator.allocate != !allocator.release)
    throw Error(Fault::Usage, fmt::format("the host's allocator has no function to {} memory", allocator.allocate ? "release" : "allocate"));
}

Tensor allocate(const Allocator& allocator, DType type, Shape shape, Contents contents, const std::string& what) {
  if (!allocator.allocate)
    return Tensor(type, std::move(shape));
  size_t bytes = Tensor::borrow(nullptr, shape, type).bytes(); // checks the shape
  if (bytes == 0)
    return Tensor(type, std::move(shape));
  void* memory = allocator.allocate(allocator.context, bytes, kAlignment);
  if (!memory)
    throw Error(Fault::System, fmt::format("no memory for {}, {} ({} bytes): the host's allocator gave none", what, describe(type, shape), bytes));
  std::shared_ptr<void> owner(memory, [allocator, bytes](void* taken) { allocator.release(allocator.context, taken, bytes); });
  if (reinterpret_cast<uintptr_t>(memory) % kAlignment)
    throw Error(Fault::Usage, fmt::format("the host's allocator gave an address that is no multiple of {}, for {}", kAlignment, what));
  if (contents == Contents::Zeroed)
    std::memset(memory, 0, bytes);
  return Tensor::share(std::move(owner), memory, std::move(shape), type);
}

Tensor clone(const Allocator& allocator, const Tensor& tensor, const std::string& what) {
  Tensor copy = allocate(allocator, tensor.dtype(), tensor.shape(), Contents::Any, what);
  if (tensor.data() && copy.data())
    std::memcpy(copy.data(), tensor.data(), tensor.bytes());
  return copy;
}

} // namespace moec
