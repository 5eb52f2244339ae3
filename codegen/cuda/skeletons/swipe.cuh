#pragma once
#include "prelude.cuh"
// Workers hand on the rows that they have no room for, one choice of all tokens after the other (docs/SPEC.md, swipe), by one block.
//   count: rows that each source's tokens want of each worker;  take: a thread for each worker, source by source;  host: one thread finds room for the others
//   walk: a thread for each source, its tokens in order
// Threads: `threads` of the block. Global: accepted (workers, workers); shared: 8 * workers bytes.

template <int experts, int workers, int choices, int threads> __device__ __forceinline__ void swipe(const int* indices, int* result, int tokens, int* accepted) {
  constexpr int own = experts / workers, moves = -2; // moves: has not found its worker yet
  __shared__ int room[workers], homeless[workers];
  const int run = tokens / workers;
  for (int worker = (int)threadIdx.x; worker < workers; worker += threads)
    room[worker] = run * choices;
  // Of tokens that are no equal runs, which a call refuses, the last ones have no worker.
  for (int row = run * workers * choices + (int)threadIdx.x; row < tokens * choices; row += threads)
    result[row] = -1;
#pragma unroll 1
  for (int choice = 0; choice < choices; ++choice) {
    for (int i = (int)threadIdx.x; i < workers * workers; i += threads)
      accepted[i] = 0;
    for (int source = (int)threadIdx.x; source < workers; source += threads)
      homeless[source] = 0;
    __syncthreads();
    for (int token = (int)threadIdx.x; token < run * workers; token += threads) {
      const int index = indices[token * choices + choice];
      if ((unsigned)index < (unsigned)experts)
        atomicAdd(&accepted[token / run * workers + index / own], 1);
    }
    __syncthreads();
    for (int worker = (int)threadIdx.x; worker < workers; worker += threads) {
      int left = room[worker];
      for (int source = 0; source < workers; ++source) {
        const int rows = accepted[source * workers + worker], taken = rows < left ? rows : left;
        left -= taken;
        accepted[source * workers + worker] = taken;
        if (rows > taken)
          atomicAdd(&homeless[source], rows - taken);
      }
      room[worker] = left;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int worker = 0;
      for (int source = 0; source < workers; ++source)
        for (; worker < workers && homeless[source] > 0; worker += homeless[source] > 0) {
          const int taken = homeless[source] < room[worker] ? homeless[source] : room[worker];
          homeless[source] -= taken;
          room[worker] -= taken;
          accepted[source * workers + worker] += taken;
        }
    }
    __syncthreads();
    for (int source = (int)threadIdx.x; source < workers; source += threads) {
      int* rows = accepted + source * workers;
      const int first = source * run, end = first + run;
      for (int token = first; token < end; ++token) {
        const int row = token * choices + choice, index = indices[row];
        const bool isExpert = (unsigned)index < (unsigned)experts, stays = isExpert && rows[index / own] > 0;
        if (stays)
          --rows[index / own];
        result[row] = stays ? index : isExpert ? moves : -1;
      }
      int worker = 0;
      for (int token = first; token < end; ++token) {
        const int row = token * choices + choice;
        if (result[row] != moves)
          continue;
        while (worker + 1 < workers && rows[worker] <= 0)
          ++worker;
        --rows[worker];
        result[row] = worker * own + choice % own;
      }
    }
    __syncthreads();
  }
}
