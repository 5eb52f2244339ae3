#pragma once
// What a CPU kernel reads, writes and fetches of its tensors, in order. A fetch changes no value, so nothing else tells a wrong one from a right one. Knows
// LLVM IR and the launch; knows no kernel.

#include "codegen/analysis/InPlace.h"
#include "tests/codegen/KernelHarness.h"

#include <compare>
#include <cstdint>
#include <vector>

namespace moec::testing {

/// A line of memory, of 64 bytes, of a tensor: 0 has its first byte. Those in front of and behind a tensor count on.
struct TensorLine {
  size_t tensor; // inputs, then those outputs that lie in no argument's memory
  int64_t line;
  auto operator<=>(const TensorLine&) const = default;
};

enum class Access { Fetch, Read, Write };

/// What an instruction asks of memory: the lines [first, first + lines). Of one in a loop, one for each turn.
struct MemoryAccess {
  Access kind;
  TensorLine first;
  int64_t lines;
  bool forWriting; // of a fetch
  int locality;    // of a fetch: 3 into the first cache, 2 into the second
};

/// One item of a stage.
struct RecordedItem {
  size_t stage;
  int64_t item;
  std::vector<MemoryAccess> accesses; // of the tensors alone: none of workspaces, scratch, constants and sizes
};

struct MemoryRecord {
  std::vector<RecordedItem> items;
  std::vector<int64_t> lines; // of each tensor
  bool isOutside(const TensorLine& line) const { return line.line < 0 || line.line >= lines[line.tensor]; }
};

/// Runs a kernel on one thread, item by item, as code in which every access of memory calls a recording function first: its optimised LLVM, so the order is the
/// one that is compiled. Each tensor begins with a page, and what lies up to a MiB in front of it or behind it is nobody else's, and counts as outside of it.
MemoryRecord recordMemory(ir::KernelOp kernel, const std::string& target, const std::vector<Tensor>& inputs, const LoadedKernel::Call& call,
                          llvm::ArrayRef<codegen::InPlace> inPlace = {});

} // namespace moec::testing
