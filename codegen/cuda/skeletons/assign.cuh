#pragma once
#include "prelude.cuh"
// Rows enter their experts' lists in priority order: a stable counting sort.
//   count: each warp counts the rows of its share for each expert;  scan: sums over the warps (and blocks) before it are where its rows of an expert begin
//   place: each warp walks its share in order, 32 rows at a time: a row's place is the warp's counter and the lanes before with the same expert
// Turns 0 .. R-1 are the priority: token_major (token, choice), choice_major (choice, token). A block takes an interval of turns (a piece), its warps equal
// parts of it. Rows whose capacity is used up, and after that those that a mask drops, get no place; places close up in order.
// Threads: `threads` of a block. Shared bytes: 4 * experts * (warps + 2). All of it is integers: the order of atomics does not show.

template <int experts_, int choices_, bool choiceMajor_, bool limited_, bool dropped_, int threads_> struct RoutingShape {
  static constexpr int experts = experts_, choices = choices_, threads = threads_, warps = threads / 32;
  static constexpr bool choiceMajor = choiceMajor_; // priority
  static constexpr bool limited = limited_;         // there is a capacity
  static constexpr bool dropped = dropped_;         // there are masks
  static constexpr bool twice = limited && dropped; // a row that is dropped has used its place by then: capacity counts other rows than places

  using Counters = int[warps][experts];
};

// What the threads of a block know of a routing. (expertOf, keeps: by row; an expert that there is not is dropped before.)
template <class Shape> struct Routing {
  int tokens, capacity;
  int *offsets, *list, *slots;

  __device__ __forceinline__ Routing(int* routing, int tokens, long long capacity)
      : tokens(tokens), capacity(capacity < 0 ? 0 : capacity > 0x7fffffff ? 0x7fffffff : (int)capacity), offsets(routing),
        list(routing + Shape::experts + 1), slots(list + rows()) {}
  __device__ __forceinline__ int rows() const { return tokens * Shape::choices; }
  __device__ __forceinline__ int rowOf(int turn) const {
    return Shape::choiceMajor ? turn % tokens * Shape::choices + turn / tokens : turn;
  }
  __device__ __forceinline__ int places(int entered) const { return Shape::limited && entered > capacity ? capacity : entered; }
};

struct Turns {
  int begin, end;

  // A warp's part: whole groups of 32.
  template <class Shape> __device__ __forceinline__ Turns ofWarp() const {
    const int part = (end - begin + 32 * Shape::warps - 1) / (32 * Shape::warps) * 32;
    const int first = begin + (int)threadIdx.x / 32 * part, last = first + part;
    return {first < end ? first : end, last < end ? last : end};
  }
};

template <class Shape> __device__ __forceinline__ void clearCounters(typename Shape::Counters& counters) {
#pragma unroll 1
  for (int i = threadIdx.x; i < Shape::warps * Shape::experts; i += Shape::threads)
    counters[i / Shape::experts][i % Shape::experts] = 0;
  __syncthreads();
}

// Counts the rows of each warp's part. countedExpert(turn): -1 for a row that does not count.
template <class Shape, class CountedExpert>
__device__ __forceinline__ void countTurns(typename Shape::Counters& counters, Turns turns, CountedExpert countedExpert) {
  clearCounters<Shape>(counters);
  const Turns mine = turns.ofWarp<Shape>();
#pragma unroll 2
  for (int turn = mine.begin + (int)threadIdx.x % 32; turn < mine.end; turn += 32) {
    const int expert = countedExpert(turn);
    if (expert >= 0)
      atomicAdd(&counters[threadIdx.x / 32][expert], 1);
  }
  __syncthreads();
}

// Each counter becomes the sum of those of the warps before, and `first(expert)`. total(expert, sum over all warps).
template <class Shape, class First, class Total>
__device__ __forceinline__ void scanWarps(typename Shape::Counters& counters, First first, Total total) {
#pragma unroll 1
  for (int expert = threadIdx.x; expert < Shape::experts; expert += Shape::threads) {
    int sum = first(expert);
#pragma unroll
    for (int warp = 0; warp < Shape::warps; ++warp) {
      const int count = counters[warp][expert];
      counters[warp][expert] = sum;
      sum += count;
    }
    total(expert, sum);
  }
  __syncthreads();
}

