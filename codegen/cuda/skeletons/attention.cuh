#pragma once
// softmax(scale q k^T + bias) v of one head for a block of queries, with dropout of the softmax where asked for, fp32 or fp64, or of bf16 in fp32, with one pass over the keys (online softmax, Milakov and Gimelshein 2018).
//   for each tile of keys:  scores = q k^T;  m' = max(m, scores);  w = exp(scores - m');  total = total exp(m - m') + sum w;  sums = sums exp(m - m') + w v
//     with dropout: .. + (factor w) v, the factors 0 or 1 / (1 - p)
//   result = sums / total
// Layouts: q, k, v rows of headDim elements anywhere in global memory. In shared memory: all slices of the block's q; a ring of `stages` pieces, each one slice
// of a tile's keys or of its values, in the order in which they are used; the weights w, rows `stride` apart.
// Threads: a warp has 4 * rows queries for itself, all warps read the same pieces; a thread owns every 4th of the warp's queries, and of the keys every 8th; of
// a slice of values, 8 bytes.
// Shared bytes: tileM * headDim, stages * tileN * 64 bytes, and tileM * (tileN + 8) elements; tileN is a multiple of 32.
// A row all of whose scores are -inf, and one with NaN or +inf, becomes NaN.
#include "math.cuh"
#include "product.cuh"

// Tile_: a ProductTile of one warp in n; its rows are queries, its columns keys. A block computes valueSlices_ slices of the values' columns.
template <class Tile_, int headDim_, int valueSlices_> struct AttentionTile {
  using Tile = Tile_;
  using T = typename Tile::T;
  using Sum = typename Tile::Sum;
  static constexpr int headDim = headDim_, valueSlices = valueSlices_, depth = Slice<T>::depth;
  static constexpr int slices = (headDim + depth - 1) / depth, pieces = slices + valueSlices; // of a tile of keys
  static constexpr int own = depth / 8;                  // columns of a thread in a slice of values
  static constexpr int stride = Tile::tileN + 8;         // 4 rows of 8 weights written at once touch each bank once
  static constexpr int columns = valueSlices * own;      // of a thread

  struct alignas(16) Shared {
    T q[slices][Tile::tileM * depth];
    T ring[Tile::stages][Tile::tileN * depth];
    Sum weights[Tile::tileM * stride];
  };
  struct alignas(8) Own { T of[own]; };
};

// What is added to scale q k^T: a function of the query of the tile and the key, asked only for keys that are seen, or this.
struct NoBias {};
template <class T> __device__ __forceinline__ void addBias(T&, NoBias, int, int, int) {}
template <class T, class BiasOf> __device__ __forceinline__ void addBias(T& score, BiasOf biasOf, int m, int key, int seen) {
  if (key < seen)
    score += biasOf(m, key);
}

// What dropout multiplies a weight with: a function of the query of the tile and the key, asked only for keys that are seen, or this.
struct NoDropout {};
template <class T> __device__ __forceinline__ T dropped(T x, NoDropout, int, int, bool) { return x; }
template <class T, class FactorOf> __device__ __forceinline__ T dropped(T x, FactorOf factorOf, int m, int key, bool sees) {
  return sees ? x * factorOf(m, key) : x;
}

__device__ __forceinline__ void setRounded(float& to, float x) { to = x; }
__device__ __forceinline__ void setRounded(double& to, double x) { to = x; }
__device__ __forceinline__ void setRounded(bfloat16& to, float x) { to = toBfloat16(x); }

// sums += weights times one slice of values.
template <class A>
__device__ __forceinline__ void addValues(typename A::Sum (&sums)[A::Tile::rows][A::columns], int slice, const typename A::Sum* weights, const typename A::T* values) {
  using T = typename A::T;
  using Tile = typename A::Tile;
  using Sum = typename A::Sum;
  constexpr int chunk = Slice<Sum>::chunk;
  const int lane = threadIdx.x % 8;
#pragma unroll 2
  for (int key = 0; key < Tile::tileN; key += chunk) {
    Chunk<Sum> w[Tile::rows];
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m)
      w[m] = *(const Chunk<Sum>*)(weights + Tile::rowOf(m) * A::stride + key);
#pragma unroll
    for (int k = 0; k < chunk; ++k) {
      const typename A::Own v = *(const typename A::Own*)(values + Slice<T>::place(key + k, lane / 2, lane % 2 * A::own));
#pragma unroll
      for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
        for (int i = 0; i < A::own; ++i)
          sums[m][slice * A::own + i] = math::fma(w[m].of[k], widened(v.of[i]), sums[m][slice * A::own + i]);
    }
  }
}

// Turns the scores of keys [key0, ..) into weights in shared memory, and brings what was summed so far to the new maximum. seenBy(query of the tile): it sees
// keys [0, that).
template <class A, class SeenBy, class BiasOf, class FactorOf>
__device__ __forceinline__ void weighTile(typename A::Shared& shared, typename A::Sum (&scores)[A::Tile::rows][A::Tile::columns], int key0, typename A::Sum scale,
                                          typename A::Sum (&most)[A::Tile::rows], typename A::Sum (&total)[A::Tile::rows],
                                          typename A::Sum (&sums)[A::Tile::rows][A::columns], SeenBy seenBy, BiasOf biasOf, FactorOf factorOf) {
  using T = typename A::Sum;
  using Tile = typename A::Tile;
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m) {
    const int seen = seenBy(Tile::rowOf(m));
    T highest = most[m];
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      scores[m][n] = key0 + Tile::columnOf(n) < seen ? scores[m][n] * scale : -math::infinity<T>();
      addBias(scores[m][n], biasOf, Tile::rowOf(m), key0 + Tile::columnOf(n), seen);
      highest = scores[m][n] > highest ? scores[m][n] : highest; // NaN is not greater: it comes back as a weight
    }
