#pragma once
// Text that all kernels of experts' products share: what happens to a tile's sums, and how the rows of a token become one. Knows nothing of where tiles and
// tokens come from.

#include "codegen/cuda/ProductText.h"

namespace moec::codegen::cuda {

/// Prints what becomes of the product at (row, column).
using PrintRow = llvm::function_ref<mlir::LogicalResult(Lines& lines, const EpilogueText& epilogue)>;

/// Loops over a thread's sums of a tile (`Tile`, `sums`) of an expert's rows: `expert`, `first`, `count` and `column0` stand before. With `placeChoices` the
/// row's `place`, token * choices + choice, is read from the routing's list `rows`, which stands before too.
mlir::LogicalResult printTileSums(KernelText& k, Lines& lines, mlir::Value product, int64_t tileN, std::optional<int64_t> placeChoices, PrintRow printRow);

/// `sum` of a token at a column (variables `token`, `column`): its kept choices' weighted rows in choice order. `slots`: of the routing; `rows`: (T * K,
/// width).
void printCombine(KernelText& k, Lines& lines, DType dtype, int64_t choices, const Size& width, std::string_view slots, std::string_view rows,
                  bool bySlot = false);

} // namespace moec::codegen::cuda
