#pragma once
// What may be chosen about the kernels made of matrix products, and the cost model that chooses. Knows targets and sizes; writes no text.

#include "codegen/analysis/Operands.h"
#include "runtime/core/CudaTarget.h"

namespace moec::codegen::cuda {

/// A block's tile of the product (tileM rows of a, tileN of b), by warpsM x warpsN warps; `stages` slices of K are at hand or on their way
/// (skeletons/product.cuh).
struct ProductSchedule {
  int64_t tileM = 0, tileN = 0;
  int64_t warpsM = 0, warpsN = 0;
  int64_t stages = 0;

  int64_t rows() const { return tileM / (4 * warpsM); } // of a thread
  int64_t columns() const { return tileN / (8 * warpsN); }
  int threads() const { return static_cast<int>(32 * warpsM * warpsN); }
  int64_t sharedBytes() const { return stages * (tileM + tileN) * 64; }

  /// Why this cannot be built, or nothing.
  std::optional<std::string> illegal(DType dtype) const;
  /// Blocks that a multiprocessor holds at once, by the registers that such a tile takes.
  int resident(const CudaTarget& target, DType dtype) const;

  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static std::optional<ProductSchedule> from(mlir::DictionaryAttr attr);
};

/// What the cost model knows of a product. Sizes that are not constant count as large.
struct ProductShape {
  DType dtype = DType::F32;
  Size matrices, rows, columns, depth; // `rows` of each of so many products
  int64_t copy = 0;                    // bytes of the copies of operands that lie transposed; 0 where none does: by the depth
};
ProductSchedule chooseProduct(const ProductShape& shape, const CudaTarget& target);
/// The kernel's schedule, when it is complete and legal; else a diagnostic.
mlir::FailureOr<ProductSchedule> productScheduleOf(ir::KernelOp kernel, DType dtype);

/// The widest copy (4, 8 or 16 bytes) that rows of `depth` elements, one behind the other, are whole numbers of.
int64_t copyBytes(DType dtype, const Size& depth);

} // namespace moec::codegen::cuda