#pragma unroll
    for (int step = 1; step < 8; step *= 2) {
      const T other = __shfl_xor_sync(0xffffffffu, highest, step);
      highest = other > highest ? other : highest;
    }
    const T shift = highest == -math::infinity<T>() ? T(0) : highest; // nothing seen so far: weights 0
    const T shrink = math::exp(most[m] - shift);
    most[m] = highest;
    total[m] *= shrink;
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      const T weight = math::exp(scores[m][n] - shift);
      total[m] += weight;
      const int key = key0 + Tile::columnOf(n);
      shared.weights[Tile::rowOf(m) * A::stride + Tile::columnOf(n)] = dropped(weight, factorOf, Tile::rowOf(m), key, key < seen);
    }
#pragma unroll
    for (int i = 0; i < A::columns; ++i)
      sums[m][i] *= shrink;
  }
}

// Results of the block's queries: columns [firstSlice * depth, ..) of the head. rowOfQ and rowOfOut take a query of the tile, rowOfK and rowOfV a key; each gives
// where the head's part of the row starts, or null for one that is not there. `keys`: how many the block's queries see at most.
template <class A, class RowOfQ, class RowOfK, class RowOfV, class SeenBy, class RowOfOut, class BiasOf = NoBias, class FactorOf = NoDropout>
__device__ __forceinline__ void attend(typename A::Shared& shared, int keys, typename A::Sum scale, int firstSlice, const typename A::T* readable, RowOfQ rowOfQ,
                                       RowOfK rowOfK, RowOfV rowOfV, SeenBy seenBy, RowOfOut rowOfOut, BiasOf biasOf = {}, FactorOf factorOf = {}) {
  using T = typename A::T;
  using Tile = typename A::Tile;
  using Sum = typename A::Sum;
  Sum most[Tile::rows], total[Tile::rows], sums[Tile::rows][A::columns];
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m) {
    most[m] = -math::infinity<Sum>();
    total[m] = 0; // of this lane's keys
#pragma unroll
    for (int i = 0; i < A::columns; ++i)
      sums[m][i] = 0;
  }
  const RowCopies<Tile, Tile::tileM> copiesOfQ(rowOfQ);
#pragma unroll 1
  for (int slice = 0; slice < A::slices; ++slice)
    copiesOfQ.start(shared.q[slice], slice * A::depth, A::headDim, readable); // in the group of the first piece
  const int all = (keys + Tile::tileN - 1) / Tile::tileN * A::pieces;
  auto copy = [&](int piece) {
    if (piece < all) {
      const int key0 = piece / A::pieces * Tile::tileN, part = piece % A::pieces;
      const bool ofKeys = part < A::slices;
      const RowCopies<Tile, Tile::tileN> rows([&](int n) -> const T* { return key0 + n >= keys ? nullptr : ofKeys ? rowOfK(key0 + n) : rowOfV(key0 + n); });
      rows.start(shared.ring[piece % Tile::stages], (ofKeys ? part : firstSlice + part - A::slices) * A::depth, A::headDim, readable);
    }
    commitCopies();
  };
#pragma unroll
  for (int piece = 0; piece < Tile::stages - 1; ++piece)
    copy(piece);
  int piece = 0;
  auto next = [&]() -> const T* {
    waitForCopies<Tile::stages - 2>();
    __syncthreads(); // this piece is there for all, and all are done with the one before, whose place the next copies take
    copy(piece + Tile::stages - 1);
    return shared.ring[piece++ % Tile::stages];
  };
  for (int key0 = 0; key0 < keys; key0 += Tile::tileN) {
    Sum scores[Tile::rows][Tile::columns];
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
      for (int n = 0; n < Tile::columns; ++n)
        scores[m][n] = 0;
#pragma unroll 1
    for (int slice = 0; slice < A::slices; ++slice)
      multiplySlice<Tile>(scores, shared.q[slice], next());
    weighTile<A>(shared, scores, key0, scale, most, total, sums, seenBy, biasOf, factorOf);
#pragma unroll
    for (int slice = 0; slice < A::valueSlices; ++slice)
      addValues<A>(sums, slice, shared.weights, next()); // the weights are there behind next()'s barrier
  }
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m) {
#pragma unroll
    for (int step = 1; step < 8; step *= 2)
      total[m] += __shfl_xor_sync(0xffffffffu, total[m], step);
    T* out = rowOfOut(Tile::rowOf(m));
    if (out == nullptr)
      continue;
#pragma unroll
    for (int slice = 0; slice < A::valueSlices; ++slice) {
      const int column = (firstSlice + slice) * A::depth + threadIdx.x % 8 * A::own;
      typename A::Own result;
#pragma unroll
      for (int i = 0; i < A::own; ++i)
        setRounded(result.of[i], sums[m][slice * A::own + i] / total[m]);
      if (A::headDim % A::own == 0) { // 8 bytes at once
        if (column < A::headDim)
          *(typename A::Own*)(out + column) = result;
      } else {
#pragma unroll
        for (int i = 0; i < A::own; ++i)
          if (column + i < A::headDim)
            out[column + i] = result.of[i];
      }
    }
  }
}
