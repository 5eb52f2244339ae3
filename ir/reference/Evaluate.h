#pragma once
// What every op computes, as plain loops over plain arrays: docs/SPEC.md as code, and the truth that kernels are held
// to. Sums and functions are double; each op rounds once, to the result's dtype. Knows no MLIR. Errors are moec::Error:
// Data for values out of range, Internal for shapes that the ops' verifiers would have refused.

#include "ir/reference/Routing.h"
#include "runtime/core/Tensor.h"

#include <optional>

namespace moec::reference {

// Elementwise.
enum class Unary { Neg, Exp, Log, Sqrt, Tanh, Sigmoid, Softplus, Relu, Gelu, GeluTanh, Silu, Erf, GeluGrad, GeluTanhGrad, LeakyRelu, Elu };
enum class Binary { Add, Sub, Mul, Div, Min, Max };
enum class Comparison { Eq, Ne, Lt, Le, Gt, Ge };
Tensor unary(Unary op, const Tensor& x, double parameter = 0); // parameter: slope of LeakyRelu, alpha of Elu
Tensor binary(Binary op, const Tensor& a, const Tensor& b);
Tensor compare(Comparison op, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor cast(const Tensor& x, DType to);

// Shape.
Tensor transpose(const Tensor& x, const std::vector<int64_t>& permutation);
Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t size);
Tensor concat(const std::vector<Tensor>& xs, int64_t axis);
Tensor broadcast(const Tensor& x, const Shape& shape);
enum class Reduction { Sum, Mean, Max };
Tensor reduce(Reduction op, const Tensor& x, int64_t axis);

// Layers.
Tensor matmul(const Tensor& a, const Tensor& b);                    // (.., M, K), (.., N, K) -> (.., M, N)
Tensor pack(const Tensor& w, int64_t nr, bool pairs = false);       // (.., N, K) -> (.., ceil(N/nr), K, nr)
Tensor unpack(const Tensor& panels, int64_t n, bool pairs = false); // (.., ceil(n/nr), K, nr) -> (.., n, K)
struct Quantized {
  Tensor codes, scales; // (.., N, K) u8, (.., N, ceil(K/group)) bf16
};
Quantized quantize(const Tensor& w, int64_t group); // f32
Tensor dequantize(const Tensor& codes, const Tensor& scales, int64_t group);
Tensor layerNorm(const Tensor& x, const Tensor* weight, const Tensor* bias, double eps);
Tensor rmsNorm(const Tensor& x, const Tensor* weight, double eps);
Tensor softmax(const Tensor& x);
Tensor logSumExp(const Tensor& x); // (.., N) -> (..)
struct CrossEntropyRule {
  double smoothing = 0;
  int64_t ignore = -100;
};
Tensor crossEntropy(const Tensor& scores, const Tensor& labels, const CrossEntropyRule& rule); // (.., V), (..) -> (..)
Tensor isTop(const Tensor& scores, const Tensor& labels, int64_t ignore);                      // (.., V), (..) -> (..)
struct AttentionRule {
  int64_t heads = 1, kvHeads = 1;
  double scale = 1;
  bool causal = false;
  double dropout = 0; // with draws alone
};
/// bias (heads or 1, Nq, Nk) and draws (B, heads, Nq, Nk) may be null.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor* bias, const Tensor* draws, const AttentionRule& rule);
/// What dropout multiplies weights with: 0 where the draw is below p as a number of its dtype, else 1 / (1 - p).
std::vector<double> dropoutFactors(const Tensor& draws, double p);
/// Of new tokens q, k, v (B, n, ..) behind `position` tokens whose keys and values lie in (B, context, ..); rule.causal means nothing.
Tensor cachedAttention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& keys, const Tensor& values, int64_t position, const Tensor* bias,
                       const AttentionRule& rule);
