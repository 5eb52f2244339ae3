#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"
#include "runtime/core/Philox.h"

#include <algorithm>
#include <cmath>

namespace moec::reference {

Tensor matmul(const Tensor& a, const Tensor& b) {
  size_t aRank = a.shape().size(), bRank = b.shape().size();
  require(aRank >= 2 && bRank >= 2 && a.shape().back() == b.shape().back(), "matmul of " + describe(a) + " and " + describe(b));
  int64_t depth = a.shape().back(), columns = b.shape()[bRank - 2];
  // With a matrix b, all that leads in a are rows.
  int64_t rows = bRank == 2 ? product(a.shape(), 0, aRank - 1) : a.shape()[aRank - 2];
  Shape aLeading(a.shape().begin(), a.shape().end() - 2), bLeading(b.shape().begin(), b.shape().end() - 2);
  Shape leading = bRank == 2 ? Shape{} : broadcastShape(aLeading, bLeading);
  std::vector<int64_t> as = bRank == 2 ? std::vector<int64_t>{0} : broadcastPlaces(aLeading, leading);
  std::vector<int64_t> bs = broadcastPlaces(bLeading, leading);
  std::vector<double> left = a.toDoubles(), right = b.toDoubles(), values;
  values.reserve(as.size() * rows * columns);
  for (size_t i = 0; i < as.size(); ++i)
    for (int64_t m = 0; m < rows; ++m)
      for (int64_t n = 0; n < columns; ++n)
        values.push_back(dot(&left[(as[i] * rows + m) * depth], &right[(bs[i] * columns + n) * depth], depth));
  Shape shape = leading;
  if (bRank == 2)
    shape.assign(a.shape().begin(), a.shape().end() - 1);
  else
    shape.push_back(rows);
  shape.push_back(columns);
  return fromDoubles(std::move(values), shape, a.dtype());
}

Tensor pack(const Tensor& w, int64_t nr, bool pairs) {
  size_t rank = w.shape().size();
  int64_t rows = w.shape()[rank - 2], depth = w.shape()[rank - 1], panels = (rows + nr - 1) / nr;
  Shape shape(w.shape().begin(), w.shape().end() - 2);
  shape.insert(shape.end(), {panels, depth, nr});
  return moved(w, shape, [=](int64_t i) -> int64_t {
    int64_t r = i % nr, k = i / nr % depth, p = i / (nr * depth) % panels, outer = i / (nr * depth * panels);
    if (pairs) {
      r = i / 2 % nr;
      k = i / (2 * nr) * 2 % depth + i % 2;
    }
    int64_t n = p * nr + r;
    return n < rows ? (outer * rows + n) * depth + k : -1;
  });
}

Tensor unpack(const Tensor& panels, int64_t n, bool pairs) {
  size_t rank = panels.shape().size();
  int64_t count = panels.shape()[rank - 3], depth = panels.shape()[rank - 2], nr = panels.shape()[rank - 1];
  require(count == (n + nr - 1) / nr, "unpack of another number of panels");
  Shape shape(panels.shape().begin(), panels.shape().end() - 3);
  shape.insert(shape.end(), {n, depth});
  return moved(panels, shape, [=](int64_t i) {
    int64_t k = i % depth, row = i / depth % n, outer = i / (depth * n);
    int64_t panel = (outer * count + row / nr) * depth * nr;
    return panel + (pairs ? (k / 2 * nr + row % nr) * 2 + k % 2 : k * nr + row % nr);
  });
}

Tensor layerNorm(const Tensor& x, const Tensor* weight, const Tensor* bias, double eps) {
  int64_t width = x.shape().back();
  std::vector<double> values = x.toDoubles();
  std::vector<double> scale = weight ? weight->toDoubles() : std::vector<double>(width, 1.0);
  std::vector<double> shift = bias ? bias->toDoubles() : std::vector<double>(width, 0.0);
  for (size_t start = 0; start < values.size(); start += width) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; ++i)
      mean += values[start + i];
    mean /= static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i)
      variance += (values[start + i] - mean) * (values[start + i] - mean);
    variance /= static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i)
      values[start + i] = (values[start + i] - mean) / std::sqrt(variance + eps) * scale[i] + shift[i];
  }
  return fromDoubles(std::move(values), x.shape(), x.dtype());
}

Tensor rmsNorm(const Tensor& x, const Tensor* weight, double eps) {
  int64_t width = x.shape().back();
  std::vector<double> values = x.toDoubles();
  std::vector<double> scale = weight ? weight->toDoubles() : std::vector<double>(width, 1.0);
  for (size_t start = 0; start < values.size(); start += width) {
    double meanSquare = dot(&values[start], &values[start], width) / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i)
      values[start + i] = values[start + i] / std::sqrt(meanSquare + eps) * scale[i];
  }
  return fromDoubles(std::move(values), x.shape(), x.dtype());
}

void softmaxRow(double* row, int64_t count) {
  double highest = -INFINITY, sum = 0;
  for (int64_t i = 0; i < count; ++i)
    highest = std::max(highest, row[i]);
  for (int64_t i = 0; i < count; ++i)
    sum += row[i] = std::exp(row[i] - highest);
  for (int64_t i = 0; i < count; ++i)
    row[i] /= sum;
}

Tensor softmax(const Tensor& x) {
  int64_t width = x.shape().back();
  std::vector<double> values = x.toDoubles();
  for (size_t start = 0; start < values.size(); start += width)
    softmaxRow(&values[start], width);
  return fromDoubles(std::move(values), x.shape(), x.dtype());
}

Tensor embedding(const Tensor& ids, const Tensor& table) {
  int64_t entries = table.shape()[0], width = table.shape()[1];
  Tensor wide = ids.cast(DType::I64);
  std::span<const int64_t> places = wide.as<const int64_t>();
  for (int64_t id : places)
    if (id < 0 || id >= entries)
      throw Error(Fault::Data, "embedding: the id " + std::to_string(id) + " is not below " + std::to_string(entries));
  Shape shape = ids.shape();
  shape.push_back(width);
  return moved(table, shape, [&](int64_t i) { return places[i / width] * width + i % width; });
}

Tensor random(Distribution distribution, DType dtype, const Shape& shape, const DrawKey& key) {
  std::vector<double> values(product(shape));
  for (size_t i = 0; i < values.size(); ++i) {
    std::array<uint32_t, 4> words = draw(key.seed, key.stream, key.step, i);
    values[i] = distribution == Distribution::Normal ? normal(words) : dtype == DType::F32 ? double{uniformFloat(words)} : uniformDouble(words);
  }
  return fromDoubles(std::move(values), shape, dtype);
}

} // namespace moec::reference
