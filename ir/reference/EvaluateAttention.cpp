#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace moec::reference {

std::vector<double> dropoutFactors(const Tensor& draws, double p) {
  std::vector<double> factors = draws.toDoubles();
  double least = draws.dtype() == DType::F32 ? static_cast<double>(static_cast<float>(p)) : p;
  for (double& factor : factors)
    factor = factor >= least ? 1 / (1 - p) : 0;
  return factors;
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor* bias, const Tensor* draws, const AttentionRule& rule) {
  int64_t batch = q.shape()[0], queries = q.shape()[1], keys = k.shape()[1], width = q.shape()[2], head = width / rule.heads, kvWidth = k.shape()[2];
  if (rule.causal && keys < queries)
    throw Error(Fault::Data, "attention: causal with fewer keys than queries");
  std::vector<double> qs = q.toDoubles(), ks = k.toDoubles(), vs = v.toDoubles(), result(qs.size(), 0.0), weights(keys);
  std::vector<double> added = bias ? bias->toDoubles() : std::vector<double>();
  std::vector<double> factors = draws ? dropoutFactors(*draws, rule.dropout) : std::vector<double>();
  int64_t biasHeads = bias ? bias->shape()[0] : 0;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < rule.heads; ++h)
      for (int64_t i = 0; i < queries; ++i) {
        int64_t kvHead = h / (rule.heads / rule.kvHeads);
        int64_t row = (b * queries + i) * width + h * head, column = b * keys * kvWidth + kvHead * head;
        int64_t seen = rule.causal ? i + keys - queries + 1 : keys;
        const double* shift = bias ? &added[((biasHeads == 1 ? 0 : h) * queries + i) * keys] : nullptr;
        for (int64_t j = 0; j < seen; ++j)
          weights[j] = rule.scale * dot(&qs[row], &ks[column + j * kvWidth], head) + (shift ? shift[j] : 0.0);
        softmaxRow(weights.data(), seen);
        for (int64_t j = 0; draws && j < seen; ++j)
          weights[j] *= factors[((b * rule.heads + h) * queries + i) * keys + j];
        for (int64_t j = 0; j < seen; ++j)
          for (int64_t d = 0; d < head; ++d)
            result[row + d] += weights[j] * vs[column + j * kvWidth + d];
      }
  return fromDoubles(std::move(result), q.shape(), q.dtype());
}

/// Places of `count` rows from `position` on in a context.
static void checkRoom(const char* op, int64_t position, int64_t count, int64_t context) {
  if (position < 0 || position + count > context)
    throw Error(Fault::Data,
                std::string(op) + ": " + std::to_string(count) + " rows at position " + std::to_string(position) + " of " + std::to_string(context));
}

/// The first `position` rows of each cache (B, context, W), then those of rows (B, n, W): (B, position + n, W).
static Tensor rowsSoFar(const Tensor& cache, const Tensor& rows, int64_t position) {
  return position == 0 ? rows : concat({slice(cache, 1, 0, position), rows}, 1);
}

Tensor cachedAttention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& keys, const Tensor& values, int64_t position, const Tensor* bias,
                       const AttentionRule& rule) {
  int64_t count = q.shape()[1];
  checkRoom("cached_attention", position, count, keys.shape()[1]);
  AttentionRule causal = rule;
  causal.causal = true; // the query i of n sees i + Nk - n = i + position keys
  Tensor seen = bias ? slice(*bias, 2, 0, position + count) : Tensor();
  return attention(q, rowsSoFar(keys, k, position), rowsSoFar(values, v, position), bias ? &seen : nullptr, nullptr, causal);
}

Tensor append(const Tensor& cache, const Tensor& rows, int64_t position) {
  int64_t context = cache.shape()[1], end = position + rows.shape()[1];
  checkRoom("append", position, rows.shape()[1], context);
  Tensor result = rowsSoFar(cache, rows, position);
  return end == context ? result : concat({result, slice(cache, 1, end, context - end)}, 1);
}

int64_t bucketOf(int64_t offset, const RelativeBuckets& rule) {
  int64_t buckets = rule.bidirectional ? rule.buckets / 2 : rule.buckets, first = 0;
  int64_t distance = rule.bidirectional ? std::abs(offset) : std::max<int64_t>(-offset, 0);
  if (rule.bidirectional && offset > 0)
    first = buckets;
  int64_t exact = buckets / 2;
  if (distance < exact)
    return first + distance;
  float whole = static_cast<float>(std::log(static_cast<double>(rule.maxDistance) / static_cast<double>(exact)));
  float share = std::log(static_cast<float>(distance) / static_cast<float>(exact)) / whole;
  return first + std::min(exact + static_cast<int64_t>(share * static_cast<float>(buckets - exact)), buckets - 1);
}

Tensor relativeBias(const Tensor& table, int64_t first, int64_t queries, int64_t keys, int64_t maxDistance, bool bidirectional) {
  int64_t heads = table.shape()[1];
  RelativeBuckets rule{table.shape()[0], maxDistance, bidirectional};
  return moved(table, {heads, queries, keys}, [&](int64_t i) {
    int64_t key = i % keys, query = i / keys % queries + first, head = i / (keys * queries);
    return bucketOf(key - query, rule) * heads + head;
  });
}

Tensor rotary(const Tensor& x, int64_t heads, double base, bool interleaved, bool inverse, int64_t first) {
  int64_t positions = x.shape()[1], width = x.shape()[2], head = width / heads, pairs = head / 2;
  std::vector<double> values = x.toDoubles();
  for (size_t start = 0; start < values.size(); start += head) {
    int64_t position = first + static_cast<int64_t>(start) / width % positions;
    for (int64_t i = 0; i < pairs; ++i) {
      double angle = static_cast<double>(position) * std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head));
      if (inverse)
        angle = -angle;
      double& a = values[start + (interleaved ? 2 * i : i)];
      double& b = values[start + (interleaved ? 2 * i + 1 : i + pairs)];
      double turned = a * std::cos(angle) - b * std::sin(angle);
      b = b * std::cos(angle) + a * std::sin(angle);
      a = turned;
    }
  }
  return fromDoubles(std::move(values), x.shape(), x.dtype());
}

} // namespace moec::reference
