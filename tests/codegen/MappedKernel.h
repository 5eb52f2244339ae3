#pragma once
// Scalar functions written with a KernelBuilder, as machine code that maps arrays: y[i] = f(a[i], b[i], c[i]).

#include "codegen/cpu/KernelBuilder.h"
#include "runtime/core/KernelAbi.h"
#include "tests/codegen/KernelCheck.h"

#include <functional>
#include <vector>

namespace moec::testing {

class MappedKernel {
public:
  using Code = std::function<codegen::cpu::Value(codegen::cpu::KernelBuilder&, const codegen::cpu::Values&)>;
  /// Several functions of `operands` numbers each, in one image. With `vectors`, on the target's vectors; else one number after the other.
  MappedKernel(const std::vector<Code>& functions, DType dtype, const std::string& target, size_t operands = 1, bool vectors = true);
  ~MappedKernel();
  MappedKernel(const MappedKernel&) = delete;

  /// Of arrays of one length.
  template <class T> void run(size_t function, std::vector<const T*> operands, T* result, size_t count) const {
    std::vector<void*> buffers;
    for (const T* operand : operands)
      buffers.push_back(const_cast<T*>(operand));
    buffers.push_back(result);
    auto size = static_cast<int64_t>(count);
    KernelCall call{buffers.data(), &size, nullptr, 0, 0};
    function_(&call, static_cast<int64_t>(function), 0, 1, nullptr);
  }
  template <class T> std::vector<T> operator()(size_t function, const std::vector<T>& x) const {
    std::vector<T> y(x.size());
    run<T>(function, {x.data()}, y.data(), x.size());
    return y;
  }

private:
  ParsedKernel kernel_;
  int file_ = -1; // open as long as the library: dlopen takes two files of one name for the same library
  void* library_ = nullptr;
  KernelFunction function_ = nullptr;
};

} // namespace moec::testing