// The lanes whose expert is this lane's, among those that have one.
template <int experts> __device__ __forceinline__ unsigned lanesAlike(int expert) {
  unsigned alike = __ballot_sync(0xffffffffu, expert >= 0);
#pragma unroll
  for (int bit = 1; bit < experts; bit *= 2) {
    const bool mine = (expert & bit) != 0;
    const unsigned with = __ballot_sync(0xffffffffu, mine);
    alike &= mine ? with : ~with;
  }
  return alike;
}

// Walks each warp's part in order: visit(turn, expert, rank), with the warp's counter and the lanes before as rank.
template <class Shape, class CountedExpert, class Visit>
__device__ __forceinline__ void walkTurns(typename Shape::Counters& counters, Turns turns, CountedExpert countedExpert, Visit visit) {
  constexpr int together = 2; // groups of 32 whose experts are read at once
  const Turns mine = turns.ofWarp<Shape>();
  const int lane = (int)threadIdx.x % 32;
  int* counter = counters[threadIdx.x / 32];
#pragma unroll 1
  for (int begin = mine.begin; begin < mine.end; begin += 32 * together) {
    int experts[together];
#pragma unroll
    for (int i = 0; i < together; ++i) {
      const int turn = begin + 32 * i + lane;
      experts[i] = turn < mine.end ? countedExpert(turn) : -1;
    }
#pragma unroll
    for (int i = 0; i < together; ++i) {
      const int turn = begin + 32 * i + lane, expert = experts[i];
      const unsigned alike = lanesAlike<Shape::experts>(expert);
      const int before = __popc(alike & ((1u << lane) - 1));
      const int rank = expert >= 0 ? counter[expert] + before : 0;
      __syncwarp();
      if (expert >= 0 && before == 0)
        counter[expert] += __popc(alike);
      __syncwarp();
      if (turn < mine.end)
        visit(turn, expert, rank);
    }
  }
}

// starts[e]: places of the experts before e; starts[experts]: of all. `places` stand in starts on entry. By the first warp.
template <class Shape> __device__ __forceinline__ void scanExperts(int (&starts)[Shape::experts + 1]) {
  if constexpr (Shape::experts == 1) { // lanes without an expert would read what the first one writes
    if (threadIdx.x == 0) {
      starts[1] = starts[0];
      starts[0] = 0;
    }
  } else if (threadIdx.x < 32) {
    const int lane = threadIdx.x;
    int before = 0;
#pragma unroll 1
    for (int first = 0; first < Shape::experts; first += 32) {
      const int mine = first + lane < Shape::experts ? starts[first + lane] : 0;
      int sum = mine;
#pragma unroll
      for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, sum, step);
        sum += lane >= step ? other : 0;
      }
      if (first + lane < Shape::experts)
        starts[first + lane] = before + sum - mine;
      before += __shfl_sync(0xffffffffu, sum, 31);
    }
    if (lane == 0)
      starts[Shape::experts] = before;
  }
  __syncthreads();
}

// Marks which rows keep a place, where capacity counts other rows than places: slots 0 and -1. `counters` hold the ranks of rows that enter.
template <class Shape, class ExpertOf, class Keeps>
__device__ __forceinline__ void markRows(const Routing<Shape>& routing, typename Shape::Counters& counters, Turns turns, ExpertOf expertOf, Keeps keeps) {
  walkTurns<Shape>(
      counters, turns, [&](int turn) { return expertOf(routing.rowOf(turn)); },
      [&](int turn, int expert, int rank) {
        const int row = routing.rowOf(turn);
        routing.slots[row] = expert >= 0 && rank < routing.capacity && keeps(row) ? 0 : -1;
      });
  __syncthreads();
}

