#pragma once
// The elementwise ops and draws behind a product, written for one piece of a row while it is in L1. Knows where operands that broadcast lie; knows
// nothing of how the product was made.

#include "codegen/cpu/Product.h"

namespace moec::codegen::cpu {

/// A run of elements of one row of the product (batch.., rows.., N).
struct Piece {
  Value batch;  // row-major index into the batch dimensions; null without any
  Value row;    // row-major index into the row dimensions
  Value expert; // for expert_rows; else null
  Value column; // the first one
  int64_t lanes = 1;
  Value mask; // null: all lanes

  Piece below(KernelBuilder& k, Value down) const { // as many rows further down
    Piece piece = *this;
    piece.row = k.add(row, down);
    return piece;
  }
};

/// A value of the source's shape that lies somewhere already, and its elements at a piece.
struct HeldValue {
  mlir::Value value;
  std::function<Value(const Piece&)> load;
};

class Epilogue {
public:
  /// Ops of the body on the way from `source` and what is held to `sinks`. `batchDims` leading dimensions of the source are the batch. A diagnostic at the
  /// kernel tells what cannot be written. The last `summed` sinks are not stored: their vectors are added to that of f64 at their base.
  static mlir::FailureOr<Epilogue> make(KernelBuilder& k, mlir::Value source, llvm::ArrayRef<mlir::Value> sinks, size_t batchDims,
                                        std::vector<HeldValue> held = {}, size_t summed = 0);

  /// Computes the sinks from the piece of the source, in the sinks' order.
  Values apply(const Piece& piece, Value source) const;
  /// Elements from the start of a tensor of the source's shape to the piece.
  Value offset(const Piece& piece) const;
  /// The arguments of the source's shape, from the piece's row on: what is to be fetched before storePanel reads it. None where rows are so short that the
  /// machine foresees the next ones; but weights and states, which were last used a step ago, it foresees too late.
  std::vector<FetchedRows> reads(const Piece& piece) const;
  /// Applies to rows [0, rows) of the tile of a panel of nr columns and stores each sink at `bases` (tensors of the source's shape).
  /// `first` is the place of the tile's first row.
  void storePanel(const Piece& first, Value rows, Value panel, int64_t nr, const Matrix& tile, llvm::ArrayRef<Value> bases) const;

  /// Lanes of the pieces that panels of nr columns are taken in: two vectors where all panels are whole. They share the constants of what is computed of them,
  /// and neither waits for the other.
  static int64_t lanesOfPieces(const KernelBuilder& k, DType dtype, const Size& columns, int64_t nr);

  /// Whether LightEpilogue may store panels of nr columns: all of them are whole, and what stands behind a vector of sums is so little that a block of
  /// registers has a copy of it for each of its vectors.
  bool isLight(int64_t nr) const;

private:
  friend class LightEpilogue;
  Epilogue(KernelBuilder& k, mlir::Value source, llvm::ArrayRef<mlir::Value> sinks, size_t batchDims, size_t summed);
  bool isStoredInLines(mlir::Value sink) const;
  bool isSummed(size_t sink) const { return sink + summed_ >= sinks_.size(); }
  Value plus(const Piece& piece, Value value, Value total) const;
  /// Stores the sinks of the piece, and adds to `totals` what is summed; gives those.
  Values store(const Piece& piece, Value sums, llvm::ArrayRef<Value> bases, const Values& totals) const;
  Values loadTotals(int64_t lanes, llvm::ArrayRef<Value> bases) const;
  void storeTotals(const Values& totals, llvm::ArrayRef<Value> bases) const;
  mlir::LogicalResult visit(mlir::Value value);
  Value operand(mlir::BlockArgument argument, const Piece& piece) const;
  Value expertRows(mlir::Operation* op, const Piece& piece) const;
  Value draws(mlir::Operation* op, const Piece& piece) const;

  KernelBuilder* k_;
  mlir::Value source_;
  llvm::SmallVector<mlir::Value> sinks_, order_; // order_: values to compute, operands first
  llvm::SmallVector<mlir::Value> inPlace_;       // sinks that may lie over arguments (InPlace.h)
  std::vector<Size> batch_, rows_;
  Size columns_;
  std::vector<HeldValue> held_;
  size_t summed_;
};

/// storePanel for sums that are still in registers.
class LightEpilogue final : public SumsTaker {
public:
  LightEpilogue(const Epilogue& epilogue, Piece first, int64_t nr, Values bases) : epilogue_(epilogue), first_(first), nr_(nr), bases_(std::move(bases)) {}
  void fetch(Value panel, Value row, int64_t column) const override;
  void take(Value panel, Value row, int64_t column, Value sums) const override;

private:
  Piece pieceAt(Value panel, Value row, int64_t column) const;

  const Epilogue& epilogue_;
  Piece first_;
  int64_t nr_;
  Values bases_;
};

} // namespace moec::codegen::cpu
