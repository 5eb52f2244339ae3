#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"

#include <cmath>

namespace moec::reference {

Tensor transpose(const Tensor& x, const std::vector<int64_t>& permutation) {
  size_t rank = x.shape().size();
  require(permutation.size() == rank, "transpose of another rank");
  Shape shape(rank), strides(rank);
  for (size_t d = 0; d < rank; ++d) {
    shape[d] = x.shape()[permutation[d]];
    strides[d] = product(x.shape(), permutation[d] + 1, rank);
  }
  return moved(x, shape, [&](int64_t i) {
    int64_t place = 0;
    for (size_t d = rank; d-- > 0; i /= shape[d])
      place += i % shape[d] * strides[d];
    return place;
  });
}

Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t size) {
  int64_t length = x.shape()[axis], inner = product(x.shape(), axis + 1, x.shape().size());
  if (start < 0 || size < 0 || start + size > length)
    throw Error(Fault::Data, "slice: elements " + std::to_string(start) + " to " + std::to_string(start + size) + " of " + std::to_string(length));
  Shape shape = x.shape();
  shape[axis] = size;
  return moved(x, shape, [&](int64_t i) {
    int64_t outer = i / (size * inner), rest = i % (size * inner);
    return outer * length * inner + start * inner + rest;
  });
}

Tensor concat(const std::vector<Tensor>& xs, int64_t axis) {
  Shape shape = xs.at(0).shape();
  shape[axis] = 0;
  for (const Tensor& x : xs)
    shape[axis] += x.shape()[axis];
  Tensor result(xs[0].dtype(), shape);
  int64_t outer = product(shape, 0, axis), inner = product(shape, axis + 1, shape.size());
  size_t size = byteSize(result.dtype()), row = shape[axis] * inner * size, start = 0;
  for (const Tensor& x : xs) {
    size_t part = x.shape()[axis] * inner * size;
    for (int64_t o = 0; o < outer && part; ++o)
      std::memcpy(static_cast<char*>(result.data()) + o * row + start, static_cast<const char*>(x.data()) + o * part, part);
    start += part;
  }
  return result;
}

Tensor broadcast(const Tensor& x, const Shape& shape) {
  require(broadcastShape(x.shape(), shape) == shape, describe(x) + " does not broadcast to the result");
  std::vector<int64_t> places = broadcastPlaces(x.shape(), shape);
  return moved(x, shape, [&](int64_t i) { return places[i]; });
}

Tensor reduce(Reduction op, const Tensor& x, int64_t axis) {
  int64_t length = x.shape()[axis], inner = product(x.shape(), axis + 1, x.shape().size());
  Shape shape = x.shape();
  shape.erase(shape.begin() + axis);
  std::vector<double> values = x.toDoubles(), results(product(shape));
  for (size_t i = 0; i < results.size(); ++i) {
    int64_t first = static_cast<int64_t>(i) / inner * length * inner + static_cast<int64_t>(i) % inner;
    double result = op == Reduction::Max ? -INFINITY : 0;
    for (int64_t j = 0; j < length; ++j) {
      double value = values[first + j * inner];
      if (op != Reduction::Max)
        result += value;
      else if (std::isnan(value) || value > result)
        result = value; // a NaN stays: nothing compares greater
    }
    results[i] = op == Reduction::Mean ? result / static_cast<double>(length) : result;
  }
  return fromDoubles(std::move(results), shape, x.dtype());
}

} // namespace moec::reference
