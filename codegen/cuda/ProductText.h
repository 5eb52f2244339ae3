#pragma once
// Text that all kernels made of matrix products share: the tile's type, and the elementwise ops behind a product as the inside of the loops over a tile's
// sums. Knows skeletons/product.cuh; knows nothing of where rows lie.

#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/ProductSchedule.h"

namespace moec::codegen::cuda {

/// "ProductTile<float, ...>" of a schedule.
std::string tileType(const ProductSchedule& schedule, DType dtype, int64_t copyBytes);

/// An operand of skeletons/transposed_product.cuh: rows of `width` elements in memory, `depth` of them from `matrix` on; a tile has those from `first` on.
struct TransposedOperand {
  std::string matrix, first, depth;
  Size width;
  bool ofA;

  /// Bytes of its copies.
  static int64_t copyBytes(DType dtype, const Size& width, int64_t tile);
  /// "[&](float* slice, int k) { copyTransposed<...>(...); }"
  std::string copy(KernelText& k, const ProductSchedule& schedule, DType dtype) const;
};

/// What stands behind a product (or behind a combine): `source`, at hand as the variable `sum` at one place, up to `sinks`.
struct EpilogueText {
  mlir::Value source;
  Coordinates at; // of source; variables
  std::string sum;
  std::string expert; // for moe.expert_rows; empty where there are none

  /// Prints the ops and gives each sink's value; a diagnostic for a sink or an op that cannot be written so.
  mlir::FailureOr<std::vector<std::string>> print(KernelText& k, Lines& lines, llvm::ArrayRef<mlir::Value> sinks) const;
};

/// Prints the ops between `source` and the kernel's results, and stores each result at `index` of its output.
mlir::LogicalResult printResults(KernelText& k, Lines& lines, const EpilogueText& epilogue, std::string_view index);
/// The same of some of the results.
mlir::LogicalResult printResults(KernelText& k, Lines& lines, const EpilogueText& epilogue, std::string_view index, llvm::ArrayRef<unsigned> results);

/// Operations that the elementwise ops on the way from `source` to `sinks` take.
Size epilogueOperations(mlir::Value source, llvm::ArrayRef<mlir::Value> sinks);

/// "row0 + m < 1000" unless tiles of that size never reach over the edge.
std::string guard(KernelText& k, std::string_view index, const Size& size, int64_t tile);

} // namespace moec::codegen::cuda
