#pragma once
#include "rows.cuh"
// A block orders one segment of a group's rows by descending key: rows of one expert, or those of one choice among them.
//   count: how many rows of the group are of segments before;  gather: the segment's rows in the order of tokens and choices, with their keys
//   sort: from the bottom, sorted runs become runs of twice as many: an element's place is its own in its run and how many of the other run come before it,
//         found by bisection; of equal keys the left run's come first. Between two halves of the lists.
// Keys are those of select: integers in the order of the scores, NaN below all. Threads: `threads` of a block, each `kTogether` neighbouring rows at a time.

template <class Key> struct SegmentLists {
  int* rows;
  Key* keys;
  long long half; // elements of a half

  __device__ __forceinline__ SegmentLists at(long long offset) const { return {rows + offset, keys + offset, half}; }
};

// Sums over the threads before this one, and over all of the block.
template <int threads> __device__ __forceinline__ int sumBefore(int mine, int& all) {
  __shared__ int ofWarps[threads / 32];
  const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
  int sum = mine;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(0xffffffffu, sum, step);
    sum += lane >= step ? other : 0;
  }
  if (lane == 31)
    ofWarps[warp] = sum;
  __syncthreads();
  int before = 0;
  all = 0;
#pragma unroll
  for (int w = 0; w < threads / 32; ++w) {
    before += w < warp ? ofWarps[w] : 0;
    all += ofWarps[w];
  }
  __syncthreads(); // before the next sum writes
  return before + sum - mine;
}

// How many of the `count` descending keys come before `key`: the greater ones, with `equalToo` the equal ones as well.
template <class Key> __device__ __forceinline__ int keysBefore(const Key* keys, int count, Key key, bool equalToo) {
  int low = 0, high = count;
  while (low < high) {
    const int middle = (low + high) / 2;
    const Key other = keys[middle];
    if (other > key || (equalToo && other == key))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// Sorts `count` rows; gives the half in which they lie then.
template <int threads, class Key> __device__ __forceinline__ long long sortSegment(const SegmentLists<Key>& lists, int count) {
  long long from = 0;
#pragma unroll 1
  for (long long width = 1; width < count; width *= 2) {
    const SegmentLists<Key> source = lists.at(from), sink = lists.at(lists.half - from);
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < count; i += threads) {
      const long long left = i / (2 * width) * (2 * width), middle = left + width < count ? left + width : count;
      const long long end = middle + width < count ? middle + width : count;
      const bool isLeft = i < middle;
      const long long other = isLeft ? middle : left;
      const Key key = source.keys[i];
      const int before = keysBefore(source.keys + other, (int)((isLeft ? end : middle) - other), key, !isLeft);
      const long long place = (isLeft ? i : left + (i - middle)) + before;
      sink.rows[place] = source.rows[i];
      sink.keys[place] = key;
    }
    __syncthreads();
    from = lists.half - from;
  }
  return from;
}

// The places of the rows [first, end) that are of `segment`. segmentOf(row): -1 for a row that is dropped before, whose place the block of segment 0 writes. An
// expert has `ofExpert` segments, one behind the other.
template <int threads, int ofExpert, class Key, class SegmentOf, class KeyOf>
__device__ __forceinline__ void placeSegment(int first, int end, int segment, SegmentLists<Key> lists, int* places, SegmentOf segmentOf, KeyOf keyOf) {
  constexpr int together = 8;
  const int cell = segment - segment % ofExpert;
  int earlier = 0, ofCell = 0;
#pragma unroll 1
  for (int row = first + (int)threadIdx.x; row < end; row += threads) {
    const int other = segmentOf(row);
    earlier += other >= 0 && other < segment;
    ofCell += other >= cell && other < segment;
    if (segment == 0 && other < 0)
      places[row] = -1;
  }
  int begin, before;
  sumBefore<threads>(earlier, begin);
  sumBefore<threads>(ofCell, before);
  lists = lists.at(first + begin);

  int count = 0;
#pragma unroll 1
  for (int chunk = first; chunk < end; chunk += threads * together) {
    const int mine = chunk + (int)threadIdx.x * together;
    int found = 0;
#pragma unroll
    for (int i = 0; i < together; ++i)
      found += mine + i < end && segmentOf(mine + i) == segment;
    int all, place = count + sumBefore<threads>(found, all);
#pragma unroll
    for (int i = 0; i < together; ++i)
      if (mine + i < end && segmentOf(mine + i) == segment) {
        lists.rows[place] = mine + i;
        lists.keys[place] = keyOf(mine + i);
        ++place;
      }
    count += all;
  }
  __syncthreads();
  const SegmentLists<Key> sorted = lists.at(sortSegment<threads>(lists, count));
#pragma unroll 1
  for (int i = (int)threadIdx.x; i < count; i += threads)
    places[sorted.rows[i]] = before + i;
}