// Writes slots and list. `counters` hold the ranks of what the last count counted.
template <class Shape, class CountedExpert>
__device__ __forceinline__ void placeRows(const Routing<Shape>& routing, typename Shape::Counters& counters, const int (&starts)[Shape::experts + 1], Turns turns,
                                          CountedExpert countedExpert) {
  walkTurns<Shape>(counters, turns, countedExpert, [&](int turn, int expert, int rank) {
    const int row = routing.rowOf(turn);
    const bool stays = expert >= 0 && (!Shape::limited || Shape::twice || rank < routing.capacity);
    const int place = stays ? starts[expert] + rank : -1;
    routing.slots[row] = place;
    if (stays)
      routing.list[place] = row;
  });
}

// offsets, and -1 behind the rows that are kept; `stride` threads do it together, this one is `first`.
template <class Shape>
__device__ __forceinline__ void finishRouting(const Routing<Shape>& routing, const int (&starts)[Shape::experts + 1], long long first, long long stride) {
#pragma unroll 1
  for (long long i = first; i <= Shape::experts; i += stride)
    routing.offsets[i] = starts[i];
#pragma unroll 1
  for (long long i = starts[Shape::experts] + first; i < routing.rows(); i += stride)
    routing.list[i] = -1;
}

// The expert in whose places a row counts, or -1: of rows that are marked where capacity counts other rows.
template <class Shape, class ExpertOf, class Keeps>
__device__ __forceinline__ int placedExpert(const Routing<Shape>& routing, int turn, ExpertOf expertOf, Keeps keeps) {
  const int row = routing.rowOf(turn);
  if (Shape::twice)
    return routing.slots[row] == 0 ? expertOf(row) : -1;
  return !Shape::dropped || keeps(row) ? expertOf(row) : -1;
}

// The whole routing, by one block.
template <class Shape, class ExpertOf, class Keeps>
__device__ __forceinline__ void assignAll(const Routing<Shape>& routing, ExpertOf expertOf, Keeps keeps) {
  __shared__ typename Shape::Counters counters;
  __shared__ int starts[Shape::experts + 1];
  const Turns all = {0, routing.rows()};
  const auto nothing = [](int) { return 0; };
  const auto counted = [&](int turn) { return placedExpert(routing, turn, expertOf, keeps); };
  if (Shape::twice) {
    countTurns<Shape>(counters, all, [&](int turn) { return expertOf(routing.rowOf(turn)); });
    scanWarps<Shape>(counters, nothing, [](int, int) {});
    markRows<Shape>(routing, counters, all, expertOf, keeps);
  }
  countTurns<Shape>(counters, all, counted);
  scanWarps<Shape>(counters, nothing, [&](int expert, int sum) { starts[expert] = Shape::twice ? sum : routing.places(sum); });
  scanExperts<Shape>(starts);
  placeRows<Shape>(routing, counters, starts, all, counted);
  finishRouting<Shape>(routing, starts, threadIdx.x, Shape::threads);
}

//--- the same by many blocks, each a piece: some tokens (token_major), or these at one choice (choice_major). Counts may be of finer pieces than places.

template <class Shape> __device__ __forceinline__ Turns turnsOfPiece(int piece, int tokens, int tokensOfPiece) {
  const int pieces = (tokens + tokensOfPiece - 1) / tokensOfPiece; // of one choice
  const int first = piece % pieces * tokensOfPiece, last = tokens - first > tokensOfPiece ? first + tokensOfPiece : tokens;
  if (Shape::choiceMajor)
    return {piece / pieces * tokens + first, piece / pieces * tokens + last};
  return {first * Shape::choices, last * Shape::choices};
}

// Counts of all pieces, [expert][piece], and where one piece's (or the first of several) stand.
struct PieceCounts {
  int* counts;
  int pieces, piece;

  __device__ __forceinline__ int& of(int expert) const { return counts[(long long)expert * pieces + piece]; }
};

