#pragma once
// Small tools of the evaluators: elements as doubles and back, places of elements, moving elements of any dtype. Knows
// no op and no MLIR.

#include "runtime/core/Error.h"
#include "runtime/core/Tensor.h"

#include <cstring>
#include <functional>

namespace moec::reference {

/// A tensor of doubles rounded once to `type`.
inline Tensor fromDoubles(std::vector<double> values, Shape shape, DType type) { return Tensor::of(std::move(values), std::move(shape)).cast(type); }

inline int64_t product(const Shape& shape, size_t begin, size_t end) {
  int64_t count = 1;
  for (size_t i = begin; i < end; ++i)
    count *= shape[i];
  return count;
}
inline int64_t product(const Shape& shape) { return product(shape, 0, shape.size()); }

inline double dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += a[i] * b[i];
  return sum;
}

/// In place; a NaN or an infinite maximum makes the row NaN.
void softmaxRow(double* row, int64_t count);

inline void require(bool holds, const std::string& what) {
  if (!holds)
    throw Error(Fault::Internal, "reference: " + what);
}

/// The result whose element i is x's element from(i), of any dtype.
template <class From> Tensor moved(const Tensor& x, Shape shape, From from) {
  Tensor result(x.dtype(), std::move(shape));
  size_t size = byteSize(x.dtype());
  for (int64_t i = 0, count = result.elements(); i < count; ++i)
    if (int64_t place = from(i); place >= 0) // a negative place leaves zero
      std::memcpy(static_cast<char*>(result.data()) + i * size, static_cast<const char*>(x.data()) + place * size, size);
  return result;
}

/// NumPy's broadcast of two shapes.
Shape broadcastShape(const Shape& a, const Shape& b);
/// For each element of `to`, in order, the place in `from` that it repeats.
std::vector<int64_t> broadcastPlaces(const Shape& from, const Shape& to);

} // namespace moec::reference
