#pragma once
// A dense row-major array with a dtype and a shape: a cheap value that shares its storage.

#include "runtime/core/DType.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace moec {

using Shape = std::vector<int64_t>;

class Tensor {
public:
  Tensor() = default;
  /// Fresh zeroed storage, 64-byte aligned. Throws Error(Data) for a negative size or a byte count past 2^48.
  Tensor(DType type, Shape shape);
  /// Storage of the caller, which outlives the tensor. `data` points to the first element.
  static Tensor borrow(void* data, Shape shape, DType type);
  /// Storage kept alive by `owner`.
  static Tensor share(std::shared_ptr<void> owner, void* data, Shape shape, DType type);
  template <class T> static Tensor of(std::vector<T> values, Shape shape); // copies; T: double, float, int64_t, int32_t, uint8_t

  DType dtype() const { return type_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const;
  size_t bytes() const { return static_cast<size_t>(elements()) * byteSize(type_); }
  void* data() const { return data_; }
  template <class T> std::span<T> as() const; // throws Error(Internal) when T is not the dtype's C++ type
  bool defined() const { return data_ != nullptr || elements() == 0; }

  /// Elements converted to double (bf16 and integers too), in order.
  std::vector<double> toDoubles() const;
  /// The same elements as `type`: float to narrower float rounds to nearest even; float to integer must be exact (Error(Data)).
  Tensor cast(DType type) const;
  Tensor clone() const;
  Tensor reshaped(Shape shape) const; // same storage

private:
  std::shared_ptr<void> owner_;
  void* data_ = nullptr;
  Shape shape_;
  DType type_ = DType::F32;
};

using TensorMap = std::map<std::string, Tensor, std::less<>>;

/// "f32[3, 65, 32]".
std::string describe(const Tensor& tensor);
std::string describe(DType type, const Shape& shape);

} // namespace moec