// Counts a piece. What the block's threads wrote before is seen by countedExpert.
template <class Shape, class CountedExpert>
__device__ __forceinline__ void countPiece(PieceCounts table, Turns turns, CountedExpert countedExpert) {
  __shared__ int counters[Shape::experts];
#pragma unroll 1
  for (int expert = threadIdx.x; expert < Shape::experts; expert += Shape::threads)
    counters[expert] = 0;
  __syncthreads();
#pragma unroll 1
  for (int turn = turns.begin + (int)threadIdx.x; turn < turns.end; turn += Shape::threads) {
    const int expert = countedExpert(turn);
    if (expert >= 0)
      atomicAdd(&counters[expert], 1);
  }
  __syncthreads();
#pragma unroll 1
  for (int expert = threadIdx.x; expert < Shape::experts; expert += Shape::threads)
    table.of(expert) = counters[expert]; // the next count clears what the same thread has read
}

// An expert's counts become sums over the pieces before; the sum of all is its total. By one block.
template <int threads> __device__ __forceinline__ void scanPieces(int* counts, int pieces, int* total) {
  constexpr int together = 4; // reads on their way
  __shared__ int ofWarps[together][threads / 32];
  const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
  int before = 0;
#pragma unroll 1
  for (int first = (int)threadIdx.x; first - (int)threadIdx.x < pieces; first += threads * together) {
    int mine[together], sums[together];
#pragma unroll
    for (int i = 0; i < together; ++i)
      sums[i] = mine[i] = first + i * threads < pieces ? counts[first + i * threads] : 0;
#pragma unroll
    for (int i = 0; i < together; ++i) {
#pragma unroll
      for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, sums[i], step);
        sums[i] += lane >= step ? other : 0;
      }
      if (lane == 31)
        ofWarps[i][warp] = sums[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < together; ++i) {
      int all = 0, earlier = 0;
#pragma unroll
      for (int w = 0; w < threads / 32; ++w) {
        earlier += w < warp ? ofWarps[i][w] : 0;
        all += ofWarps[i][w];
      }
      if (first + i * threads < pieces)
        counts[first + i * threads] = before + earlier + sums[i] - mine[i];
      before += all;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0)
    *total = before;
}

// A piece's rows marked (markRows), and what they take of each expert counted. entered: sums of all rows that enter.
template <class Shape, class ExpertOf, class Keeps>
__device__ __forceinline__ void markPiece(const Routing<Shape>& routing, PieceCounts entered, PieceCounts kept, Turns turns, ExpertOf expertOf, Keeps keeps) {
  __shared__ typename Shape::Counters counters;
  countTurns<Shape>(counters, turns, [&](int turn) { return expertOf(routing.rowOf(turn)); });
  scanWarps<Shape>(counters, [&](int expert) { return entered.of(expert); }, [](int, int) {});
  markRows<Shape>(routing, counters, turns, expertOf, keeps);
  countPiece<Shape>(kept, turns, [&](int turn) { return placedExpert(routing, turn, expertOf, keeps); });
}

// A piece's part of the routing, by one of `blocks` blocks. counts, totals: what scanPieces left of the last count.
template <class Shape, class CountedExpert>
__device__ __forceinline__ void placePiece(const Routing<Shape>& routing, PieceCounts counts, const int* totals, Turns turns, int block, int blocks,
                                           CountedExpert countedExpert) {
  __shared__ typename Shape::Counters counters;
  __shared__ int starts[Shape::experts + 1];
  countTurns<Shape>(counters, turns, countedExpert);
  scanWarps<Shape>(
      counters, [&](int expert) { return counts.of(expert); },
      [&](int expert, int) { starts[expert] = Shape::twice ? totals[expert] : routing.places(totals[expert]); });
  scanExperts<Shape>(starts);
  placeRows<Shape>(routing, counters, starts, turns, countedExpert);
  finishRouting<Shape>(routing, starts, (long long)block * Shape::threads + threadIdx.x, (long long)blocks * Shape::threads);
}
