// An example of skeletons/layer.cuh: out (R, 40) = each expert's rows of x (R, 24) times its weights (5, 40, 24), by one block.
#include "layer.cuh"

struct Product {
  using Tile = ProductTile<float, 2, 4, 2, 1, 16, 4>;
  static constexpr int experts = 5, columns = 40, depth = 24;
  const int* offsets;
  const float *rows, *weights;
  __device__ __forceinline__ const float* readable() const { return weights; }
  __device__ __forceinline__ const float* rowOfA(int row) const { return rows + row * depth; }
  __device__ __forceinline__ const float* rowOfB(int expert, int column) const { return weights + (expert * columns + column) * depth; }
};

extern "C" __global__ void __launch_bounds__(Product::Tile::threads) example(const int* offsets, const float* x, const float* weights, float* out) {
  using Tile = Product::Tile;
  __shared__ Tile::Shared slices;
  const Product product = {offsets, x, weights};
  multiplyLayer(slices, product, [&](const LayerTiles<Product>& tile, const float (&sums)[Tile::rows][Tile::columns]) {
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m)
      if (Tile::rowOf(m) < tile.rows.count)
#pragma unroll
        for (int n = 0; n < Tile::columns; ++n)
          if (tile.column0 + Tile::columnOf(n) < Product::columns)
            out[(tile.rows.first + Tile::rowOf(m)) * Product::columns + tile.column0 + Tile::columnOf(n)] = sums[m][n];
  });
}
