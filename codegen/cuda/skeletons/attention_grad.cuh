#pragma once
// Gradients of attention (attention.cuh) of one head, with probabilities computed again, block by block: no atomic operation, the same bits every time.
//   statistics, for a block of queries:  M = the highest of a query's scores, L = log sum exp of scores - M, D = sum of P dP;  dP = dy v^T, P = exp(scores - M - L)
//   queries, for a block of queries:     for each tile of keys:  dS = P (dP - D);  dq = dq + dS k;  in the end scale dq
//   keys, for a block of keys:           for each tile of queries:  dv = dv + P^T dy, dk = dk + dS^T q;  in the end scale dk
//   bias, for a tile of both:            dbias = sum of dS over what the bias served
// With dropout, dP and the P of P^T dy are multiplied by its factors, 0 or 1 / (1 - p).
// Layouts: rows of q, k, v, dy are headDim elements anywhere in global memory. In shared memory: slices of a product (product.cuh), whose place a slice of the
// second product's rows takes in its turn; P or dS, rows `stride` apart.
// Threads: the block's own rows (queries; of stage keys, keys) go along m, a warp has 4 * rows of them for itself; the others go along n.
// Shared bytes: stages * (tileM + tileN) * 64, and tileM * (tileN + 8) elements; tileN is a multiple of 32.
#include "attention.cuh"

// Tile_: a ProductTile of one warp in n. A block computes valueSlices_ slices of the gradients' columns.
template <class Tile_, int headDim_, int valueSlices_> struct AttentionGradTile {
  using Tile = Tile_;
  using T = typename Tile::T;
  using Sum = typename Tile::Sum;
  static constexpr int headDim = headDim_, valueSlices = valueSlices_, depth = Slice<T>::depth;
  static constexpr int own = depth / 8, stride = Tile::tileN + 8, columns = valueSlices * own; // as AttentionTile

  struct alignas(16) Shared {
    union alignas(16) {
      typename Tile::Shared product;
      T values[Tile::tileN * depth];
    };
    Sum weights[Tile::tileM * stride];
  };
  struct alignas(8) Own { T of[own]; };
};

// Scores (not scaled) and dP of one tile. ofOwn and ofOther give the row of an own and of another one, of the scores' factors; toOwn and toOther those of dP.
template <class A, class OfOwn, class OfOther, class ToOwn, class ToOther>
__device__ __forceinline__ void scoreTile(typename A::Shared& shared, typename A::Sum (&scores)[A::Tile::rows][A::Tile::columns],
                                          typename A::Sum (&products)[A::Tile::rows][A::Tile::columns], const typename A::T* readable, OfOwn ofOwn, OfOther ofOther,
                                          ToOwn toOwn, ToOther toOther) {
  multiplyTile<typename A::Tile>(shared.product, scores, A::headDim, readable, ofOwn, ofOther);
  __syncthreads();
  multiplyTile<typename A::Tile>(shared.product, products, A::headDim, readable, toOwn, toOther);
  __syncthreads();
}

// sums += weights (own, others) times rows of the others. rowOf(n): of the tile, or null.
template <class A, class RowOf>
__device__ __forceinline__ void addWeighted(typename A::Shared& shared, typename A::Sum (&sums)[A::Tile::rows][A::columns],
                                            const typename A::Sum (&weights)[A::Tile::rows][A::Tile::columns], int firstSlice, const typename A::T* readable, RowOf rowOf) {
  using Tile = typename A::Tile;
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n)
      shared.weights[Tile::rowOf(m) * A::stride + Tile::columnOf(n)] = weights[m][n];
  const RowCopies<Tile, Tile::tileN> copies(rowOf);
#pragma unroll
  for (int slice = 0; slice < A::valueSlices; ++slice) {
    copies.start(shared.values, (firstSlice + slice) * A::depth, A::headDim, readable);
    commitCopies();
    waitForCopies<0>();
    __syncthreads(); // weights and values are there for all
    addValues<A>(sums, slice, shared.weights, shared.values);
    __syncthreads(); // and all are done with them
  }
}

template <class A> __device__ __forceinline__ void clearSums(typename A::Sum (&sums)[A::Tile::rows][A::columns]) {
#pragma unroll
  for (int m = 0; m < A::Tile::rows; ++m)
#pragma unroll
    for (int i = 0; i < A::columns; ++i)
      sums[m][i] = 0;
}

