#include "bench/gpu/ExpertLayer.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

namespace moec::bench {

ExpertLayer ExpertLayer::of(const TensorMap& weights, const Tensor& x, int64_t choices) {
  ExpertLayer layer;
  layer.tokens = x.shape().at(0);
  layer.width = x.shape().at(1);
  layer.choices = choices;
  const std::pair<const char*, const char*> names[] = {{"gate_weight", "gate.weight"},         {"gate_bias", "gate.bias"},
                                                       {"up_weight", "experts.up.weight"},     {"up_bias", "experts.up.bias"},
                                                       {"down_weight", "experts.down.weight"}, {"down_bias", "experts.down.bias"}};
  for (const auto& [tensor, end] : names) {
    auto found = std::find_if(weights.begin(), weights.end(), [end = end](const auto& weight) { return weight.first.ends_with(end); });
    if (found == weights.end())
      throw Error(Fault::Internal, fmt::format("no layer of experts: no parameter's name ends with {}", end));
    layer.tensors.emplace(tensor, found->second);
  }
  layer.experts = layer.tensors.at("up_weight").shape()[0];
  layer.hidden = layer.tensors.at("up_weight").shape()[1];
  layer.tensors.emplace("x", x);
  layer.tensors.emplace("choices", Tensor::of<int64_t>({choices}, {1}));
  return layer;
}

ExpertRows rowsOf(const ExpertLayer& layer) {
  auto x = layer.tensors.at("x").as<float>(), weight = layer.tensors.at("gate_weight").as<float>(), bias = layer.tensors.at("gate_bias").as<float>();
  std::vector<std::vector<int>> lists(static_cast<size_t>(layer.experts));
  std::vector<double> scores(static_cast<size_t>(layer.experts));
  std::vector<int> order(static_cast<size_t>(layer.experts));
  for (int64_t token = 0; token < layer.tokens; ++token) {
    for (int64_t expert = 0; expert < layer.experts; ++expert) {
      double sum = bias[static_cast<size_t>(expert)];
      for (int64_t i = 0; i < layer.width; ++i)
        sum +=
            static_cast<double>(x[static_cast<size_t>(token * layer.width + i)]) * static_cast<double>(weight[static_cast<size_t>(expert * layer.width + i)]);
      scores[static_cast<size_t>(expert)] = sum;
    }
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) { // ties to the lowest index
      return std::tuple(-scores[static_cast<size_t>(a)], a) < std::tuple(-scores[static_cast<size_t>(b)], b);
    });
    for (int64_t choice = 0; choice < layer.choices; ++choice)
      lists[static_cast<size_t>(order[static_cast<size_t>(choice)])].push_back(static_cast<int>(token));
  }
  ExpertRows rows{{0}, {}};
  for (const std::vector<int>& list : lists) {
    rows.tokens.insert(rows.tokens.end(), list.begin(), list.end());
    rows.offsets.push_back(static_cast<int>(rows.tokens.size()));
  }
  return rows;
}

double productError(const ExpertRows& rows, const float* a, const float* w, const float* c, int64_t columns, int64_t depth) {
  constexpr int64_t kSamples = 509; // prime: steps over all rows and columns
  int64_t all = static_cast<int64_t>(rows.tokens.size()) * columns, samples = std::min(kSamples, all);
  double worst = 0;
  for (int64_t sample = 0; sample < samples; ++sample) {
    int64_t element = sample * all / samples, row = element / columns, column = element % columns;
    auto expert = std::upper_bound(rows.offsets.begin(), rows.offsets.end(), static_cast<int>(row)) - rows.offsets.begin() - 1;
    double sum = 0, size = 0;
    for (int64_t k = 0; k < depth; ++k) {
      double product = static_cast<double>(a[row * depth + k]) * static_cast<double>(w[(expert * columns + column) * depth + k]);
      sum += product;
      size += std::fabs(product);
    }
    auto value = static_cast<double>(c[element]);
    worst = std::max(worst, std::isfinite(value) ? std::fabs(value - sum) / std::max(size, std::numeric_limits<double>::min()) : INFINITY);
  }
  return worst;
}

} // namespace moec::bench
