// Draws of initial weights. Everything is computed in double and rounded once to the parameter's dtype; no function of the C library whose
// last bit may differ between machines.

#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace moec {
namespace {

/// Sum of a[i]*b[i] in eight interleaved sums, added in a fixed order: fast without leave to reorder.
double dot(const double* a, const double* b, int64_t n) {
  std::array<double, 8> sums{};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (size_t lane = 0; lane < 8; ++lane)
      sums[lane] += a[i + static_cast<int64_t>(lane)] * b[i + static_cast<int64_t>(lane)];
  for (size_t lane = 0; i < n; ++i, ++lane)
    sums[lane] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/// Makes `count` vectors of `length` >= count elements orthonormal, in order: Gram-Schmidt, each projection done twice, which is exact to
/// rounding. It is the QR decomposition whose R has a positive diagonal, so torch.nn.init.orthogonal_'s change of signs is in it.
void orthonormalize(double* vectors, int64_t count, int64_t length) {
  for (int64_t i = 0; i < count; ++i) {
    double* vector = vectors + i * length;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < i; ++j) {
        const double* other = vectors + j * length;
        double along = dot(vector, other, length);
        for (int64_t k = 0; k < length; ++k)
          vector[k] -= along * other[k];
      }
    double norm = std::sqrt(dot(vector, vector, length));
    if (!(norm > 0))
      throw Error(Fault::Internal, "an orthogonal matrix was drawn from dependent vectors");
    for (int64_t k = 0; k < length; ++k)
      vector[k] /= norm;
  }
}

/// `matrix` (rows, columns) holds normals; it becomes one with orthonormal rows or columns, whichever are fewer, times `gain`.
void makeOrthogonal(double* matrix, int64_t rows, int64_t columns, double gain) {
  int64_t count = std::min(rows, columns), length = std::max(rows, columns);
  bool tall = rows >= columns;
  std::vector<double> vectors(static_cast<size_t>(rows * columns));
  auto element = [&](int64_t vector, int64_t k) -> double& { return tall ? matrix[k * columns + vector] : matrix[vector * columns + k]; };
  for (int64_t vector = 0; vector < count; ++vector)
    for (int64_t k = 0; k < length; ++k)
      vectors[static_cast<size_t>(vector * length + k)] = element(vector, k);
  orthonormalize(vectors.data(), count, length);
  for (int64_t vector = 0; vector < count; ++vector)
    for (int64_t k = 0; k < length; ++k)
      element(vector, k) = gain * vectors[static_cast<size_t>(vector * length + k)];
}

/// A standard normal within [-2, 2]: the first of an element's draws, one for each step, that lies there.
double truncatedNormal(uint64_t seed, uint32_t stream, uint64_t element) {
  for (uint32_t step = 0;; ++step)
    if (double value = normal(draw(seed, stream, step, element)); std::abs(value) <= 2)
      return value;
}

/// Elements from `first` on.
std::vector<double> drawPiece(const ParameterInfo& parameter, uint64_t seed, int64_t first, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  uint32_t stream = streamOf(parameter.name);
  auto fill = [&](auto value) {
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = value(static_cast<uint64_t>(first) + i);
  };
  const Init& init = parameter.init;
  switch (init.kind) {
  case Init::Kind::Zeros:
    break;
  case Init::Kind::Ones:
    fill([](uint64_t) { return 1.0; });
    break;
  case Init::Kind::Constant:
    fill([&](uint64_t) { return init.a; });
    break;
  case Init::Kind::Uniform:
    fill([&](uint64_t i) { return init.a + (init.b - init.a) * uniformDouble(draw(seed, stream, 0, i)); });
    break;
  case Init::Kind::Normal:
    fill([&](uint64_t i) { return init.a + init.b * normal(draw(seed, stream, 0, i)); });
    break;
  case Init::Kind::TruncatedNormal:
    fill([&](uint64_t i) { return init.a + init.b * truncatedNormal(seed, stream, i); });
    break;
  case Init::Kind::Orthogonal:
    fill([&](uint64_t i) { return normal(draw(seed, stream, 0, i)); });
    makeOrthogonal(values.data(), parameter.shape[parameter.shape.size() - 2], parameter.shape.back(), init.a);
    break;
  }
  return values;
}

} // namespace

// The doubles of a large parameter would be more than itself. An orthogonal matrix is drawn as a whole.
int64_t drawnAtOnce(const ParameterInfo& parameter) {
  if (parameter.init.kind != Init::Kind::Orthogonal)
    return int64_t{1} << 16;
  if (parameter.shape.size() < 2)
    throw Error(Fault::Data,
                fmt::format("parameter '{}' of shape {} cannot be orthogonal: it is no matrix", parameter.name, describe(parameter.dtype, parameter.shape)));
  return std::max<int64_t>(1, parameter.shape[parameter.shape.size() - 2] * parameter.shape.back());
}

Tensor initialWeight(const ParameterInfo& parameter, uint64_t seed) {
  Tensor weight(parameter.dtype, parameter.shape);
  int64_t elements = weight.elements(), piece = drawnAtOnce(parameter);
  auto* bytes = static_cast<std::byte*>(weight.data());
  for (int64_t first = 0; first < elements; first += piece) {
    int64_t count = std::min(piece, elements - first);
    Tensor part = Tensor::of(drawPiece(parameter, seed, first, count), {count}).cast(parameter.dtype);
    std::memcpy(bytes + static_cast<size_t>(first) * byteSize(parameter.dtype), part.data(), part.bytes());
  }
  return weight;
}

TensorMap initialWeights(const Plan& plan, uint64_t seed) {
  TensorMap weights;
  for (const ParameterInfo& parameter : plan.parameters)
    weights.emplace(parameter.name, initialWeight(parameter, seed));
  return weights;
}

Tensor initialState(const Plan& plan, const StateInfo& state, const TensorMap& weights, uint64_t seed) {
  if (!state.from)
    return initialWeight(state, seed);
  if (auto found = weights.find(*state.from); found != weights.end())
    return found->second.cast(state.dtype);
  for (const ParameterInfo& parameter : plan.parameters)
    if (parameter.name == *state.from)
      return initialWeight(parameter, seed).cast(state.dtype);
  throw Error(Fault::Internal, fmt::format("state {} begins with '{}', which is no parameter", state.name, *state.from));
}

bool isGradient(const Plan& plan, const StateInfo& state) {
  constexpr std::string_view end = ".gradient";
  return state.name.ends_with(end) && std::ranges::any_of(plan.parameters, [&](const ParameterInfo& parameter) {
           return parameter.name == std::string_view(state.name).substr(0, state.name.size() - end.size());
         });
}

} // namespace moec
