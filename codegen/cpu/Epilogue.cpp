#include "codegen/cpu/Epilogue.h"

#include "codegen/analysis/InPlace.h"
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/VectorMath.h"

namespace moec::codegen::cpu {
namespace {

bool contains(llvm::ArrayRef<mlir::Value> values, mlir::Value value) { return llvm::is_contained(values, value); }

Value splat(KernelBuilder& k, ir::ConstantOp op, int64_t lanes) {
  mlir::Type type = k.vectorOf(k.typeOf(dtypeOf(op.getResult())), lanes);
  auto value = mlir::cast<mlir::SplatElementsAttr>(op.getValue());
  if (mlir::isa<mlir::FloatType>(value.getElementType()))
    return k.real(type, value.getSplatValue<mlir::APFloat>().convertToDouble());
  return k.integer(type, value.getSplatValue<mlir::APInt>().getSExtValue());
}

unsigned numberOf(mlir::Value argument) { return mlir::cast<mlir::BlockArgument>(argument).getArgNumber(); }

/// Of gelu and its derivative, what stands beside one among some values: the other of the same operand. Null if there is none.
mlir::Value otherOfGelu(mlir::Operation* op, llvm::ArrayRef<mlir::Value> values) {
  if (!mlir::isa<ir::GeluOp, ir::GeluGradOp>(op))
    return {};
  for (mlir::Value value : values) {
    mlir::Operation* other = value.getDefiningOp();
    bool isOther = mlir::isa<ir::GeluOp>(op) ? mlir::isa_and_nonnull<ir::GeluGradOp>(other) : mlir::isa_and_nonnull<ir::GeluOp>(other);
    if (isOther && other->getOperand(0) == op->getOperand(0))
      return value;
  }
  return {};
}

} // namespace

Epilogue::Epilogue(KernelBuilder& k, mlir::Value source, llvm::ArrayRef<mlir::Value> sinks, size_t batchDims, size_t summed)
    : k_(&k), source_(source), sinks_(sinks), summed_(summed) {
  ir::Sizes sizes = ir::sizesOf(source);
  batch_.assign(sizes.begin(), sizes.begin() + batchDims);
  rows_.assign(sizes.begin() + batchDims, sizes.end() - 1);
  columns_ = sizes.back();
  for (unsigned output : sharedMemoryOf(k.kernel()).outputs)
    inPlace_.push_back(yieldOf(k.kernel())->getOperand(output));
}

mlir::FailureOr<Epilogue> Epilogue::make(KernelBuilder& k, mlir::Value source, llvm::ArrayRef<mlir::Value> sinks, size_t batchDims, std::vector<HeldValue> held,
                                         size_t summed) {
  Epilogue epilogue(k, source, sinks, batchDims, summed);
  epilogue.held_ = std::move(held);
  for (mlir::Value sink : sinks) {
    if (ir::sizesOf(sink) != ir::sizesOf(source))
      return k.kernel().emitOpError("gives a result of shape ")
             << ir::describe(ir::sizesOf(sink)) << " where the product has " << ir::describe(ir::sizesOf(source));
    if (failed(epilogue.visit(sink)))
      return mlir::failure();
  }
  return epilogue;
}

mlir::LogicalResult Epilogue::visit(mlir::Value value) {
  if (value == source_ || contains(order_, value) || llvm::any_of(held_, [&](const HeldValue& held) { return held.value == value; }))
    return mlir::success();
  if (mlir::Operation* op = value.getDefiningOp()) {
    bool leaf = mlir::isa<ir::ConstantOp, ir::ExpertRowsOp, ir::RandomOp>(op);
    if (auto constant = mlir::dyn_cast<ir::ConstantOp>(op); constant && !mlir::isa<mlir::SplatElementsAttr>(constant.getValue()))
      return k_->kernel().emitOpError("holds a constant of several values behind its product: not supported by this kernel");
    if (auto rows = mlir::dyn_cast<ir::ExpertRowsOp>(op); rows && !mlir::isa<mlir::BlockArgument>(rows.getTable()))
      return k_->kernel().emitOpError("computes the table of moe.expert_rows itself: not supported by this kernel");
    if (mlir::isa<ir::RandomOp>(op) && ir::sizesOf(value) != ir::sizesOf(source_))
      return k_->kernel().emitOpError("draws ") << ir::describe(ir::sizesOf(value)) << " behind a product of " << ir::describe(ir::sizesOf(source_))
                                                << ": not supported by this kernel";
    if (!leaf && !ir::isElementwise(op))
      return k_->kernel().emitOpError("holds ") << op->getName() << " behind its product: not supported by this kernel";
    if (!leaf)
      for (mlir::Value operand : op->getOperands())
        if (failed(visit(operand)))
          return mlir::failure();
  }
  order_.push_back(value);
  return mlir::success();
}

Value Epilogue::offset(const Piece& piece) const {
  Value row = piece.row;
  if (piece.batch)
    row = k_->add(k_->mul(piece.batch, k_->size(ir::product(rows_))), row);
  return k_->add(k_->mul(row, k_->size(columns_)), piece.column);
}

Value Epilogue::operand(mlir::BlockArgument argument, const Piece& piece) const {
  KernelBuilder& k = *k_;
  ir::Sizes own = ir::sizesOf(argument), all = batch_;
  all.insert(all.end(), rows_.begin(), rows_.end());
  all.push_back(columns_);
  std::vector<Size> strides = broadcastStrides(own, all);
  auto stridesAt = llvm::ArrayRef<Size>(strides);
  Value offset = stridedOffset(k, piece.row, rows_, stridesAt.slice(batch_.size(), rows_.size()));
  if (piece.batch)
    offset = k.add(offset, stridedOffset(k, piece.batch, batch_, stridesAt.take_front(batch_.size())));
  DType dtype = dtypeOf(argument);
  bool acrossColumns = !(strides.back() == Size(0));
  if (acrossColumns)
    offset = k.add(offset, piece.column);
  Value address = k.at(k.input(argument.getArgNumber()), offset, dtype);
  if (acrossColumns)
    return k.loadElements(dtype, address, piece.lanes, piece.mask);
  return k.broadcast(k.loadElements(dtype, address, 1), piece.lanes);
}

Value Epilogue::expertRows(mlir::Operation* op, const Piece& piece) const {
  KernelBuilder& k = *k_;
  auto rows = mlir::cast<ir::ExpertRowsOp>(op);
  ir::Sizes sizes = ir::sizesOf(rows.getTable()); // (E, N)
  DType dtype = dtypeOf(rows.getTable());
  Value base = k.input(numberOf(rows.getTable()));
  if (sizes.back() == Size(1) && !(columns_ == Size(1)))
    return k.broadcast(k.loadElements(dtype, k.at(base, piece.expert, dtype), 1), piece.lanes);
  Value offset = k.add(k.mul(piece.expert, k.size(sizes.back())), piece.column);
  return k.loadElements(dtype, k.at(base, offset, dtype), piece.lanes, piece.mask);
}

Value Epilogue::draws(mlir::Operation* op, const Piece& piece) const {
  auto random = mlir::cast<ir::RandomOp>(op);
  unsigned stream = 0;
  for (mlir::Operation& other : *op->getBlock()) {
    if (&other == op)
      break;
    stream += mlir::isa<ir::RandomOp>(other);
  }
  Value element = k_->add(k_->broadcast(offset(piece), piece.lanes), k_->iota(k_->i64(), piece.lanes));
  return drawAt(*k_, random.getDistribution(), dtypeOf(random.getResult()), stream, element);
}

Values Epilogue::apply(const Piece& piece, Value source) const {
  llvm::DenseMap<mlir::Value, Value> known;
  known[source_] = source;
  for (const HeldValue& held : held_)
    known[held.value] = held.load(piece);
  for (mlir::Value value : order_) {
    if (known.contains(value))
      continue;
    if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value)) {
      known[value] = operand(argument, piece);
      continue;
    }
    mlir::Operation* op = value.getDefiningOp();
    if (mlir::Value other = otherOfGelu(op, order_)) {
      Values both = geluAndGrad(*k_, known.lookup(op->getOperand(0)));
      bool isGrad = mlir::isa<ir::GeluGradOp>(op);
      for (auto [made, result] : llvm::zip(std::array{isGrad ? other : value, isGrad ? value : other}, both))
        known[made] = k_->roundTo(dtypeOf(made), result);
      continue;
    }
    if (mlir::isa<ir::ExpertRowsOp>(op)) {
      known[value] = expertRows(op, piece);
      continue;
    }
    if (mlir::isa<ir::RandomOp>(op)) {
      known[value] = draws(op, piece);
      continue;
    }
    if (auto constant = mlir::dyn_cast<ir::ConstantOp>(op)) {
      known[value] = splat(*k_, constant, piece.lanes);
      continue;
    }
    Values operands;
    for (mlir::Value operand : op->getOperands())
      operands.push_back(known.lookup(operand));
    known[value] = elementwise(*k_, op, operands);
  }
  Values results;
  for (mlir::Value sink : sinks_)
    results.push_back(known.lookup(sink));
  return results;
}

