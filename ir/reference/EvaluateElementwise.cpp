#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moec::reference {

Shape broadcastShape(const Shape& a, const Shape& b) {
  Shape result = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  for (size_t i = 0; i < shorter.size(); ++i) {
    int64_t& place = result[result.size() - shorter.size() + i];
    require(place == shorter[i] || place == 1 || shorter[i] == 1, "shapes do not broadcast");
    place = place == 1 ? shorter[i] : place;
  }
  return result;
}

std::vector<int64_t> broadcastPlaces(const Shape& from, const Shape& to) {
  std::vector<int64_t> strides(to.size(), 0);
  int64_t stride = 1;
  for (size_t i = from.size(); i-- > 0; stride *= from[i])
    if (from[i] != 1)
      strides[to.size() - from.size() + i] = stride;
  std::vector<int64_t> places(product(to)), index(to.size(), 0);
  int64_t place = 0;
  for (int64_t& result : places) {
    result = place;
    for (size_t d = to.size(); d-- > 0;) {
      place += strides[d];
      if (++index[d] < to[d])
        break;
      place -= strides[d] * to[d];
      index[d] = 0;
    }
  }
  return places;
}

static double sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); // exp never overflows
}

static double apply(Unary op, double x, double parameter) {
  switch (op) {
  case Unary::Neg:
    return -x;
  case Unary::Exp:
    return std::exp(x);
  case Unary::Log:
    return std::log(x);
  case Unary::Sqrt:
    return std::sqrt(x);
  case Unary::Tanh:
    return std::tanh(x);
  case Unary::Sigmoid:
    return sigmoid(x);
  case Unary::Softplus:
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  case Unary::Relu:
    return std::isnan(x) ? x : x > 0 ? x : 0;
  case Unary::Gelu:
    return x == -INFINITY ? 0 : 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
  case Unary::GeluTanh: {
    if (x == -INFINITY)
      return 0;
    double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    return x * sigmoid(2 * inner); // (1 + tanh(z)) / 2 = sigmoid(2z), without cancellation
  }
  case Unary::Silu:
    return x == -INFINITY ? 0 : x * sigmoid(x);
  case Unary::Erf:
    return std::erf(x);
  case Unary::GeluGrad:
    if (std::isinf(x))
      return x > 0 ? 1 : 0;
    return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
  case Unary::GeluTanhGrad: {
    if (std::isinf(x))
      return x > 0 ? 1 : 0;
    // gelu_tanh is x sigmoid(2z): sigmoid + x sigmoid (1 - sigmoid) 2z'; 1 - sigmoid(2z) is sigmoid(-2z), without cancellation
    double root = std::sqrt(2 / std::numbers::pi), inner = root * (x + 0.044715 * x * x * x);
    double share = sigmoid(2 * inner), rest = sigmoid(-2 * inner), slope = 2 * root * (1 + 3 * 0.044715 * x * x);
    return share == 0 || rest == 0 ? share : share + x * share * rest * slope;
  }
  case Unary::LeakyRelu:
    return x >= 0 ? x : parameter * x;
  case Unary::Elu:
    return x > 0 ? x : parameter * std::expm1(x);
  }
  return NAN;
}

/// The low bits of 64-bit results, as integer arithmetic of the narrower type gives them.
static Tensor narrowed(const Tensor& wide, DType type) {
  if (type == DType::I64)
    return wide;
  Tensor result(type, wide.shape());
  std::span<const int64_t> from = wide.as<const int64_t>();
  for (size_t i = 0; i < from.size(); ++i)
    type == DType::I32 ? void(result.as<int32_t>()[i] = static_cast<int32_t>(from[i])) : void(result.as<uint8_t>()[i] = static_cast<uint8_t>(from[i]));
  return result;
}

Tensor unary(Unary op, const Tensor& x, double parameter) {
  if (!isFloat(x.dtype())) { // neg alone; wraps
    Tensor wide = x.cast(DType::I64);
    for (int64_t& value : wide.as<int64_t>())
      value = static_cast<int64_t>(-static_cast<uint64_t>(value));
    return narrowed(wide, x.dtype());
  }
  std::vector<double> values = x.toDoubles();
  for (double& value : values)
    value = apply(op, value, parameter);
  return fromDoubles(std::move(values), x.shape(), x.dtype());
}

static double apply(Binary op, double a, double b) {
  switch (op) {
  case Binary::Add:
    return a + b;
  case Binary::Sub:
    return a - b;
  case Binary::Mul:
    return a * b;
  case Binary::Div:
    return a / b;
  case Binary::Min:
    return std::isnan(a) || std::isnan(b) ? NAN : std::fmin(a, b);
  case Binary::Max:
    return std::isnan(a) || std::isnan(b) ? NAN : std::fmax(a, b);
  }
  return NAN;
}

