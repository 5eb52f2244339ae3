#pragma once
// A tile of a product of rows: sums(m, n) = sum over k of a(m, k) b(n, k), fp32 or fp64; of bf16 in fp32.
//   for each slice of 64 bytes of K:  copy the next slices of the tile's rows of a and of b;  wait for this one;  sums += its outer products
// Layouts: rows of a and b anywhere in global memory, each contiguous in K; slices in shared memory as Slice<T> lays them out, `stages` of them in a ring.
// Threads: warpsM x warpsN warps; a warp is 4 (m) x 8 (n) lanes; a thread owns every 4th of the warp's rows and every 8th of its columns.
// Shared bytes: stages * (tileM + tileN) * 64. Sums are in the order of K, whatever the tile.
// Rows are aligned to copyBytes, and their K elements are whole copies.
#include "async_copy.cuh"
#include "polynomial.cuh"

// What products of T are summed up in, and the wider form of an element.
template <class T> struct SumOf { using type = T; };
template <> struct SumOf<bfloat16> { using type = float; };
__device__ __forceinline__ float widened(float x) { return x; }
__device__ __forceinline__ double widened(double x) { return x; }
__device__ __forceinline__ float widened(bfloat16 x) { return toFloat(x); }

template <class T_, int warpsM_, int warpsN_, int rows_, int columns_, int copyBytes_, int stages_> struct ProductTile {
  using T = T_;
  using Sum = typename SumOf<T>::type;
  static constexpr int warpsM = warpsM_, warpsN = warpsN_, threads = 32 * warpsM * warpsN;
  static constexpr int rows = rows_, columns = columns_; // of a thread
  static constexpr int tileM = warpsM * 4 * rows, tileN = warpsN * 8 * columns;
  static constexpr int copyBytes = copyBytes_, stages = stages_;
  static constexpr int copyElements = copyBytes / sizeof(T), copiesOfRow = 64 / copyBytes;

  struct alignas(16) Shared {
    T a[stages][tileM * Slice<T>::depth];
    T b[stages][tileN * Slice<T>::depth];
  };

  // The place in the tile of this thread's m-th row and n-th column: 8 neighbouring lanes have neighbouring columns.
  static __device__ __forceinline__ int rowOf(int m) { return threadIdx.x / 32 / warpsN * (4 * rows) + threadIdx.x % 32 / 8 + 4 * m; }
  static __device__ __forceinline__ int columnOf(int n) { return threadIdx.x / 32 % warpsN * (8 * columns) + threadIdx.x % 8 + 8 * n; }
};

// This thread's share in copying slices of `rowCount` rows: it copies the same part of every slice of its rows.
template <class Tile, int rowCount> struct RowCopies {
  using T = typename Tile::T;
  static constexpr int all = rowCount * Tile::copiesOfRow, count = (all + Tile::threads - 1) / Tile::threads;
  const T* row[count]; // null: zeros

  static __device__ __forceinline__ int rowOf(int i) { return (threadIdx.x + i * Tile::threads) / Tile::copiesOfRow; }

  // rowAt(row of the tile): where it starts in global memory, or null for a row that is not there.
  template <class RowAt> __device__ __forceinline__ RowCopies(RowAt rowAt) {
#pragma unroll
    for (int i = 0; i < count; ++i)
      row[i] = all % Tile::threads == 0 || rowOf(i) < rowCount ? rowAt(rowOf(i)) : nullptr;
  }

  // Copies elements [first, first + depth of a slice) of the rows. `readable`: any address, for what is not copied.
  __device__ __forceinline__ void start(T* slice, int first, int depth, const T* readable) const {
    const int part = threadIdx.x % Tile::copiesOfRow, k = first + part * Tile::copyElements;
#pragma unroll
    for (int i = 0; i < count; ++i) {
      if (all % Tile::threads != 0 && rowOf(i) >= rowCount)
        break;
      const bool inside = row[i] != nullptr && k < depth;
      const int place = Slice<T>::place(rowOf(i), part * Tile::copyBytes / 16, part * Tile::copyElements % Slice<T>::chunk);
      copyAsync<Tile::copyBytes>(slice + place, inside ? row[i] + k : readable, inside);
    }
  }
};

// sums += the products of one slice. Each element of b meets all rows at hand before the next is read.
template <class Tile> __device__ __forceinline__ void multiplySlice(typename Tile::Sum (&sums)[Tile::rows][Tile::columns], const typename Tile::T* a,
                                                                    const typename Tile::T* b) {
  using T = typename Tile::T;
#pragma unroll 1 // unrolled, the next chunks' reads take the registers of a third block
  for (int chunk = 0; chunk < 4; ++chunk) {
    Chunk<T> ofA[Tile::rows];
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m)
      ofA[m] = Slice<T>::read(a, Tile::rowOf(m), chunk);
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      const Chunk<T> ofB = Slice<T>::read(b, Tile::columnOf(n), chunk);
#pragma unroll
      for (int k = 0; k < Slice<T>::chunk; ++k)
#pragma unroll
        for (int m = 0; m < Tile::rows; ++m)
          sums[m][n] = math::fma(widened(ofA[m].of[k]), widened(ofB.of[k]), sums[m][n]);
    }
  }
}

// Sums of the whole tile: rowOfA(row of the tile) and rowOfB(column of the tile) give where a row starts in global memory, or null for one that is not there.
// All threads of the block must call it; when it returns, slices may still be read by other threads.
template <class Tile, class RowOfA, class RowOfB>
__device__ __forceinline__ void multiplyTile(typename Tile::Shared& shared, typename Tile::Sum (&sums)[Tile::rows][Tile::columns], int depth,
                                             const typename Tile::T* readable, RowOfA rowOfA, RowOfB rowOfB) {
  using T = typename Tile::T;
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n)
      sums[m][n] = 0;
  const RowCopies<Tile, Tile::tileM> copiesOfA(rowOfA);
  const RowCopies<Tile, Tile::tileN> copiesOfB(rowOfB);
  const int slices = (depth + Slice<T>::depth - 1) / Slice<T>::depth;
  auto copy = [&](int slice) {
    if (slice < slices) {
      copiesOfA.start(shared.a[slice % Tile::stages], slice * Slice<T>::depth, depth, readable);
      copiesOfB.start(shared.b[slice % Tile::stages], slice * Slice<T>::depth, depth, readable);
    }
    commitCopies();
  };
#pragma unroll
  for (int slice = 0; slice < Tile::stages - 1; ++slice)
    copy(slice);
  for (int slice = 0; slice < slices; ++slice) {
    waitForCopies<Tile::stages - 2>();
    __syncthreads(); // this slice is there for all, and all are done with the one before, whose place the next copies take
    copy(slice + Tile::stages - 1);
    multiplySlice<Tile>(sums, shared.a[slice % Tile::stages], shared.b[slice % Tile::stages]);
  }
}
