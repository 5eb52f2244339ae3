#pragma once
// Scores of a block's tokens: scores(m, e) = sum over d of x(m, d) w(e, d), a token's row of scores contiguous in shared memory.
//   for each tile of experts:  sums = the product's tile (product.cuh);  scores = sums
// Threads and sums as product.cuh has them. `stride`: elements between two tokens' scores. A token that there is not has zeros.
#include "product.cuh"

template <class Tile, int experts, int stride, class RowOfX, class RowOfW>
__device__ __forceinline__ void scoreTokens(typename Tile::Shared& slices, typename Tile::T* scores, int depth, const typename Tile::T* readable, RowOfX rowOfX,
                                            RowOfW rowOfW) {
#pragma unroll 1
  for (int first = 0; first < experts; first += Tile::tileN) {
    if (first > 0)
      __syncthreads(); // the tile before is still being read
    typename Tile::T sums[Tile::rows][Tile::columns];
    multiplyTile<Tile>(slices, sums, depth, readable, rowOfX, [&](int n) { return first + n < experts ? rowOfW(first + n) : nullptr; });
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
      for (int n = 0; n < Tile::columns; ++n)
        if (first + Tile::columnOf(n) < experts)
          scores[Tile::rowOf(m) * stride + first + Tile::columnOf(n)] = sums[m][n];
  }
  __syncthreads();
}
