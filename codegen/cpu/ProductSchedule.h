#pragma once
// What may be chosen about the kernels made of matrix products, and the cost model that chooses. A schedule is kept in its kernel as a
// dictionary of integers. Knows targets and sizes; builds nothing.

#include "codegen/CeilDiv.h"
#include "codegen/analysis/Operands.h"
#include "codegen/cpu/Tiles.h"

namespace moec::codegen::cpu {

/// Caches of a core that schedules are made for; many x86-64-v3 and v4 machines have more, few have less. Bits never depend on them.
inline constexpr int64_t kL1Bytes = 32 << 10, kL2Bytes = 512 << 10;

/// Of one element of the sums that kernels of `dtype` hold in registers, and of them in a vector.
inline int64_t bytesOfSum(DType dtype) { return static_cast<int64_t>(byteSize(sumType(dtype))); }
inline int64_t lanesOf(const CpuTarget& target, DType dtype) { return target.vectorBytes / bytesOfSum(dtype); }

/// Rows of the tallest register block of so many vectors that the target holds.
int64_t mostRows(const CpuTarget& target, int64_t vectors);
/// Rows of a transposed operand that are no longer than this are multiplied where they lie.
inline constexpr int64_t kNarrowBytes = 256;

/// How a product of rows (M, K) with panels of b (N, K) is cut.
struct ProductSchedule {
  int64_t rows = 0; // rows of a register block
  int64_t nr = 0;   // columns of a panel: whole vectors
  /// Depth of the part of a panel that stays in the cache while an item's rows pass. Copied rows, and a transposed a, are copied one such part at a time.
  int64_t slice = 0;
  int64_t rowBlock = 0;  // rows of an item: a slice of them stays in L2 while the panels pass
  int64_t panels = 0;    // panels of an item: of several slices, their sums stay in L2
  bool packRows = false; // copy an item's rows next to each other first: bf16 always, for the copy is f32, or what tiles are loaded of
  bool tiles = false;    // rows and panels, which lie in pairs, go by tiles: TileProduct.h

  /// Why this cannot be built for `target`, or nothing.
  std::optional<std::string> illegal(const CpuTarget& target, DType dtype) const;
  /// Depth of which a slice is whole multiples.
  int64_t step() const { return tiles ? Tiles::kDepth : 4; }
  int64_t vectors(const CpuTarget& target, DType dtype) const { return nr * bytesOfSum(dtype) / target.vectorBytes; }

  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static std::optional<ProductSchedule> from(mlir::DictionaryAttr attr);
};

/// What the cost model knows of a product. Sizes that are not constant count as large.
struct ProductShape {
  DType dtype = DType::F32;
  Size rows, columns, depth;
  bool gathered = false;                // rows of a do not follow each other
  std::optional<int64_t> packedNr = {}; // b is packed already
  bool transposed = false;              // a lies as (depth, rows)
  Size matrices = 1;                    // products of this shape
  int64_t group = 1;                    // depth that shares a scale: slices are whole ones
  bool packedByCalls = false;           // b's panels are made in every call, and rows are mostly few: not experts'
  bool sharesWidth = false;             // other products, of other columns, have panels as wide
  bool inPairs = false;                 // b is packed in pairs, or will be where the schedule has tiles
  bool inRuns = false;                  // the depth is gone through in runs (ProductInRuns.h), each of which has items of its own
};
ProductSchedule chooseProduct(const ProductShape& shape, const CpuTarget& target);
/// The kernel's schedule, when it is complete and legal and agrees with a packed b; else a diagnostic.
mlir::FailureOr<ProductSchedule> productScheduleOf(ir::KernelOp kernel, const CpuTarget& target, DType dtype, const ProductOperand& b);

/// Panels of an item where so many blocks of rows meet `all` panels: as many as the schedule has, and of few blocks fewer, that each of some threads has a
/// piece.
Size panelsOfItem(const ProductSchedule& schedule, const Size& blocks, const Size& all);

/// Rows of an item where each of so many matrices of `all` rows meets a b that stays in L2: of as few blocks as the schedule allows, all about equal, for a
/// short last one would read all panels again for a few rows. Few rows are cut for some threads: so their neighbours in a chain of products are one thread's.
Size rowsOfItem(const ProductSchedule& schedule, const Size& matrices, const Size& all, bool bStays);

/// Queries or keys of attention that are few: all may be one block, and one item's. Of more queries, at most kBlockQueries are one.
inline constexpr int64_t kFewKeys = 96, kBlockQueries = 48;

/// Attention: register blocks as above, and how many queries an item has.
struct AttentionSchedule {
  int64_t rows = 0, nr = 0, queries = 0;

  std::optional<std::string> illegal(const CpuTarget& target, DType dtype) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static std::optional<AttentionSchedule> from(mlir::DictionaryAttr attr);
};
AttentionSchedule chooseAttention(DType dtype, const Size& queries, const Size& keys, int64_t headDim, const CpuTarget& target);

/// Attention to kept keys: register blocks as above; nr rows and so many keys are a block.
struct CachedAttentionSchedule {
  int64_t rows = 0, nr = 0, keys = 0;

  std::optional<std::string> illegal(const CpuTarget& target, DType dtype) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static std::optional<CachedAttentionSchedule> from(mlir::DictionaryAttr attr);
};
CachedAttentionSchedule chooseCachedAttention(DType dtype, int64_t context, int64_t headDim, const CpuTarget& target);

/// Its gradient: queries of an item of the queries' stage; keys of an item of the keys' stage, and how many queries it takes at a time.
struct AttentionGradSchedule {
  int64_t rows = 0, nr = 0, queries = 0, keys = 0, turn = 0;

  std::optional<std::string> illegal(const CpuTarget& target, DType dtype) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static std::optional<AttentionGradSchedule> from(mlir::DictionaryAttr attr);
};
AttentionGradSchedule chooseAttentionGrad(DType dtype, const Size& queries, const Size& keys, int64_t headDim, const CpuTarget& target);

} // namespace moec::codegen::cpu
