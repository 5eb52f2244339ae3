#pragma once
// How a block finds its share of ragged work: each expert's rows, cut into tiles of at most tileM, expert by expert.
//   for each 32 experts:  a lane counts the tiles of its expert;  prefix sums over the warp;  the lane whose tiles hold the index tells the others
// Each warp searches for itself, all lanes together; indices that grow from call to call are found in one pass over the experts.
template <int experts, int tileM> struct ExpertTiles {
  const int* offsets;        // (experts + 1): rows of expert e are [offsets[e], offsets[e + 1])
  int base = -32;            // experts [base, base + 32) are the lanes'
  long long before = 0;      // tiles of the experts before base
  int begin = 0, end = 0;    // rows of this lane's expert
  int upTo = 0;              // tiles of experts [base, base + lane]

  int expert = 0, first = 0, count = 0; // what find() found: its expert, its first row, its number of rows

  __device__ __forceinline__ explicit ExpertTiles(const int* offsets_) : offsets(offsets_) {}

  __device__ __forceinline__ void nextExperts() {
    before += __shfl_sync(0xffffffffu, upTo, 31);
    base += 32;
    const int lane = threadIdx.x % 32, mine = base + lane;
    begin = mine < experts ? offsets[mine] : 0;
    end = mine < experts ? offsets[mine + 1] : 0;
    upTo = (end - begin + tileM - 1) / tileM;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, upTo, step);
      upTo += lane >= step ? other : 0;
    }
  }

  // The tile of this index, never smaller than the last one's; false behind the last tile.
  __device__ __forceinline__ bool find(long long index) {
    while (base < 0 || index >= before + __shfl_sync(0xffffffffu, upTo, 31)) {
      if (base + 32 >= experts)
        return false;
      nextExperts();
    }
    const int lane = __ffs(__ballot_sync(0xffffffffu, index < before + upTo)) - 1;
    const int tilesBefore = lane == 0 ? 0 : __shfl_sync(0xffffffffu, upTo, lane - 1); // lane is the same for all
    const int firstRow = __shfl_sync(0xffffffffu, begin, lane), endRow = __shfl_sync(0xffffffffu, end, lane);
    expert = base + lane;
    first = firstRow + (int)(index - before - tilesBefore) * tileM;
    count = endRow - first < tileM ? endRow - first : tileM;
    return true;
  }
};