// rowOfOut(row of the tile): where the head's part of it goes, or null.
template <class A, class RowOfOut>
__device__ __forceinline__ void storeSums(const typename A::Sum (&sums)[A::Tile::rows][A::columns], typename A::Sum factor, int firstSlice, RowOfOut rowOfOut) {
#pragma unroll
  for (int m = 0; m < A::Tile::rows; ++m) {
    typename A::T* out = rowOfOut(A::Tile::rowOf(m));
    if (out == nullptr)
      continue;
#pragma unroll
    for (int slice = 0; slice < A::valueSlices; ++slice)
#pragma unroll
      for (int i = 0; i < A::own; ++i) {
        const int column = (firstSlice + slice) * A::depth + threadIdx.x % 8 * A::own + i;
        if (column < A::headDim)
          setRounded(out[column], sums[m][slice * A::own + i] * factor);
      }
  }
}

// M, L and D of the block's queries: M + L would lose L beside scores far from 0. seenBy(query of the tile): it sees keys [0, that). store(query of the tile, M, L, D).
template <class A, class RowOfQ, class RowOfDy, class RowOfK, class RowOfV, class SeenBy, class BiasOf, class FactorOf, class Store>
__device__ __forceinline__ void attentionStatistics(typename A::Shared& shared, int keys, typename A::Sum scale, const typename A::T* readable, RowOfQ rowOfQ,
                                                    RowOfDy rowOfDy, RowOfK rowOfK, RowOfV rowOfV, SeenBy seenBy, BiasOf biasOf, FactorOf factorOf, Store store) {
  using Tile = typename A::Tile;
  using Sum = typename A::Sum;
  Sum most[Tile::rows], total[Tile::rows], dot[Tile::rows];
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m) {
    most[m] = -math::infinity<Sum>();
    total[m] = dot[m] = 0; // of this lane's keys
  }
  for (int key0 = 0; key0 < keys; key0 += Tile::tileN) {
    Sum scores[Tile::rows][Tile::columns], products[Tile::rows][Tile::columns];
    scoreTile<A>(shared, scores, products, readable, rowOfQ, [&](int n) { return rowOfK(key0 + n); }, rowOfDy, [&](int n) { return rowOfV(key0 + n); });
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m) {
      const int seen = seenBy(Tile::rowOf(m));
      Sum highest = most[m];
#pragma unroll
      for (int n = 0; n < Tile::columns; ++n) {
        const int key = key0 + Tile::columnOf(n);
        scores[m][n] = key < seen ? scores[m][n] * scale : -math::infinity<Sum>();
        addBias(scores[m][n], biasOf, Tile::rowOf(m), key, seen);
        highest = scores[m][n] > highest ? scores[m][n] : highest; // NaN is not greater: it comes back as a weight
      }
#pragma unroll
      for (int step = 1; step < 8; step *= 2) {
        const Sum other = __shfl_xor_sync(0xffffffffu, highest, step);
        highest = other > highest ? other : highest;
      }
      const Sum shift = highest == -math::infinity<Sum>() ? Sum(0) : highest; // nothing seen so far: weights 0
      const Sum shrink = math::exp(most[m] - shift);
      most[m] = highest;
      total[m] *= shrink;
      dot[m] *= shrink;
#pragma unroll
      for (int n = 0; n < Tile::columns; ++n) {
        const Sum weight = math::exp(scores[m][n] - shift);
        const int key = key0 + Tile::columnOf(n);
        total[m] += weight;
        dot[m] += key < seen ? weight * dropped(products[m][n], factorOf, Tile::rowOf(m), key, true) : Sum(0);
      }
    }
  }
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m) {
#pragma unroll
    for (int step = 1; step < 8; step *= 2) {
      total[m] += __shfl_xor_sync(0xffffffffu, total[m], step);
      dot[m] += __shfl_xor_sync(0xffffffffu, dot[m], step);
    }
    if (threadIdx.x % 8 == 0)
      store(Tile::rowOf(m), most[m], math::log(total[m]), dot[m] / total[m]);
  }
}

template <class Sum> struct RowStatistics { Sum most, total, dot; }; // M, L, D

// scores becomes P, products becomes dS; both 0 where `sees` is false.
template <class Sum> __device__ __forceinline__ void weigh(Sum& score, Sum& product, RowStatistics<Sum> of, bool sees) {
  score = sees ? math::exp(score - of.most - of.total) : Sum(0);
  product = sees ? score * (product - of.dot) : Sum(0);
}