bool Epilogue::isLight(int64_t nr) const {
  constexpr size_t most = 6; // of operands, ops and results: a block holds tens of vectors, each with a copy of them
  std::optional<int64_t> columns = columns_.constant();
  auto isLightValue = [&](mlir::Value value) {
    ir::Sizes sizes = ir::sizesOf(value);
    mlir::Operation* op = value.getDefiningOp();
    if (dtypeOf(value) != dtypeOf(source_))
      return false;
    if (op)
      return mlir::isa<ir::ConstantOp, ir::AddOp, ir::SubOp, ir::MulOp, ir::NegOp, ir::ReluOp>(op);
    // No row of an operand needs a division to be found.
    return sizes == ir::sizesOf(source_) || sizes.empty() || ir::product(sizes) == sizes.back();
  };
  return columns && *columns % nr == 0 && dtypeOf(source_) != DType::BF16 && order_.size() + sinks_.size() <= most && llvm::all_of(order_, isLightValue);
}

// The lines of a result over an argument are in the cache: they have just been read.
bool Epilogue::isStoredInLines(mlir::Value sink) const {
  DType to = dtypeOf(sink);
  return byteSize(to) == byteSize(dtypeOf(source_)) && !contains(inPlace_, sink) && k_->storesLines(to, ir::sizesOf(source_));
}

