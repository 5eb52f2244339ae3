#pragma once
// The register block that every product of matrices is made of: up to `rows` rows of a times one panel of b, sums in registers over the
// depth. Knows addresses and counts only: no op of the dialect, no schedule, no threads.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// Sums held in registers: rows x (vectors * lanes) elements.
struct RegisterBlock {
  DType dtype = DType::F32; // of the rows and the sums
  int64_t rows = 0;
  int64_t vectors = 0;
  DType panelType = dtype;  // of the panel in memory: bf16 is widened as it is read, u8 are codes (moe.quantize)
  int64_t ahead = 0;        // bytes behind a row of the panel that are fetched with it: of panels that follow each other in memory
  int64_t group = 0;        // depth that shares a scale: of codes
  bool fetchesRows = false; // whole blocks of rows fetch the block behind them into L2

  int64_t width(const KernelBuilder& k) const { return vectors * k.lanes(dtype); } // nr: columns of a panel
};

/// A matrix in memory: rows `stride` elements apart, of elements that follow each other, or that lie `step` apart where there is one.
struct Matrix {
  Value base;
  Value stride;
  Value step = {};
};

/// Rows of a matrix that are fetched into L2 while something else is multiplied: one with each turn of the depth, or, where they lie far apart, with each
/// kTurnsApart turns. The first caches drop fetches that follow each other closely and fall onto each other there (Zen 3, rows 4 KiB apart: of four that follow
/// each other at once about one arrives, of those 24 cycles apart most).
struct FetchedRows {
  static constexpr int64_t kTurnsApart = 4;

  DType dtype = DType::F32;
  Matrix rows = {};
  int64_t columns = 0;
  Value turns = {};     // of the depth, while there are rows
  int64_t every = 1;    // of so many rows, at most four, only the first is fetched: they share a line
  bool apart = false;   // rows take kTurnsApart turns each
  bool ends = false;    // the line that a row ends in is fetched, too: rows begin anywhere in one
  int64_t multiple = 4; // of which `turns` are one: else up to three rows behind the last one are fetched, too
  Value until = {};     // rows from this one on are those of a matrix with its base at `behind`; null: there is one matrix
  Value behind = {};

  /// Where a row begins.
  Value row(KernelBuilder& k, Value number) const;
  /// What is left after so many turns.
  FetchedRows after(KernelBuilder& k, Value turn) const;
  /// Fetches the lines of the row that begins there, now.
  void fetch(KernelBuilder& k, Value row) const;
};

/// Takes sums out of the registers, a vector of a tile's `row` from `column` of the panel on.
class SumsTaker {
public:
  virtual ~SumsTaker() = default;
  /// Is called before the products, for each line of a row's sums: fetches the memory that they go to.
  virtual void fetch(Value panel, Value row, int64_t column) const = 0;
  virtual void take(Value panel, Value row, int64_t column, Value sums) const = 0;
};

/// A panel of b (depth, nr), and the tile (rows, nr) that its products go to.
struct PanelOfTile {
  Matrix panel;
  Matrix tile;
  Value scales = {};                // bf16 (groups, nr), of codes: the first is of the panel's first row
  const SumsTaker* taker = nullptr; // in the place of the tile; nothing accumulates then, unless `takes` is there
  Value number = {};                // of the panel, for the taker
  Value takes = {};                 // i1: whether the taker has what accumulated in the tile and now; else the tile keeps it
  /// What the block of `rows` rows from `first` on fetches.
  llvm::function_ref<std::vector<FetchedRows>(Value first, int64_t rows)> fetched = {};
};

/// tile (rows, nr) = [tile +] a (rows, depth) . panel (depth, nr). Each sum starts at zero (or at the tile) and takes its terms in increasing
/// depth, one fused multiply-add each: its bits depend neither on the number of rows nor on how the depth is cut. Panel and tile rows are
/// whole vectors, so nothing is masked; rows of a end with `depth` elements. Only a may have a step. What accumulates starts at zero where `fresh`, an i1, says
/// so.
void multiply(KernelBuilder& k, const RegisterBlock& block, Value rows, const Matrix& a, const PanelOfTile& b, Value depth, bool accumulate, Value fresh = {});
inline void multiply(KernelBuilder& k, const RegisterBlock& block, Value rows, const Matrix& a, const Matrix& panel, Value depth, const Matrix& tile,
                     bool accumulate, Value fresh = {}) {
  multiply(k, block, rows, a, PanelOfTile{panel, tile}, depth, accumulate, fresh);
}

/// The same of several panels at once, for exactly `rows` rows, of which there are so few that one panel's sums would wait for each other.
void multiplyFew(KernelBuilder& k, const RegisterBlock& block, int64_t rows, const Matrix& a, llvm::ArrayRef<PanelOfTile> panels, Value depth, bool accumulate,
                 Value fresh = {});

} // namespace moec::codegen::cpu
