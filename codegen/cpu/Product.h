#pragma once
// The product of one block of rows with a run of panels, and the helpers around it: copying rows, packing a plain matrix into panels,
// offsets of operands that broadcast. Knows schedules; knows no op of the dialect.

#include "codegen/cpu/MicroKernel.h"
#include "codegen/cpu/ProductSchedule.h"

namespace moec::codegen::cpu {

/// A block of rows (count, depth) and the panels (.., depth, nr) that it meets.
struct ProductBlock {
  DType dtype = DType::F32; // of the sums, and of rows that are not copied
  Matrix a = {};
  Value rows;   // at most the schedule's rowBlock
  Value panels; // first panel of the matrix
  Value depth;
  Value begin, end; // panels to do, at most the schedule's
  DType panelType = dtype;
  Value scales = {}; // of codes: (.., groups, nr), the first panel's; `group` of the depth share one
  int64_t group = 0;
  bool panelsAreNear = false;                      // in caches of a core's own
  llvm::function_ref<Value(Value row)> rowAt = {}; // in the place of a, for rows that are copied: where one begins, which is of rowType
  DType rowType = dtype;
  const SumsTaker* taker = nullptr; // in the place of `finished` where the whole depth is one slice
  /// For a b that becomes panels here: makes rows [from, from + count) of one, and says where they lie until the next ones are made. It may find them among
  /// `panels`, which are null where it makes all, or where b itself has them.
  llvm::function_ref<Matrix(Value panel, Value from, Value count)> makeRows = {};
  /// What rows [from, from + count) of a panel are made of, as rows of nr elements: products of the panel before fetch it.
  llvm::function_ref<FetchedRows(Value panel, Value from, Value count)> madeOf = {};
  std::vector<FetchedRows> read = {}; // by `finished`, from the block's first row and column 0 on: products of the last slice fetch it
};

/// Takes rows [first, first + rows) of a block's product with a panel: the tile has their whole sums.
using FinishedRows = llvm::function_ref<void(Value panel, Value first, Value rows, const Matrix& tile)>;

/// Calls `finished` for all rows of each panel, for a few of them at once where there is something that it reads. A depth of several slices goes slice by slice
/// over all panels, whose sums stay in scratch in the meantime: the slice of the rows stays in the cache, and each panel is read once for all rows of the
/// block. Few rows go through the whole depth of a panel, or of as many at once as are read as fast as memory gives them, or caches: what such a block
/// takes is reading its panels.
void multiplyPanels(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block, FinishedRows finished);

/// Whether it is known at compile time that rows are so few.
bool areFew(const Size& rows, const Size& depth);

/// The rows `rowAt(0 .. rows)` of a dtype copied into scratch for `most` rows, as its sums' dtype, apart by a stride that spreads them over L1.
Matrix copyRows(KernelBuilder& k, DType dtype, Value rows, int64_t most, const Size& depth, llvm::function_ref<Value(Value row)> rowAt);

/// Sums over a block's columns of a, row after row and in f64, of the slices that are copied for the product: nobody reads them for it.
struct SumsOfColumns {
  Value wanted;                                                  // i1: of one of the items that copy the columns
  std::function<void(Value column, Value sums, Value mask)> use; // a vector of them, from the block's first column on
};

/// A block of columns of a, which lies as (depth, columns), and the panels that it meets: those of a plain b, which lies as (depth, N), or packed ones.
struct TransposedBlock {
  DType dtype = DType::F32; // of a and a plain b
  Matrix a;                 // from the block's first column
  Value rows;               // of the product: columns of a, at most the schedule's rowBlock
  Value depth;
  Value begin, end;   // panels to do, at most the schedule's
  Matrix b = {};      // from column 0; null base: panels
  Value columns = {}; // N of a plain b
  Value panels = {};  // first panel of the matrix
  DType panelType = dtype;
  const SumsTaker* taker = nullptr;    // in the place of `finished`
  std::vector<FetchedRows> read = {};  // as a ProductBlock's
  const SumsOfColumns* sums = nullptr; // where copiesColumns()
};

/// Whether multiplyTransposed copies slices of an a of a dtype with so many columns.
bool copiesColumns(DType dtype, const Size& columns);

/// multiplyPanels for such a block. Slices of a and b are copied next to each other, for rows of a wide matrix lie a page apart; those of a narrow one
/// (kNarrowBytes) stay where they are. Products of one slice fetch the next one. The sums over all of the panels stay in scratch in the meantime.
void multiplyTransposed(KernelBuilder& k, const ProductSchedule& schedule, const TransposedBlock& block, FinishedRows finished);

/// Elements [0, columns) of `rows` rows of a dtype as its sums' dtype, zeros behind up to whole multiples of `width`, which is whole vectors. `rowsAhead`: how
/// many rows before a row is copied it is fetched; 0: it is not.
void copyBlock(KernelBuilder& k, DType dtype, const Matrix& from, Value rows, Value columns, int64_t width, const Matrix& to, int64_t rowsAhead = 0);

/// One panel (depth, nr) of the rows [first, first + nr) of b, which is of a dtype, as its sums' dtype; zeros behind `rows`.
void packPanel(KernelBuilder& k, DType dtype, const Matrix& b, Value first, Value rows, Value depth, int64_t nr, Value panel);

/// Bytes of elements.
inline Size bytesOf(DType dtype, const Size& elements) { return elements * Size(static_cast<int64_t>(byteSize(dtype))); }

/// Sum over the dimensions of index times stride, `linear` being the row-major index into `sizes`. Divides only where it must.
Value stridedOffset(KernelBuilder& k, Value linear, llvm::ArrayRef<Size> sizes, llvm::ArrayRef<Size> strides);

} // namespace moec::codegen::cpu