Value Epilogue::plus(const Piece& piece, Value value, Value total) const {
  Value wide = k_->toFloat(value, k_->f64());
  if (piece.mask) // of lanes behind the row nothing is known
    wide = k_->choose(piece.mask, wide, k_->zero(wide.getType()));
  return k_->add(total, wide);
}

Values Epilogue::store(const Piece& piece, Value sums, llvm::ArrayRef<Value> bases, const Values& totals) const {
  Values results = apply(piece, sums), next;
  for (auto [i, result] : llvm::enumerate(results)) {
    if (isSummed(i)) {
      next.push_back(plus(piece, result, totals[next.size()]));
      continue;
    }
    DType to = dtypeOf(sinks_[i]);
    Value address = k_->at(bases[i], offset(piece), to);
    isStoredInLines(sinks_[i]) && !piece.mask ? k_->storeLines(result, address) : k_->storeElements(to, result, address, piece.mask);
  }
  return next;
}

Values Epilogue::loadTotals(int64_t lanes, llvm::ArrayRef<Value> bases) const {
  Values totals;
  for (Value base : bases.take_back(summed_))
    totals.push_back(k_->load(k_->vectorOf(k_->f64(), lanes), base));
  return totals;
}

void Epilogue::storeTotals(const Values& totals, llvm::ArrayRef<Value> bases) const {
  for (auto [total, base] : llvm::zip(totals, bases.take_back(summed_)))
    k_->store(total, base);
}

