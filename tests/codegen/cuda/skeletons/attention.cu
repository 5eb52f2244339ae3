// An example of skeletons/attention.cuh: one head of 40 columns, as many keys as queries.
#include "attention.cuh"

using Tile = ProductTile<double, 2, 1, 2, 4, 16, 3>;
using Attention = AttentionTile<Tile, 40, 5>;

extern "C" __global__ void __launch_bounds__(Tile::threads) example(const double* q, const double* k, const double* v, double* out, int count) {
  __shared__ Attention::Shared shared;
  const int query0 = blockIdx.x * Tile::tileM;
  attend<Attention>(shared, count, 0.5, 0, q, [&](int m) -> const double* { return query0 + m < count ? q + (query0 + m) * 40 : nullptr; },
                    [&](int key) -> const double* { return k + key * 40; }, [&](int key) -> const double* { return v + key * 40; },
                    [&](int) { return count; }, [&](int m) -> double* { return query0 + m < count ? out + (query0 + m) * 40 : nullptr; });
}
