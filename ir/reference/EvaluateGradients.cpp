// The gradients of Evaluate.h, each as its formula in docs/SPEC.md.

#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"

#include <algorithm>
#include <cmath>

namespace moec::reference {

namespace {

/// For each row of dy and x: xhat = (x - mean) * inverse; dx = inverse * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight. Without `centred` the
/// mean of x and that of g count as 0.
Tensor normGrad(const Tensor& dy, const Tensor& x, const Tensor* weight, double eps, bool centred) {
  int64_t width = x.shape().back();
  auto count = static_cast<double>(width);
  std::vector<double> values = x.toDoubles(), gradient = dy.toDoubles(), result(values.size());
  std::vector<double> scale = weight ? weight->toDoubles() : std::vector<double>(width, 1.0);
  std::vector<double> normal(width), scaled(width);
  for (size_t start = 0; start < values.size(); start += width) {
    double mean = 0, square = 0, meanGradient = 0, meanProduct = 0;
    for (int64_t i = 0; centred && i < width; ++i)
      mean += values[start + i];
    mean /= count;
    for (int64_t i = 0; i < width; ++i)
      square += (values[start + i] - mean) * (values[start + i] - mean);
    double inverse = 1 / std::sqrt(square / count + eps);
    for (int64_t i = 0; i < width; ++i) {
      normal[i] = (values[start + i] - mean) * inverse;
      scaled[i] = gradient[start + i] * scale[i];
      meanGradient += centred ? scaled[i] : 0;
      meanProduct += scaled[i] * normal[i];
    }
    for (int64_t i = 0; i < width; ++i)
      result[start + i] = inverse * (scaled[i] - meanGradient / count - normal[i] * (meanProduct / count));
  }
  return fromDoubles(std::move(result), x.shape(), x.dtype());
}

double logSumExpOf(const double* row, int64_t count) {
  double highest = -INFINITY, sum = 0;
  for (int64_t i = 0; i < count; ++i)
    highest = std::isnan(row[i]) ? NAN : std::isnan(highest) ? highest : std::max(highest, row[i]);
  if (!std::isfinite(highest))
    return highest; // all are -inf, one is +inf, or one is NaN
  for (int64_t i = 0; i < count; ++i)
    sum += std::exp(row[i] - highest);
  return highest + std::log(sum);
}

/// The label of each row of scores, checked; -1 where it is to be ignored.
std::vector<int64_t> labelsOf(const std::string& op, const Tensor& scores, const Tensor& labels, int64_t ignore) {
  Tensor wide = labels.cast(DType::I64);
  std::span<const int64_t> given = wide.as<const int64_t>();
  std::vector<int64_t> result(given.begin(), given.end());
  for (int64_t& label : result) {
    if (label == ignore)
      label = -1;
    else if (label < 0 || label >= scores.shape().back())
      throw Error(Fault::Data, op + ": the label " + std::to_string(label) + " is not below " + std::to_string(scores.shape().back()));
  }
  return result;
}

Shape withoutLast(const Tensor& x) { return Shape(x.shape().begin(), x.shape().end() - 1); }

} // namespace

Tensor logSumExp(const Tensor& x) {
  int64_t width = x.shape().back();
  std::vector<double> values = x.toDoubles(), result;
  for (size_t start = 0; start < values.size(); start += width)
    result.push_back(logSumExpOf(&values[start], width));
  return fromDoubles(std::move(result), withoutLast(x), x.dtype());
}

Tensor crossEntropy(const Tensor& scores, const Tensor& labels, const CrossEntropyRule& rule) {
  int64_t width = scores.shape().back();
  std::vector<double> values = scores.toDoubles(), result;
  for (int64_t label : labelsOf("cross_entropy", scores, labels, rule.ignore)) {
    const double* row = &values[result.size() * width];
    if (label < 0) {
      result.push_back(0);
      continue;
    }
    double total = logSumExpOf(row, width), sum = 0;
    for (int64_t i = 0; i < width; ++i)
      sum += row[i];
    double loss = (1 - rule.smoothing) * (total - row[label]);
    if (rule.smoothing != 0) // otherwise a score of -inf elsewhere would make it NaN
      loss += rule.smoothing * (total - sum / static_cast<double>(width));
    result.push_back(loss);
  }
  return fromDoubles(std::move(result), labels.shape(), scores.dtype());
}

Tensor isTop(const Tensor& scores, const Tensor& labels, int64_t ignore) {
  int64_t width = scores.shape().back();
  std::vector<double> values = scores.toDoubles();
  std::vector<int64_t> places = labelsOf("is_top", scores, labels, ignore);
  Tensor result(DType::Bool, withoutLast(scores));
  for (size_t r = 0; r < places.size(); ++r) {
    const double* row = &values[r * static_cast<size_t>(width)];
    bool top = places[r] >= 0 && !std::isnan(row[places[r]]);
    for (int64_t i = 0; top && i < width; ++i)
      top = !(row[i] > row[places[r]] || (i < places[r] && row[i] == row[places[r]]));
    result.as<uint8_t>()[r] = top;
  }
  return result;
}

Tensor crossEntropyGrad(const Tensor& dy, const Tensor& scores, const Tensor& labels, const CrossEntropyRule& rule) {
  int64_t width = scores.shape().back();
  std::vector<double> values = scores.toDoubles(), gradient = dy.toDoubles();
  std::vector<int64_t> places = labelsOf("cross_entropy_grad", scores, labels, rule.ignore);
  for (size_t r = 0; r < places.size(); ++r) {
    double* row = &values[r * width];
    if (places[r] < 0) {
      std::fill(row, row + width, 0.0);
      continue;
    }
    softmaxRow(row, width);
    for (int64_t i = 0; i < width; ++i) {
      double target = rule.smoothing / static_cast<double>(width) + (i == places[r] ? 1 - rule.smoothing : 0);
      row[i] = gradient[r] * (row[i] - target);
    }
  }
  return fromDoubles(std::move(values), scores.shape(), scores.dtype());
}

Tensor layerNormGrad(const Tensor& dy, const Tensor& x, const Tensor* weight, double eps) { return normGrad(dy, x, weight, eps, true); }
Tensor rmsNormGrad(const Tensor& dy, const Tensor& x, const Tensor* weight, double eps) { return normGrad(dy, x, weight, eps, false); }

Tensor softmaxGrad(const Tensor& dy, const Tensor& y) {
  int64_t width = y.shape().back();
  std::vector<double> values = y.toDoubles(), gradient = dy.toDoubles();
  for (size_t start = 0; start < values.size(); start += width) {
    double sum = dot(&gradient[start], &values[start], width);
    for (int64_t i = 0; i < width; ++i)
      values[start + i] *= gradient[start + i] - sum;
  }
  return fromDoubles(std::move(values), y.shape(), y.dtype());
}

std::vector<Tensor> attentionGrad(const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor* bias, const Tensor* draws,
                                  const AttentionRule& rule) {
  int64_t batch = q.shape()[0], queries = q.shape()[1], keys = k.shape()[1], width = q.shape()[2], head = width / rule.heads, kvWidth = k.shape()[2];
  if (rule.causal && keys < queries)
    throw Error(Fault::Data, "attention_grad: causal with fewer keys than queries");
  std::vector<double> dys = dy.toDoubles(), qs = q.toDoubles(), ks = k.toDoubles(), vs = v.toDoubles();
  std::vector<double> added = bias ? bias->toDoubles() : std::vector<double>();
  std::vector<double> dq(qs.size(), 0.0), dk(ks.size(), 0.0), dv(vs.size(), 0.0), dbias(added.size(), 0.0), weights(keys), dWeights(keys);
  std::vector<double> factors = draws ? dropoutFactors(*draws, rule.dropout) : std::vector<double>();
  int64_t biasHeads = bias ? bias->shape()[0] : 0;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < rule.heads; ++h)
      for (int64_t i = 0; i < queries; ++i) {
        int64_t kvHead = h / (rule.heads / rule.kvHeads);
        int64_t row = (b * queries + i) * width + h * head, column = b * keys * kvWidth + kvHead * head;
        int64_t seen = rule.causal ? i + keys - queries + 1 : keys;
        int64_t shift = ((biasHeads == 1 ? 0 : h) * queries + i) * keys, draw = ((b * rule.heads + h) * queries + i) * keys;
        auto factor = [&](int64_t j) { return draws ? factors[draw + j] : 1.0; };
        for (int64_t j = 0; j < seen; ++j)
          weights[j] = rule.scale * dot(&qs[row], &ks[column + j * kvWidth], head) + (bias ? added[shift + j] : 0.0);
        softmaxRow(weights.data(), seen);
        for (int64_t j = 0; j < seen; ++j)
          dWeights[j] = factor(j) * dot(&dys[row], &vs[column + j * kvWidth], head);
        double sum = dot(weights.data(), dWeights.data(), seen);
        for (int64_t j = 0; j < seen; ++j) {
          double dScore = weights[j] * (dWeights[j] - sum);
          if (bias)
            dbias[shift + j] += dScore;
          for (int64_t d = 0; d < head; ++d) {
            int64_t other = column + j * kvWidth + d;
            dv[other] += factor(j) * weights[j] * dys[row + d];
            dq[row + d] += rule.scale * dScore * ks[other];
            dk[other] += rule.scale * dScore * qs[row + d];
          }
        }
      }
  std::vector<Tensor> results{fromDoubles(std::move(dq), q.shape(), q.dtype()), fromDoubles(std::move(dk), k.shape(), k.dtype()),
                              fromDoubles(std::move(dv), v.shape(), v.dtype())};
  if (bias)
    results.push_back(fromDoubles(std::move(dbias), bias->shape(), bias->dtype()));
  return results;
}

