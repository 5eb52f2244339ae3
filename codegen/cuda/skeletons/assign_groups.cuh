#pragma once
#include "assign.cuh"
// Rows enter their experts' lists where every group has a capacity of its own, as a stable counting sort (assign.cuh) with a block for each piece.
//   A piece: the tokens of one group; or, within an outer routing, those rows of one outer expert that are of one group. It chooses among experts of its own.
//   count: how many rows of each of its experts get a place;  scan: sums over the groups before
//   place: a row's place is where its expert's begin, those of the groups before, and its rank among the piece's rows of that expert
// Shape::experts are those that a piece chooses among, All::experts all. Shared bytes: 4 * (Shape::experts * (warps + 1) + All::experts + 1).

// What the threads of a block know of the routing.
template <class Shape, class All> struct GroupRouting {
  int capacity, rows;
  int *offsets, *list, *slots;

  __device__ __forceinline__ GroupRouting(int* routing, int tokens, long long capacity)
      : capacity(capacity < 0 ? 0 : capacity > 0x7fffffff ? 0x7fffffff : (int)capacity), rows(tokens * Shape::choices), offsets(routing),
        list(routing + All::experts + 1), slots(list + rows) {}
};

// Tokens [first, first + tokens) of the routing, of which isMine(token) are the piece's, and its experts from firstExpert on. counts: [expert][group].
struct GroupPiece {
  int first, tokens, firstExpert, group, groups;

  template <class Shape> __device__ __forceinline__ int tokenOf(int turn) const {
    return first + (Shape::choiceMajor ? turn % tokens : turn / Shape::choices);
  }
  template <class Shape> __device__ __forceinline__ int rowOf(int turn) const {
    return tokenOf<Shape>(turn) * Shape::choices + (Shape::choiceMajor ? turn / tokens : turn % Shape::choices);
  }
  template <class Shape> __device__ __forceinline__ Turns turns() const { return {0, tokens * Shape::choices}; }
  __device__ __forceinline__ int& of(int* counts, int expert) const { return counts[(long long)(firstExpert + expert) * groups + group]; }
};

// The group of a token where `tokens` are in equal runs.
__device__ __forceinline__ int groupOf(int token, int tokens, int groups) {
  const int run = tokens / groups > 0 ? tokens / groups : 1, group = token / run;
  return group < groups ? group : groups - 1; // inside, be the groups equal or not
}

// The piece of one group.
__device__ __forceinline__ GroupPiece pieceOfGroup(int group, int tokens, int groups) {
  const int run = tokens / groups > 0 ? tokens / groups : 1, first = group * run < tokens ? group * run : tokens;
  const int last = group + 1 == groups || first + run > tokens ? tokens : first + run;
  return {first, last - first, 0, group, groups};
}

// The piece of a group within one outer expert, `offsets` being those of the outer routing: of its rows, those of the group.
template <class Shape> __device__ __forceinline__ GroupPiece pieceWithin(int piece, const int* offsets, int groups) {
  const int outer = piece / groups, first = offsets[outer];
  return {first, offsets[outer + 1] - first, outer * Shape::experts, piece % groups, groups};
}

// How many rows of each expert get a place. expertOf(row): -1 for a row that does not enter. keeps(row): of masks behind the capacity.
template <class Shape, class All, class IsMine, class ExpertOf, class Keeps>
__device__ __forceinline__ void countGroup(const GroupRouting<Shape, All>& routing, const GroupPiece& piece, int* counts, IsMine isMine, ExpertOf expertOf,
                                           Keeps keeps) {
  __shared__ typename Shape::Counters counters;
  const Turns all = piece.turns<Shape>();
  const auto nothing = [](int) { return 0; };
  const auto entering = [&](int turn) {
    const int row = piece.rowOf<Shape>(turn);
    return isMine(piece.tokenOf<Shape>(turn)) && (Shape::twice || !Shape::dropped || keeps(row)) ? expertOf(row) : -1;
  };
  countTurns<Shape>(counters, all, entering);
  if (Shape::twice) { // capacity counts other rows than places: mark those that get one with slots of 0
    scanWarps<Shape>(counters, nothing, [](int, int) {});
    walkTurns<Shape>(counters, all, entering, [&](int turn, int expert, int rank) {
      const int row = piece.rowOf<Shape>(turn);
      if (isMine(piece.tokenOf<Shape>(turn)))
        routing.slots[row] = expert >= 0 && rank < routing.capacity && keeps(row) ? 0 : -1;
    });
    __syncthreads();
    countTurns<Shape>(counters, all, [&](int turn) {
      const int row = piece.rowOf<Shape>(turn);
      return isMine(piece.tokenOf<Shape>(turn)) && routing.slots[row] == 0 ? expertOf(row) : -1;
    });
  }
  scanWarps<Shape>(counters, nothing, [&](int expert, int sum) {
    piece.of(counts, expert) = Shape::limited && !Shape::twice && sum > routing.capacity ? routing.capacity : sum;
  });
}

// The piece's part of the routing, by one of `blocks` blocks. counts, totals: what scanPieces left of the counts. tokens: those that there are.
template <class Shape, class All, class IsMine, class ExpertOf, class Keeps>
__device__ __forceinline__ void placeGroup(const GroupRouting<Shape, All>& routing, const GroupPiece& piece, int* counts, const int* totals, int tokens, int block,
                                           int blocks, IsMine isMine, ExpertOf expertOf, Keeps keeps) {
  __shared__ typename Shape::Counters counters;
  __shared__ int starts[All::experts + 1];
  __shared__ int begins[Shape::experts]; // where the piece's places begin
  const Turns all = piece.turns<Shape>();
  const auto placed = [&](int turn) {
    const int row = piece.rowOf<Shape>(turn);
    if (!isMine(piece.tokenOf<Shape>(turn)))
      return -1;
    if (Shape::twice)
      return routing.slots[row] == 0 ? expertOf(row) : -1;
    return !Shape::dropped || keeps(row) ? expertOf(row) : -1;
  };
#pragma unroll 1
  for (int expert = threadIdx.x; expert < All::experts; expert += Shape::threads)
    starts[expert] = totals[expert];
  countTurns<Shape>(counters, all, placed);
  scanWarps<Shape>(counters, [](int) { return 0; }, [](int, int) {});
  scanExperts<All>(starts);
#pragma unroll 1
  for (int expert = threadIdx.x; expert < Shape::experts; expert += Shape::threads)
    begins[expert] = starts[piece.firstExpert + expert] + piece.of(counts, expert);
  __syncthreads();
  walkTurns<Shape>(counters, all, placed, [&](int turn, int expert, int rank) {
    if (!isMine(piece.tokenOf<Shape>(turn)))
      return;
    const int row = piece.rowOf<Shape>(turn);
    const bool stays = expert >= 0 && (!Shape::limited || Shape::twice || rank < routing.capacity);
    const int place = stays ? begins[expert] + rank : -1;
    routing.slots[row] = place;
    if (stays)
      routing.list[place] = row;
  });
  const long long first = (long long)block * Shape::threads + threadIdx.x, stride = (long long)blocks * Shape::threads;
#pragma unroll 1
  for (long long i = first; i <= All::experts; i += stride)
    routing.offsets[i] = starts[i];
#pragma unroll 1
  for (long long i = starts[All::experts] + first; i < routing.rows; i += stride)
    routing.list[i] = -1;
#pragma unroll 1
  for (long long i = (long long)tokens * Shape::choices + first; i < routing.rows; i += stride) // of rows that are no tokens
    routing.slots[i] = -1;
}