// dS of the block's queries and of keys [key0, key0 + tileN), in `products`.
template <class A, class RowOfQ, class RowOfDy, class RowOfK, class RowOfV, class SeenBy, class BiasOf, class FactorOf>
__device__ __forceinline__ void scoreGradients(typename A::Shared& shared, typename A::Sum (&products)[A::Tile::rows][A::Tile::columns], int key0, typename A::Sum scale,
                                               const typename A::T* readable, const RowStatistics<typename A::Sum> (&of)[A::Tile::rows], RowOfQ rowOfQ, RowOfDy rowOfDy,
                                               RowOfK rowOfK, RowOfV rowOfV, SeenBy seenBy, BiasOf biasOf, FactorOf factorOf) {
  using Tile = typename A::Tile;
  typename A::Sum scores[Tile::rows][Tile::columns];
  scoreTile<A>(shared, scores, products, readable, rowOfQ, [&](int n) { return rowOfK(key0 + n); }, rowOfDy, [&](int n) { return rowOfV(key0 + n); });
#pragma unroll
  for (int m = 0; m < Tile::rows; ++m) {
    const int seen = seenBy(Tile::rowOf(m));
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      const int key = key0 + Tile::columnOf(n);
      scores[m][n] *= scale;
      addBias(scores[m][n], biasOf, Tile::rowOf(m), key, seen);
      products[m][n] = dropped(products[m][n], factorOf, Tile::rowOf(m), key, key < seen);
      weigh(scores[m][n], products[m][n], of[m], key < seen);
    }
  }
}

// What the queries of one head give to the block's keys: dk (before it is scaled) and dv. Queries [query0, queries), query0 a multiple of tileN.
// seenFrom(key of the tile): queries from that on see it; past all of them for a key that is not there. statisticsOf(query), biasOf and factorOf (query, key of the tile).
template <class A, class RowOfK, class RowOfV, class RowOfQ, class RowOfDy, class SeenFrom, class BiasOf, class FactorOf, class StatisticsOf>
__device__ __forceinline__ void addGradientsOfKeys(typename A::Shared& shared, typename A::Sum (&dk)[A::Tile::rows][A::columns],
                                                   typename A::Sum (&dv)[A::Tile::rows][A::columns], int query0, int queries, typename A::Sum scale, int firstSlice,
                                                   const typename A::T* readable, RowOfK rowOfK, RowOfV rowOfV, RowOfQ rowOfQ, RowOfDy rowOfDy, SeenFrom seenFrom,
                                                   BiasOf biasOf, FactorOf factorOf, StatisticsOf statisticsOf) {
  using Tile = typename A::Tile;
  using Sum = typename A::Sum;
#pragma unroll 1
  for (; query0 < queries; query0 += Tile::tileN) {
    Sum scores[Tile::rows][Tile::columns], products[Tile::rows][Tile::columns];
    auto rowOfOwnQ = [&](int n) { return rowOfQ(query0 + n); };
    auto rowOfOwnDy = [&](int n) { return rowOfDy(query0 + n); };
    scoreTile<A>(shared, scores, products, readable, rowOfK, rowOfOwnQ, rowOfV, rowOfOwnDy);
#pragma unroll
    for (int n = 0; n < Tile::columns; ++n) {
      const int query = query0 + Tile::columnOf(n);
      const RowStatistics<Sum> of = query < queries ? statisticsOf(query) : RowStatistics<Sum>{0, 0, 0};
#pragma unroll
      for (int m = 0; m < Tile::rows; ++m) {
        const bool sees = query < queries && query >= seenFrom(Tile::rowOf(m));
        scores[m][n] *= scale;
        addBias(scores[m][n], biasOf, query, Tile::rowOf(m), sees ? Tile::rowOf(m) + 1 : 0);
        const Sum factor = dropped(Sum(1), factorOf, query, Tile::rowOf(m), sees);
        products[m][n] *= factor;
        weigh(scores[m][n], products[m][n], of, sees);
        scores[m][n] *= factor;
      }
    }
    addWeighted<A>(shared, dv, scores, firstSlice, readable, rowOfOwnDy);
    addWeighted<A>(shared, dk, products, firstSlice, readable, rowOfOwnQ);
  }
}
