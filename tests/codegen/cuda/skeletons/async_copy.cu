// An example of skeletons/async_copy.cuh: 32 rows of 64 bytes through shared memory.
#include "async_copy.cuh"

extern "C" __global__ void example(const double* in, double* out) {
  __shared__ alignas(16) double slice[32 * Slice<double>::depth];
  for (int chunk = 0; chunk < 4; ++chunk)
    copyAsync<16>(slice + Slice<double>::place(threadIdx.x, chunk), in + threadIdx.x * 8 + chunk * 2, threadIdx.x < 31);
  commitCopies();
  waitForCopies<0>();
  __syncthreads();
  out[threadIdx.x] = Slice<double>::read(slice, threadIdx.x ^ 1, 3).of[1];
}
