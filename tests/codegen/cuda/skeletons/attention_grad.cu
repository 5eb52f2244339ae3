// An example of skeletons/attention_grad.cuh: the gradients of one head of 40 columns, with no bias and no dropout.
#include "attention_grad.cuh"

using Tile = ProductTile<float, 4, 1, 2, 4, 16, 3>;
using Attention = AttentionGradTile<Tile, 40, 3>;

struct Rows {
  const float* from;
  int first, count;
  __device__ const float* operator()(int row) const { return first + row < count ? from + (first + row) * 40 : nullptr; }
};

extern "C" __global__ void __launch_bounds__(128) statistics(const float* q, const float* k, const float* v, const float* dy, float* mosts, float* totals, float* dots, int rows) {
  __shared__ Attention::Shared shared;
  const int query0 = blockIdx.x * Tile::tileM;
  attentionStatistics<Attention>(shared, rows, 0.5f, q, Rows{q, query0, rows}, Rows{dy, query0, rows}, Rows{k, 0, rows}, Rows{v, 0, rows}, [&](int) { return rows; },
                                 NoBias(), NoDropout(), [&](int m, float most, float total, float dot) {
                                   if (query0 + m < rows)
                                     mosts[query0 + m] = most, totals[query0 + m] = total, dots[query0 + m] = dot;
                                 });
}

extern "C" __global__ void __launch_bounds__(128) queries(const float* q, const float* k, const float* v, const float* dy, const float* mosts, const float* totals, const float* dots, float* dq,
                                                          int rows) {
  __shared__ Attention::Shared shared;
  const int query0 = blockIdx.x * Tile::tileM;
  RowStatistics<float> of[Tile::rows];
  for (int m = 0; m < Tile::rows; ++m) {
    const int query = query0 + Tile::rowOf(m);
    of[m].most = query < rows ? mosts[query] : 0;
    of[m].total = query < rows ? totals[query] : 0;
    of[m].dot = query < rows ? dots[query] : 0;
  }
  float sums[Tile::rows][Attention::columns], products[Tile::rows][Tile::columns];
  clearSums<Attention>(sums);
  for (int key0 = 0; key0 < rows; key0 += Tile::tileN) {
    scoreGradients<Attention>(shared, products, key0, 0.5f, q, of, Rows{q, query0, rows}, Rows{dy, query0, rows}, Rows{k, 0, rows}, Rows{v, 0, rows},
                              [&](int) { return rows; }, NoBias(), NoDropout());
    addWeighted<Attention>(shared, sums, products, 0, q, Rows{k, key0, rows});
  }
  storeSums<Attention>(sums, 0.5f, 0, [&](int m) -> float* { return query0 + m < rows ? dq + (query0 + m) * 40 : nullptr; });
}

extern "C" __global__ void __launch_bounds__(128) keys(const float* q, const float* k, const float* v, const float* dy, const float* mosts, const float* totals, const float* dots, float* dk,
                                                       float* dv, int rows) {
  __shared__ Attention::Shared shared;
  const int key0 = blockIdx.x * Tile::tileM;
  float ofK[Tile::rows][Attention::columns], ofV[Tile::rows][Attention::columns];
  clearSums<Attention>(ofK);
  clearSums<Attention>(ofV);
  addGradientsOfKeys<Attention>(shared, ofK, ofV, 0, rows, 0.5f, 0, q, Rows{k, key0, rows}, Rows{v, key0, rows}, Rows{q, 0, rows}, Rows{dy, 0, rows},
                                [&](int m) { return key0 + m < rows ? 0 : 0x7fffffff; }, NoBias(), NoDropout(),
                                [&](int query) { return RowStatistics<float>{mosts[query], totals[query], dots[query]}; });
  storeSums<Attention>(ofK, 0.5f, 0, [&](int m) -> float* { return key0 + m < rows ? dk + (key0 + m) * 40 : nullptr; });
  storeSums<Attention>(ofV, 1.0f, 0, [&](int m) -> float* { return key0 + m < rows ? dv + (key0 + m) * 40 : nullptr; });
}
