// An example of skeletons/routing.cuh: a thread tells a row its expert.
#include "routing.cuh"

extern "C" __global__ void example(const int* offsets, int* experts) { experts[threadIdx.x] = expertOfRow<100>(offsets, threadIdx.x); }
