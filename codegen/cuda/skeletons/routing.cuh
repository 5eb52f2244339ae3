#pragma once
// The expert of a row, a place below the routing's count: the last one whose rows begin at or before it. Behind the count, the last expert.
template <int experts> __device__ __forceinline__ int expertOfRow(const int* offsets, long long row) {
  int low = 0, high = experts;
#pragma unroll 1
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (offsets[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}
