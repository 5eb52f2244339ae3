#pragma once
// softmax(scale q k^T + bias) v of one token's rows that share a head of keys, over a range of the keys: what it adds to the result of all ranges.
//   for each key of the range:  s = scale q k + bias;  m' = max(m, s);  total = total exp(m - m') + exp(s - m');  sums = sums exp(m - m') + exp(s - m') v
//   then of all ranges:  m = max of them;  result = sum of sums exp(m_range - m), over the sum of total exp(m_range - m)
// Layouts: q, k, v rows of headDim elements anywhere in global memory, aligned to vec elements. Of each range, sums (rows, headDim) and, behind those of all ranges, the
// highest score and the total of each row.
// Threads: 8 lanes have a key, each every 8th piece of vec columns; a warp has 4 keys at a time, a block of `warps` 4 * warps.
// Shared bytes: warps * rows * (headDim + 2) sums.
#include "math.cuh"
#include "product.cuh"

template <class T_, int headDim_, int vec_, int rows_, int warps_> struct OneToken {
  using T = T_;
  using Sum = typename SumOf<T>::type;
  static constexpr int headDim = headDim_, vec = vec_, rows = rows_, warps = warps_;
  static constexpr int pieces = (headDim + 8 * vec - 1) / (8 * vec), own = pieces * vec; // columns of a lane

  struct alignas(sizeof(T) * vec) Piece { T of[vec]; };
  struct Shared {
    Sum sums[warps][rows][headDim];
    Sum most[warps][rows], total[warps][rows];
  };
  // Columns of piece i of this lane begin there; a piece that begins behind the head is not there.
  static __device__ __forceinline__ int columnOf(int i) { return (i * 8 + (int)threadIdx.x % 8) * vec; }
};

template <class A> __device__ __forceinline__ void loadRow(typename A::Sum (&to)[A::own], const typename A::T* row) {
#pragma unroll
  for (int i = 0; i < A::pieces; ++i) {
    typename A::Piece piece = {};
    if (A::columnOf(i) < A::headDim)
      piece = *(const typename A::Piece*)(row + A::columnOf(i));
#pragma unroll
    for (int j = 0; j < A::vec; ++j)
      to[i * A::vec + j] = widened(piece.of[j]);
  }
}

// Brings sums over a highest score of `from` to one of `to`; 0 where there are none yet.
template <class Sum> __device__ __forceinline__ Sum shrinkOf(Sum from, Sum to) { return from == -math::infinity<Sum>() ? Sum(0) : math::exp(from - to); }

// Keys [from, to). rowOfQ(row), rowOfK(key), rowOfV(key) give where a head's part of a row starts; biasOf(row, key) is added to its score. All threads of the block
// must call it; its result goes to sums (rows, headDim), most (rows) and total (rows).
template <class A, class RowOfQ, class RowOfK, class RowOfV, class BiasOf>
__device__ __forceinline__ void attendRange(typename A::Shared& shared, int from, int to, typename A::Sum scale, RowOfQ rowOfQ, RowOfK rowOfK, RowOfV rowOfV, BiasOf biasOf,
                                            typename A::Sum* sumsOut, typename A::Sum* mostOut, typename A::Sum* totalOut) {
  using Sum = typename A::Sum;
  const int warp = threadIdx.x / 32;
  Sum q[A::rows][A::own], sums[A::rows][A::own], most[A::rows], total[A::rows];
#pragma unroll
  for (int r = 0; r < A::rows; ++r) {
    loadRow<A>(q[r], rowOfQ(r));
    most[r] = -math::infinity<Sum>();
    total[r] = 0;
#pragma unroll
    for (int i = 0; i < A::own; ++i)
      sums[r][i] = 0;
  }
  // The lanes of a warp go on together: a key that is not there has no weight.
  for (int key0 = from + warp * 4; key0 < to; key0 += 4 * A::warps) {
    const int key = key0 + (int)threadIdx.x % 32 / 8;
    const bool there = key < to;
    Sum k[A::own], v[A::own];
    loadRow<A>(k, rowOfK(there ? key : key0));
    loadRow<A>(v, rowOfV(there ? key : key0));
#pragma unroll
    for (int r = 0; r < A::rows; ++r) {
      Sum score = 0;
#pragma unroll
      for (int i = 0; i < A::own; ++i)
        score = math::fma(q[r][i], k[i], score);
#pragma unroll
      for (int step = 1; step < 8; step *= 2)
        score += __shfl_xor_sync(0xffffffffu, score, step);
      score = there ? score * scale + biasOf(r, key) : -math::infinity<Sum>();
      const Sum highest = score > most[r] ? score : most[r]; // NaN is not greater: it comes back as a weight
      const Sum shift = highest == -math::infinity<Sum>() ? Sum(0) : highest, shrink = math::exp(most[r] - shift), weight = math::exp(score - shift);
      most[r] = highest;
      total[r] = total[r] * shrink + weight;
#pragma unroll
      for (int i = 0; i < A::own; ++i)
        sums[r][i] = math::fma(weight, v[i], sums[r][i] * shrink);
    }
  }
  // The four keys of a warp, then the warps.
#pragma unroll
  for (int r = 0; r < A::rows; ++r) {
#pragma unroll
    for (int step = 8; step < 32; step *= 2) {
      const Sum otherMost = __shfl_xor_sync(0xffffffffu, most[r], step), otherTotal = __shfl_xor_sync(0xffffffffu, total[r], step);
      const Sum highest = otherMost > most[r] ? otherMost : most[r];
      const Sum mine = shrinkOf(most[r], highest), others = shrinkOf(otherMost, highest);
      most[r] = highest;
      // Both lanes add in one order: their results have the same bits.
      const bool first = (threadIdx.x & step) == 0;
      const Sum a = total[r] * mine, b = otherTotal * others;
      total[r] = first ? a + b : b + a;
#pragma unroll
      for (int i = 0; i < A::own; ++i) {
        const Sum other = __shfl_xor_sync(0xffffffffu, sums[r][i], step);
        const Sum c = sums[r][i] * mine, d = other * others;
        sums[r][i] = first ? c + d : d + c;
      }
    }
    if (threadIdx.x % 32 < 8) {
#pragma unroll
      for (int i = 0; i < A::pieces; ++i)
#pragma unroll
        for (int j = 0; j < A::vec; ++j)
          if (A::columnOf(i) + j < A::headDim)
            shared.sums[warp][r][A::columnOf(i) + j] = sums[r][i * A::vec + j];
      if (threadIdx.x % 8 == 0) {
        shared.most[warp][r] = most[r];
        shared.total[warp][r] = total[r];
      }
    }
  }
  __syncthreads();
  for (int element = threadIdx.x; element < A::rows * A::headDim; element += 32 * A::warps) {
    const int r = element / A::headDim, column = element % A::headDim;
    Sum highest = shared.most[0][r];
#pragma unroll
    for (int w = 1; w < A::warps; ++w)
      highest = shared.most[w][r] > highest ? shared.most[w][r] : highest;
    Sum sum = 0, all = 0;
#pragma unroll
    for (int w = 0; w < A::warps; ++w) {
      const Sum shrink = shrinkOf(shared.most[w][r], highest);
      sum += shared.sums[w][r][column] * shrink;
      all += shared.total[w][r] * shrink;
    }
    sumsOut[element] = sum;
    if (column == 0) {
      mostOut[r] = highest;
      totalOut[r] = all;
    }
  }
}
