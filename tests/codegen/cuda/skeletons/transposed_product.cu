// An example of skeletons/transposed_product.cuh: out (M, N) = a^T b of a (100, M) and b (100, N).
#include "transposed_product.cuh"

using Tile = ProductTile<float, 2, 2, 4, 4, 4, 3>;

extern "C" __global__ void __launch_bounds__(Tile::threads) example(const float* a, const float* b, float* out, int rows, int columns) {
  __shared__ Tile::Shared shared;
  const int row0 = blockIdx.x * Tile::tileM, column0 = blockIdx.y * Tile::tileN;
  float sums[Tile::rows][Tile::columns];
  multiplyTransposed<Tile, true, true>(shared, sums, 100,
                                       [&](float* slice, int k) { copyTransposed<Tile, Tile::tileM, 4>(slice, k, 100, a + row0, rows, rows - row0); },
                                       [&](float* slice, int k) { copyTransposed<Tile, Tile::tileN, 4>(slice, k, 100, b + column0, columns, columns - column0); });
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      const int row = row0 + Tile::rowOf(m), column = column0 + Tile::columnOf(n);
      if (row < rows && column < columns)
        out[row * columns + column] = sums[m][n];
    }
}