std::vector<FetchedRows> Epilogue::reads(const Piece& piece) const {
  KernelBuilder& k = *k_;
  Piece row = piece;
  row.column = k.index(0);
  std::vector<FetchedRows> all;
  constexpr int64_t line = 64;
  std::optional<int64_t> columns = columns_.constant();
  auto bytesOf = [&](DType dtype) { return columns.value_or(1) * static_cast<int64_t>(byteSize(dtype)); };
  if (columns && bytesOf(dtypeOf(source_)) <= kNarrowBytes && k.kernel().getKind() != "weight_update")
    return all;
  for (mlir::Value value : order_)
    if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value); argument && ir::sizesOf(argument) == ir::sizesOf(source_)) {
      DType dtype = dtypeOf(argument);
      all.push_back({dtype,
                     {k.at(k.input(argument.getArgNumber()), offset(row), dtype), k.size(columns_)},
                     0,
                     {},
                     1,
                     /*apart=*/false,
                     /*ends=*/bytesOf(dtype) % line != 0});
    }
  return all;
}

int64_t Epilogue::lanesOfPieces(const KernelBuilder& k, DType dtype, const Size& columns, int64_t nr) {
  int64_t lanes = k.lanes(dtype);
  return columns.constant().value_or(1) % nr == 0 && nr % (2 * lanes) == 0 ? 2 * lanes : lanes;
}

void Epilogue::storePanel(const Piece& first, Value rows, Value panel, int64_t nr, const Matrix& tile, llvm::ArrayRef<Value> bases) const {
  KernelBuilder& k = *k_;
  std::optional<int64_t> known = columns_.constant();
  Value start = k.mul(panel, nr);
  Value columns = known && *known % nr == 0 ? k.index(nr) : k.min(k.index(nr), k.sub(k.size(columns_), start));
  DType dtype = dtypeOf(source_);
  mlir::Type element = k.typeOf(dtype);
  int64_t lanes = summed_ ? k.lanes(dtype) : lanesOfPieces(k, dtype, columns_, nr);
  // Totals stay in registers meanwhile: through memory, one waits for the one before longer than for a root and a division of f32.
  Values totals = k.loop(k.index(0), rows, k.index(1), loadTotals(lanes, bases), [&](Value row, const Values& carried) {
    Value sums = k.at(tile.base, k.mul(row, tile.stride), element);
    auto piece = [&](Value column, Value mask, const Values& totals) {
      Piece place = first;
      place.row = k.add(first.row, row);
      place.column = k.add(start, column);
      place.lanes = lanes;
      place.mask = mask;
      // The tile is whole vectors: only the tensors' ends are masked.
      return store(place, k.load(k.vectorOf(element, place.lanes), k.at(sums, column, element)), bases, totals);
    };
    return k.vectorLoop(columns, lanes, carried, piece);
  });
  storeTotals(totals, bases);
}

Piece LightEpilogue::pieceAt(Value panel, Value row, int64_t column) const {
  KernelBuilder& k = *epilogue_.k_;
  Piece piece = first_;
  piece.row = k.add(first_.row, row);
  piece.column = k.add(k.mul(panel, nr_), column);
  return piece;
}

// A store to a line that is not in the cache would hold up those behind it.
void LightEpilogue::fetch(Value panel, Value row, int64_t column) const {
  Piece piece = pieceAt(panel, row, column);
  for (auto [i, base, sink] : llvm::enumerate(bases_, epilogue_.sinks_))
    if (!epilogue_.isSummed(i) && !epilogue_.isStoredInLines(sink))
      epilogue_.k_->prefetch(epilogue_.k_->at(base, epilogue_.offset(piece), dtypeOf(sink)), /*write=*/true);
}

void LightEpilogue::take(Value panel, Value row, int64_t column, Value sums) const {
  Piece piece = pieceAt(panel, row, column);
  piece.lanes = KernelBuilder::lanesOf(sums);
  epilogue_.storeTotals(epilogue_.store(piece, sums, bases_, epilogue_.loadTotals(piece.lanes, bases_)), bases_);
}

} // namespace moec::codegen::cpu