static int64_t applyInteger(Binary op, int64_t a, int64_t b) {
  auto wide = [](int64_t value) { return static_cast<uint64_t>(value); };
  switch (op) {
  case Binary::Add:
    return static_cast<int64_t>(wide(a) + wide(b));
  case Binary::Sub:
    return static_cast<int64_t>(wide(a) - wide(b));
  case Binary::Mul:
    return static_cast<int64_t>(wide(a) * wide(b));
  case Binary::Min:
    return std::min(a, b);
  case Binary::Max:
    return std::max(a, b);
  case Binary::Div:
    break;
  }
  throw Error(Fault::Internal, "reference: div of integers");
}

Tensor binary(Binary op, const Tensor& a, const Tensor& b) {
  require(a.dtype() == b.dtype(), "operands of different dtypes");
  Shape shape = broadcastShape(a.shape(), b.shape());
  std::vector<int64_t> as = broadcastPlaces(a.shape(), shape), bs = broadcastPlaces(b.shape(), shape);
  if (isFloat(a.dtype())) {
    std::vector<double> left = a.toDoubles(), right = b.toDoubles(), values(as.size());
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = apply(op, left[as[i]], right[bs[i]]);
    return fromDoubles(std::move(values), shape, a.dtype());
  }
  Tensor left = a.cast(DType::I64), right = b.cast(DType::I64), values(DType::I64, shape);
  for (size_t i = 0; i < as.size(); ++i)
    values.as<int64_t>()[i] = applyInteger(op, left.as<int64_t>()[as[i]], right.as<int64_t>()[bs[i]]);
  return narrowed(values, a.dtype());
}

template <class T> static bool holds(Comparison op, T a, T b) {
  switch (op) {
  case Comparison::Eq:
    return a == b;
  case Comparison::Ne:
    return a != b;
  case Comparison::Lt:
    return a < b;
  case Comparison::Le:
    return a <= b;
  case Comparison::Gt:
    return a > b;
  case Comparison::Ge:
    return a >= b;
  }
  return false;
}

Tensor compare(Comparison op, const Tensor& a, const Tensor& b) {
  require(a.dtype() == b.dtype(), "operands of different dtypes");
  Shape shape = broadcastShape(a.shape(), b.shape());
  std::vector<int64_t> as = broadcastPlaces(a.shape(), shape), bs = broadcastPlaces(b.shape(), shape);
  Tensor result(DType::Bool, shape);
  std::span<uint8_t> bits = result.as<uint8_t>();
  if (isFloat(a.dtype())) {
    std::vector<double> left = a.toDoubles(), right = b.toDoubles();
    for (size_t i = 0; i < bits.size(); ++i)
      bits[i] = holds(op, left[as[i]], right[bs[i]]);
    return result;
  }
  Tensor left = a.cast(DType::I64), right = b.cast(DType::I64);
  for (size_t i = 0; i < bits.size(); ++i)
    bits[i] = holds(op, left.as<int64_t>()[as[i]], right.as<int64_t>()[bs[i]]);
  return result;
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  require(a.dtype() == b.dtype() && condition.dtype() == DType::Bool, "where of " + describe(condition) + ", " + describe(a) + " and " + describe(b));
  Shape shape = broadcastShape(broadcastShape(a.shape(), b.shape()), condition.shape());
  std::vector<int64_t> cs = broadcastPlaces(condition.shape(), shape), as = broadcastPlaces(a.shape(), shape), bs = broadcastPlaces(b.shape(), shape);
  std::span<const uint8_t> holds = condition.as<const uint8_t>();
  Tensor result(a.dtype(), shape);
  size_t size = byteSize(a.dtype());
  for (size_t i = 0; i < cs.size(); ++i) {
    bool first = holds[cs[i]] != 0;
    const Tensor& from = first ? a : b;
    std::memcpy(static_cast<char*>(result.data()) + i * size, static_cast<const char*>(from.data()) + (first ? as[i] : bs[i]) * size, size);
  }
  return result;
}

Tensor cast(const Tensor& x, DType to) {
  if (isFloat(to))
    return x.cast(to);
  require(to == DType::I32 && isFloat(x.dtype()), "cast to integers");
  std::vector<int32_t> values;
  for (double value : x.toDoubles()) // towards zero; what i32 does not hold is its nearest number, and NaN is 0
    values.push_back(std::isnan(value) ? 0 : static_cast<int32_t>(std::clamp(value, -0x1p31, 0x1p31 - 1)));
  return Tensor::of(std::move(values), x.shape());
}

} // namespace moec::reference
