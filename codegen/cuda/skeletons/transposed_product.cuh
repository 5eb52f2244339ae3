#pragma once
// A tile of a product of which a, b or both lie transposed: rows of memory go along m (or n), one behind the other along K.
//   for each slice of 64 bytes of K:  copy the next slices of both operands;  wait for this one;  sums += its outer products
// Layouts: a slice of a transposed operand is Slice<T>::depth rows of `tile` elements; the other operand's is that of product.cuh. A ring of `stages` of each.
// Threads and sums as in product.cuh: in the order of K, whatever the tile.
// Shared bytes: stages * (tileM + tileN) * 64. 4 rows of a and 8 columns of b are neighbours in a row of memory: no bank is touched twice.
#include "product.cuh"

// Copies elements [0, width) of rows [first, depth) of a transposed operand, as far as the slice and the tile reach: row k begins at origin + k * stride, and is
// aligned to copyBytes, as `width` is whole copies. Zeros stand for what is not there.
template <class Tile, int tile, int copyBytes>
__device__ __forceinline__ void copyTransposed(typename Tile::T* slice, int first, int depth, const typename Tile::T* origin, long long stride, int width) {
  using T = typename Tile::T;
  constexpr int elements = copyBytes / sizeof(T), copies = tile / elements, all = copies * Slice<T>::depth;
#pragma unroll
  for (int i = 0; i < (all + Tile::threads - 1) / Tile::threads; ++i) {
    const int index = (int)threadIdx.x + i * Tile::threads, k = index / copies, part = index % copies * elements;
    if (all % Tile::threads != 0 && index >= all)
      break;
    const bool inside = first + k < depth && part < width;
    copyAsync<copyBytes>(slice + k * tile + part, inside ? origin + (first + k) * stride + part : origin, inside);
  }
}

// A chunk of K of a row of the tile.
template <bool transposed, int tile, class T> __device__ __forceinline__ Chunk<T> chunkOf(const T* slice, int row, int chunk) {
  if constexpr (transposed) {
    Chunk<T> result;
#pragma unroll
    for (int k = 0; k < Slice<T>::chunk; ++k)
      result.of[k] = slice[(chunk * Slice<T>::chunk + k) * tile + row];
    return result;
  } else {
    return Slice<T>::read(slice, row, chunk);
  }
}

// sums += the products of one slice.
template <class Tile, bool ofA, bool ofB>
__device__ __forceinline__ void multiplyTransposedSlice(typename Tile::Sum (&sums)[Tile::rows][Tile::columns], const typename Tile::T* a, const typename Tile::T* b) {
  using T = typename Tile::T;
#pragma unroll 1
  for (int chunk = 0; chunk < 4; ++chunk) {
    Chunk<T> rows[Tile::rows];
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m)
      rows[m] = chunkOf<ofA, Tile::tileM>(a, Tile::rowOf(m), chunk);
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      const Chunk<T> column = chunkOf<ofB, Tile::tileN>(b, Tile::columnOf(n), chunk);
#pragma unroll
      for (int k = 0; k < Slice<T>::chunk; ++k)
#pragma unroll
        for (int m = 0; m < Tile::rows; ++m)
          sums[m][n] = math::fma(widened(rows[m].of[k]), widened(column.of[k]), sums[m][n]);
    }
  }
}

// Sums of the whole tile; ofA and ofB: which of the two lies transposed. copyA(slice in shared memory, first of K) and copyB copy one slice each, zeros where
// there is nothing. All threads of the block must call it; when it returns, slices may still be read by other threads.
template <class Tile, bool ofA, bool ofB, class CopyA, class CopyB>
__device__ __forceinline__ void multiplyTransposed(typename Tile::Shared& shared, typename Tile::Sum (&sums)[Tile::rows][Tile::columns], int depth, CopyA copyA,
                                                   CopyB copyB) {
  using T = typename Tile::T;
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n)
      sums[m][n] = 0;
  const int slices = (depth + Slice<T>::depth - 1) / Slice<T>::depth;
  auto copy = [&](int slice) {
    if (slice < slices) {
      copyA(shared.a[slice % Tile::stages], slice * Slice<T>::depth);
      copyB(shared.b[slice % Tile::stages], slice * Slice<T>::depth);
    }
    commitCopies();
  };
#pragma unroll
  for (int slice = 0; slice < Tile::stages - 1; ++slice)
    copy(slice);
#pragma unroll 1
  for (int slice = 0; slice < slices; ++slice) {
    waitForCopies<Tile::stages - 2>();
    __syncthreads(); // this slice is there for all, and all are done with the one before, whose place the next copies take
    copy(slice + Tile::stages - 1);
    multiplyTransposedSlice<Tile, ofA, ofB>(sums, shared.a[slice % Tile::stages], shared.b[slice % Tile::stages]);
  }
}