Tensor append(const Tensor& cache, const Tensor& rows, int64_t position); // (B, context, W), (B, n, W) -> (B, context, W)
struct RelativeBuckets {
  int64_t buckets = 32, maxDistance = 128;
  bool bidirectional = false;
};
/// The bucket of a key at position query + `offset`, in the f32 steps of transformers 5.24 (T5Attention).
int64_t bucketOf(int64_t offset, const RelativeBuckets& rule);
/// Query i stands at position first + i.
Tensor relativeBias(const Tensor& table, int64_t first, int64_t queries, int64_t keys, int64_t maxDistance, bool bidirectional);
Tensor rotary(const Tensor& x, int64_t heads, double base, bool interleaved, bool inverse = false, int64_t first = 0); // row n at position first + n
Tensor embedding(const Tensor& ids, const Tensor& table);
enum class Distribution { Uniform, Normal };
struct DrawKey {
  uint64_t seed = 0;
  uint32_t stream = 0, step = 0;
};
Tensor random(Distribution distribution, DType dtype, const Shape& shape, const DrawKey& key);

// Routing.
struct Selection {
  Tensor values, indices; // (T, k), (T, k) i32
};
Selection select(const Tensor& scores, int64_t k);
enum class Priority { TokenMajor, ChoiceMajor };
struct AssignRule {
  int64_t experts = 1;
  Priority priority = Priority::TokenMajor;
  std::optional<int64_t> capacity;
  int64_t groups = 1;
  std::optional<int64_t> bound; // of the rows
};
struct PlacesRule {
  int64_t experts = 1;
  Priority priority = Priority::TokenMajor;
  int64_t groups = 1;
};
Tensor take(const Tensor& x, const Tensor& indices);                                                    // (T, E), (T, k) -> (T, k)
Tensor places(const Tensor& indices, const Tensor& scores, const Tensor* keep, const PlacesRule& rule); // (T, K) -> (T, K) i32
Tensor swipe(const Tensor& indices, int64_t experts, int64_t workers);                                  // (T, K) -> (T, K) i32
Routing assign(const Tensor& indices, const Tensor* keep, const Routing* within, const AssignRule& rule);
Routing drop(const Routing& routing, const Tensor& keep);
Routing expertsOf(const Routing& routing, int64_t from, int64_t count);
Tensor expertCounts(const Routing& routing); // (E) i32
Tensor dispatch(const Tensor& x, const Routing& routing);
Tensor groupedMatmul(const Tensor& rows, const Tensor& w, const Routing& routing);
Tensor expertRows(const Tensor& table, const Routing& routing);
Tensor rowWeights(const Tensor& weights, const Routing& routing);
Tensor combine(const Tensor& rows, const Routing& routing, const Tensor& weights);
Tensor choiceValues(const Tensor& column, const Routing& routing); // (R, 1) -> (T, K)
Tensor expertSums(const Tensor& rows, const Routing& routing);     // (R, N) -> (E, N)

// Gradients, from dy, that of the op's result.
Tensor layerNormGrad(const Tensor& dy, const Tensor& x, const Tensor* weight, double eps);
Tensor rmsNormGrad(const Tensor& dy, const Tensor& x, const Tensor* weight, double eps);
Tensor softmaxGrad(const Tensor& dy, const Tensor& y);
Tensor crossEntropyGrad(const Tensor& dy, const Tensor& scores, const Tensor& labels, const CrossEntropyRule& rule);
/// Of q, k, v, and of bias where there is one.
std::vector<Tensor> attentionGrad(const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor* bias, const Tensor* draws,
                                  const AttentionRule& rule);
Tensor relativeBiasGrad(const Tensor& dy, const RelativeBuckets& rule); // (heads, Nq, Nk) -> (buckets, heads)
Tensor embeddingGrad(const Tensor& ids, const Tensor& dy, int64_t entries);
Tensor selectGrad(const Tensor& dy, const Tensor& indices, int64_t experts);
Tensor groupedWeightGrad(const Tensor& dy, const Tensor& rows, const Routing& routing); // (R, N), (R, K) -> (E, N, K)

} // namespace moec::reference
