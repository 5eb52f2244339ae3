// An example of skeletons/product.cuh: out (M, N) = a (M, 100) b (N, 100)^T.
#include "product.cuh"

using Tile = ProductTile<float, 2, 2, 4, 4, 16, 3>;

extern "C" __global__ void __launch_bounds__(Tile::threads) example(const float* a, const float* b, float* out, int rows, int columns) {
  __shared__ Tile::Shared shared;
  const int row0 = blockIdx.x * Tile::tileM, column0 = blockIdx.y * Tile::tileN;
  float sums[Tile::rows][Tile::columns];
  multiplyTile<Tile>(shared, sums, 100, a, [&](int m) -> const float* { return row0 + m < rows ? a + (row0 + m) * 100 : nullptr; },
                     [&](int n) -> const float* { return column0 + n < columns ? b + (column0 + n) * 100 : nullptr; });
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      const int row = row0 + Tile::rowOf(m), column = column0 + Tile::columnOf(n);
      if (row < rows && column < columns)
        out[row * columns + column] = sums[m][n];
    }
}
