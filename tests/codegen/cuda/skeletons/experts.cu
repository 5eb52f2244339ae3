// An example of skeletons/experts.cuh: tells each tile's first row its expert.
#include "experts.cuh"

extern "C" __global__ void example(const int* offsets, int* expertOfRow) {
  ExpertTiles<100, 16> tiles(offsets);
  for (long long tile = blockIdx.x; tiles.find(tile); tile += gridDim.x)
    if (threadIdx.x == 0)
      expertOfRow[tiles.first] = tiles.expert;
}
