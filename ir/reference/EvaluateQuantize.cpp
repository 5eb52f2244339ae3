#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"
#include "runtime/core/BFloat16.h"

#include <algorithm>
#include <cmath>

namespace moec::reference {
namespace {

constexpr float kMostSteps = 127;

/// NaN where a number of the group is not finite.
uint16_t scaleOf(std::span<const float> group) {
  float largest = 0;
  for (float value : group)
    largest = std::isfinite(value) ? std::max(largest, std::fabs(value)) : NAN; // std::max(NaN, x) is NaN
  return bf16FromFloat(largest / kMostSteps);
}

uint8_t codeOf(float value, float scale) {
  if (!(scale > 0))
    return 0;
  float steps = std::nearbyint(value / scale); // to nearest even
  return static_cast<uint8_t>(static_cast<int8_t>(std::clamp(steps, -kMostSteps, kMostSteps)));
}

Shape scalesShape(Shape shape, int64_t group) {
  shape.back() = (shape.back() + group - 1) / group;
  return shape;
}

} // namespace

Quantized quantize(const Tensor& w, int64_t group) {
  require(w.dtype() == DType::F32 && w.shape().size() >= 2, "quantize of " + describe(w));
  int64_t depth = w.shape().back();
  Quantized result{Tensor(DType::U8, w.shape()), Tensor(DType::BF16, scalesShape(w.shape(), group))};
  auto values = w.as<float>();
  auto codes = result.codes.as<uint8_t>();
  auto scale = result.scales.as<uint16_t>().begin();
  for (size_t row = 0; row < values.size(); row += static_cast<size_t>(depth))
    for (int64_t first = 0; first < depth; first += group) {
      auto begin = row + static_cast<size_t>(first), count = static_cast<size_t>(std::min(group, depth - first));
      *scale = scaleOf(values.subspan(begin, count));
      for (size_t i = begin; i < begin + count; ++i)
        codes[i] = codeOf(values[i], bf16ToFloat(*scale));
      ++scale;
    }
  return result;
}

Tensor dequantize(const Tensor& codes, const Tensor& scales, int64_t group) {
  int64_t depth = codes.shape().back(), groups = scales.shape().back();
  require(scales.shape() == scalesShape(codes.shape(), group), "dequantize of " + describe(codes) + " and " + describe(scales));
  Tensor result(DType::F32, codes.shape());
  auto values = result.as<float>();
  auto steps = codes.as<uint8_t>();
  auto factors = scales.as<uint16_t>();
  for (int64_t i = 0; i < result.elements(); ++i)
    values[i] = static_cast<float>(static_cast<int8_t>(steps[i])) * bf16ToFloat(factors[i / depth * groups + i % depth / group]);
  return result;
}

} // namespace moec::reference
