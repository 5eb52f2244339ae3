#pragma once
// How the runtime calls a generated kernel.
// CPU: one image (a small shared object) exports one function; its name is the launch's `kernel`.
// CUDA: the image (CudaImage.h) exports one function per stage, GridInfo::function, launched with `items` blocks in one dimension. Parameters of each:
//   every input, output and workspace of the launch, in this order, as pointers of 64 bits; the launch's `sizes` as i64; its streams as u32; u64 seed; u32 step
// Stages of a launch run one after the other. Ragged work needs no list: a block finds its expert and rows in the routing's offsets.
// A launch that updates a parameter or state has it among its inputs and its outputs, with one pointer: an item reads of it only what it writes itself, before
// it writes.

#include <cstdint>

namespace moec {

/// What one launch hands to its kernel. Read-only for the kernel, the same for every item of the launch.
struct KernelCall {
  void* const* buffers;    // the launch's operands: inputs in order, then outputs in order, then its workspaces
  const int64_t* sizes;    // the launch's `sizes`, evaluated
  const uint32_t* streams; // the launch's random streams (streamOf the draw's path)
  uint64_t seed;
  uint32_t step;
};

/// Does the items [begin, end) of a stage. Stages of a launch run one after the other, the items of one stage in any order and at once;
/// an item writes what no other item of its stage reads or writes. `scratch` belongs to the calling worker (64-byte aligned, the
/// stage's scratchBytes), its contents are undefined at the start of a call.
using KernelFunction = void (*)(const KernelCall* call, int64_t stage, int64_t begin, int64_t end, void* scratch);

/// A !moe.routing in memory: one i32 buffer for E experts, T tokens, K choices, with R = T*K:
///   offsets[E+1]   rows of expert e are rows[offsets[e] .. offsets[e+1]); offsets[E] is the number of rows kept
///   rows[R]        token*K + choice of each kept row, grouped by expert, in the gate's priority order; -1 behind offsets[E]
///   slots[R]       for token*K + choice: its place in rows, or -1 when dropped
struct RoutingLayout {
  int64_t experts, rows; // E, R
  constexpr int64_t offsets() const { return 0; }
  constexpr int64_t rowList() const { return experts + 1; }
  constexpr int64_t slots() const { return experts + 1 + rows; }
  constexpr int64_t elements() const { return experts + 1 + 2 * rows; }
};

} // namespace moec
