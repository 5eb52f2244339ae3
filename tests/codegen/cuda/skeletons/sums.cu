// An example of skeletons/sums.cuh: rows (R, 40) by the entries that they name, and by experts.
#include "sums.cuh"

using Sums = EntrySums<float, 64, 16>;

extern "C" __global__ void __launch_bounds__(Sums::threads) byEntry(const int* entryOf, const float* rows, float* out, int count) {
  __shared__ Sums::Shared shared;
  const int column = threadIdx.x, first = blockIdx.x * Sums::entries;
  Sums::add(shared, count, first, column < 40, [&](long long row) { return entryOf[row]; }, [&](long long row) { return rows[row * 40 + column]; });
  for (int e = 0; e < Sums::entries && column < 40; ++e)
    out[(first + e) * 40 + column] = shared.sums[e][threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(256) byExpert(const int* offsets, const float* rows, float* out) {
  __shared__ float parts[8][32];
  const int expert = blockIdx.x, column = threadIdx.x % 32;
  const float sum = sumOfRows(parts, offsets[expert], offsets[expert + 1], true, [&](int row) { return rows[row * 32 + column]; });
  if (threadIdx.x < 32)
    out[expert * 32 + column] = sum;
}
