#pragma once
// Sums of rows by what they belong to, each in the order of the rows: no atomic operation, the same bits every time.
//   by entry:   for each `threads` ids:  list those of the block's entries, in order;  for each of the list:  sums[its entry][column] += its row's column
//   by expert:  a warp sums every warps-th row of a block's expert;  the warps' sums are added in order
// Threads: a thread owns one column; by expert, lanes are columns.
// Shared bytes: by entry, entries * threads sums and 12 * threads bytes of list; by expert, 32 * warps sums.
#include "prelude.cuh"

template <class Sum, int threads_, int entries_> struct EntrySums {
  static constexpr int threads = threads_, entries = entries_, warps = threads / 32;

  struct Shared {
    Sum sums[entries][threads];
    long long row[threads]; // each warp's hits, in order, at 32 * warp
    int entry[threads];
    int count[warps];
  };

  // idOf(row): the row's entry. elementOf(row): of this thread's column; not asked where `isThere` is false. Every thread's sums are its own: seen without a
  // barrier.
  template <class IdOf, class ElementOf>
  static __device__ __forceinline__ void add(Shared& shared, long long rows, long long firstEntry, bool isThere, IdOf idOf, ElementOf elementOf) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int e = 0; e < entries; ++e)
      shared.sums[e][threadIdx.x] = 0;
#pragma unroll 1
    for (long long first = 0; first < rows; first += threads) {
      const long long row = first + threadIdx.x;
      const long long entry = row < rows ? (long long)idOf(row) - firstEntry : -1;
      const bool hit = entry >= 0 && entry < entries;
      const unsigned hits = __ballot_sync(0xffffffffu, hit);
      __syncthreads(); // all are done with the list before
      if (lane == 0)
        shared.count[warp] = __popc(hits);
      if (hit) {
        const int place = warp * 32 + __popc(hits & ((1u << lane) - 1));
        shared.row[place] = row;
        shared.entry[place] = (int)entry;
      }
      __syncthreads();
      if (!isThere)
        continue;
#pragma unroll 1
      for (int of = 0; of < warps; ++of)
#pragma unroll 1
        for (int i = of * 32; i < of * 32 + shared.count[of]; ++i)
          shared.sums[shared.entry[i]][threadIdx.x] += elementOf(shared.row[i]);
    }
  }
};

// The sum of elementOf(row) over rows [begin, end), for the threads of the first warp; others get a part of it.
template <class Sum, int warps, class ElementOf>
__device__ __forceinline__ Sum sumOfRows(Sum (&parts)[warps][32], int begin, int end, bool isThere, ElementOf elementOf) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Sum sum = 0;
  if (isThere)
#pragma unroll 4
    for (int row = begin + warp; row < end; row += warps)
      sum += elementOf(row);
  parts[warp][lane] = sum;
  __syncthreads();
  sum = 0;
#pragma unroll
  for (int of = 0; of < warps; ++of)
    sum += parts[of][lane];
  return sum;
}