Tensor relativeBiasGrad(const Tensor& dy, const RelativeBuckets& rule) {
  int64_t heads = dy.shape()[0], queries = dy.shape()[1], keys = dy.shape()[2];
  std::vector<double> gradient = dy.toDoubles(), result(rule.buckets * heads, 0.0);
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t j = 0; j < keys; ++j)
        result[bucketOf(j - (i + keys - queries), rule) * heads + h] += gradient[(h * queries + i) * keys + j];
  return fromDoubles(std::move(result), {rule.buckets, heads}, dy.dtype());
}

Tensor embeddingGrad(const Tensor& ids, const Tensor& dy, int64_t entries) {
  int64_t width = dy.shape().back();
  Tensor wide = ids.cast(DType::I64);
  std::span<const int64_t> places = wide.as<const int64_t>();
  std::vector<double> gradient = dy.toDoubles(), result(entries * width, 0.0);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] < 0 || places[i] >= entries)
      throw Error(Fault::Data, "embedding_grad: the id " + std::to_string(places[i]) + " is not below " + std::to_string(entries));
    for (int64_t d = 0; d < width; ++d)
      result[places[i] * width + d] += gradient[i * width + d];
  }
  return fromDoubles(std::move(result), {entries, width}, dy.dtype());
}

Tensor selectGrad(const Tensor& dy, const Tensor& indices, int64_t experts) {
  int64_t tokens = dy.shape()[0], choices = dy.shape()[1];
  std::span<const int32_t> chosen = indices.as<const int32_t>();
  std::vector<double> gradient = dy.toDoubles(), result(tokens * experts, 0.0);
  for (int64_t i = 0; i < tokens * choices; ++i) {
    if (chosen[i] == -1)
      continue;
    if (chosen[i] < 0 || chosen[i] >= experts)
      throw Error(Fault::Data, "select_grad: there is no expert " + std::to_string(chosen[i]) + " of " + std::to_string(experts));
    result[i / choices * experts + chosen[i]] += gradient[i];
  }
  return fromDoubles(std::move(result), {tokens, experts}, dy.dtype());
}

Tensor groupedWeightGrad(const Tensor& dy, const Tensor& rows, const Routing& routing) {
  int64_t columns = dy.shape()[1], depth = rows.shape()[1];
  std::vector<double> gradient = dy.toDoubles(), values = rows.toDoubles(), result(routing.experts * columns * depth, 0.0);
  for (int64_t row = 0; row < routing.kept(); ++row) {
    double* matrix = result.data() + routing.expertOf(row) * columns * depth;
    for (int64_t n = 0; n < columns; ++n)
      for (int64_t k = 0; k < depth; ++k)
        matrix[n * depth + k] += gradient[row * columns + n] * values[row * depth + k];
  }
  return fromDoubles(std::move(result), {routing.experts, columns, depth}, rows.dtype());
}

} // namespace moec::reference
