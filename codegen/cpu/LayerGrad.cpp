// moe.kernel of kind `layer_grad`: the way back through a layer's experts.
//   order of the blocks:                  the first ones of all experts, then the second ones, ...
//   for each block of an expert's rows:   for each group of them
//                                           rows of dy and of x by the routing's list, what is made of dy elementwise
//                                           those of dy x panels, what is made of the products elementwise; per row the sum of some of it
//                                           the block's sums += transposed rows x rows, and of rows alone
//   for each expert, part of its results: the sums of its blocks, in their order, in f64
// Blocks are a matter of the routing and the schedule: bits do not depend on the number of threads.
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/LayerGradSchedule.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/SumsOfRows.h"

#include "llvm/ADT/SetVector.h"

namespace moec::codegen::cpu {
namespace {

using Source = LayerGradPlan::Source;

constexpr int64_t kJoinedRows = 8; // of a gradient, in an item that adds up blocks
constexpr int64_t kSumsAlong = 8;  // vectors of a row whose sums are taken as it is gathered: half of the fewest registers

class LayerGradWriter {
public:
  LayerGradWriter(KernelBuilder& k, LayerGradPlan plan, const LayerGradSchedule& schedule) : k_(k), plan_(std::move(plan)), schedule_(schedule) {}
  mlir::LogicalResult write();

private:
  /// Rows of a group, in scratch: whole panels wide, and a line apart from the next, so that they spread over L1.
  struct Buffer {
    Value base;
    int64_t stride;
  };
  /// Values of rows that an epilogue makes.
  struct Made {
    llvm::SmallVector<size_t> places;
    std::optional<Epilogue> epilogue;
    llvm::SmallVector<size_t> sums; // of the plan's, those that are added up as the rows are made
  };

  int64_t whole(int64_t columns) const { return ceilDiv(columns, schedule_.nr) * schedule_.nr; }
  mlir::LogicalResult makeEpilogue(Made& made, Source source, mlir::Value from);
  void findRowInputs(Values open);
  bool isTerm(size_t place) const { return llvm::is_contained(plan_.terms, place); }
  bool isKept(size_t place) const;
  Value at(size_t place, Value row, Value column) { return k_.at(buffers_[place].base, k_.add(k_.mul(row, buffers_[place].stride), column), plan_.dtype); }
  void layOut();
  void order();
  void block(Value item);
  bool isSummedAlong(size_t place) const;
  void fetch(Value row, Value rows);
  Values sumsBefore(const Made& made, Value partial, Value fresh, Value first, int64_t columns, int64_t lanes);
  void storeSumsOf(const Made& made, Value partial, Value first, int64_t columns, int64_t lanes, const Values& sums);
  void gather(Value rows, Value expert, Value partial, Value fresh);
  void multiplyRows(Value rows, Value expert, Value partial, Value fresh);
  void apply(const Made& made, const Piece& piece, Value row, Value source, llvm::MutableArrayRef<Value> sums);
  void addUp(Value rows, Value partial, Value fresh);
  void addUpRows(Value rows, Value partial, Value fresh);
  void join();
  void joinElements(Value expert, int64_t offset, Value first, Value count, Value address);

  KernelBuilder& k_;
  LayerGradPlan plan_;
  LayerGradSchedule schedule_;
  Size mostBlocks_;
  Made ofGradient_, ofProduct_;
  llvm::SetVector<unsigned> readBehind_;          // inputs, a row of each for each row of the product
  int64_t partial_ = 0;                           // elements of a block's sums
  llvm::SmallVector<int64_t> grads_, sums_;       // where each begins among them
  unsigned workspace_ = 0, order_ = 0, ends_ = 0; // sums of the blocks; the blocks that items are, -1: none; of the experts before each, how many blocks
  // Of the group being written:
  llvm::SmallVector<Buffer> buffers_;
  Value start_, weights_, totals_; // its first row; of each row the choice's weight, and a vector of what its terms add up to
};

/// Whether a value's rows are read behind the ops that make them.
bool LayerGradWriter::isKept(size_t place) const {
  return place == 0 || llvm::any_of(plan_.weightGrads, [&](const auto& grad) { return grad.dy == place || grad.x == place; }) ||
         (!isSummedAlong(place) && llvm::any_of(plan_.sums, [&](const auto& sum) { return sum.rows == place; }));
}

/// Whether sums of a value's rows are kept in registers where the rows are made: those of whole panels, or of a narrow gathered row.
bool LayerGradWriter::isSummedAlong(size_t place) const {
  const LayerGradPlan::Rows& rows = plan_.rows[place];
  return (rows.source == Source::Product && plan_.hidden() % schedule_.nr == 0) ||
         (rows.source == Source::Gradient && ceilDiv(rows.columns, k_.lanes(plan_.dtype)) <= kSumsAlong);
}

mlir::LogicalResult LayerGradWriter::makeEpilogue(Made& made, Source source, mlir::Value from) {
  Values sinks;
  for (auto [place, rows] : llvm::enumerate(plan_.rows))
    if (rows.source == source) {
      made.places.push_back(place);
      sinks.push_back(rows.value);
    }
  for (auto [i, sum] : llvm::enumerate(plan_.sums))
    if (plan_.rows[sum.rows].source == source && isSummedAlong(sum.rows))
      made.sums.push_back(i);
  std::vector<HeldValue> held;
  if (plan_.ofRows)
    held.push_back({plan_.ofRows.getResult(), [this](const Piece& piece) {
                      Value weight = k_.at(weights_, k_.sub(piece.row, start_), plan_.dtype);
                      return k_.broadcast(k_.loadElements(plan_.dtype, weight, 1), piece.lanes);
                    }});
  auto epilogue = Epilogue::make(k_, from, sinks, 0, std::move(held));
  if (failed(epilogue))
    return mlir::failure();
  made.epilogue = *epilogue;
  if (source == Source::Product)
    findRowInputs(sinks);
  return mlir::success();
}

/// The arguments with the product's rows, of which some values are made elementwise.
void LayerGradWriter::findRowInputs(Values open) {
  llvm::DenseSet<mlir::Value> seen;
  while (!open.empty()) {
    mlir::Value value = open.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value); argument && value.getType() == plan_.product.getResult().getType())
      readBehind_.insert(argument.getArgNumber());
    else if (mlir::Operation* op = value.getDefiningOp(); op && ir::isElementwise(op))
      open.append(op->operand_begin(), op->operand_end());
  }
}

/// A block's sums: tiles of whole panels, and vectors.
void LayerGradWriter::layOut() {
  for (const auto& grad : plan_.weightGrads) {
    grads_.push_back(partial_);
    partial_ += plan_.rows[grad.dy].columns * whole(plan_.rows[grad.x].columns);
  }
  for (const auto& sum : plan_.sums) {
    sums_.push_back(partial_);
    partial_ += whole(plan_.rows[sum.rows].columns);
  }
  workspace_ = k_.addWorkspace(bytesOf(plan_.dtype, mostBlocks_ * Size(partial_)));
  order_ = k_.addWorkspace(mostBlocks_ * Size(4));
  ends_ = k_.addWorkspace(Size(plan_.experts + 1) * Size(4));
}

/// Tokens enter their experts one behind the other: side by side, half of the blocks are of about half of the tokens, as the halves of other launches' items.
/// Items without a block are spread among the others.
void LayerGradWriter::order() {
  k_.stage(1, mostBlocks_ * Size(8), [&](Value) {
    auto write = [&](Value list, Value i, Value value) { k_.store(k_.toInteger(value, k_.i32()), k_.at(list, i, k_.i32())); };
    RoutingView routing = RoutingView::of(k_, plan_.product.getRouting(), k_.input(plan_.routing));
    Value zero = k_.index(0), one = k_.index(1), experts = k_.index(plan_.experts), items = k_.size(mostBlocks_), table = k_.workspace(order_);
    Value ends = k_.workspace(ends_);
    write(ends, zero, zero);
    Values counts = k_.loop(zero, experts, one, {zero, zero}, [&](Value expert, const Values& before) {
      Value rows = k_.sub(RoutingView::element(k_, routing.offsets(k_), k_.add(expert, 1)), RoutingView::element(k_, routing.offsets(k_), expert));
      Value blocks = k_.div(k_.add(rows, schedule_.block - 1), schedule_.block), end = k_.add(before[0], blocks);
      write(ends, k_.add(expert, 1), end);
      return Values{end, k_.max(before[1], blocks)};
    });
    k_.loop(zero, items, one, [&](Value item) { write(table, item, k_.index(-1)); });
    k_.loop(zero, counts[1], one, {zero}, [&](Value number, const Values& carried) {
      return k_.loop(zero, experts, one, carried, [&](Value expert, const Values& before) {
        Value block = k_.add(RoutingView::element(k_, ends, expert), number),
              isBlock = k_.compare(ir::Predicate::LT, block, RoutingView::element(k_, ends, k_.add(expert, 1)));
        k_.when(isBlock, [&] { write(table, k_.div(k_.mul(before[0], items), counts[0]), block); });
        return Values{k_.choose(isBlock, k_.add(before[0], one), before[0])};
      });
    });
  });
}

/// Stores what an epilogue makes of a piece, adds it to the row's terms, and to the sums of the piece's columns.
void LayerGradWriter::apply(const Made& made, const Piece& piece, Value row, Value source, llvm::MutableArrayRef<Value> sums) {
  for (auto [place, result] : llvm::zip(made.places, made.epilogue->apply(piece, source))) {
    if (isKept(place))
      k_.storeElements(plan_.dtype, result, at(place, row, piece.column), piece.mask);
    for (auto [given, number] : plan_.given)
      if (given == place)
        k_.storeElements(plan_.dtype, result, k_.at(k_.output(number), made.epilogue->offset(piece), plan_.dtype), piece.mask);
    for (auto [i, sum] : llvm::zip(made.sums, sums))
      if (plan_.sums[i].rows == place)
        sum = k_.add(sum, result);
    if (!isTerm(place))
      continue;
    Value term = piece.mask ? k_.choose(piece.mask, result, k_.zero(result.getType())) : result;
    int64_t lanes = k_.lanes(plan_.dtype);
    Value address = k_.at(totals_, k_.mul(row, lanes), plan_.dtype), total = k_.load(k_.vectorOf(k_.typeOf(plan_.dtype), lanes), address);
    for (int64_t first = 0; first < piece.lanes; first += lanes)
      total = k_.add(total, k_.part(term, first, lanes));
    k_.store(total, address);
  }
}

/// Of each of the sums that go along, the vectors of `columns` columns from `first` on: what the groups before have left, or zeros. Sums have room for whole
/// panels.
Values LayerGradWriter::sumsBefore(const Made& made, Value partial, Value fresh, Value first, int64_t columns, int64_t lanes) {
  mlir::Type vector = k_.vectorOf(k_.typeOf(plan_.dtype), lanes);
  Values sums;
  for (int64_t column = 0; column < columns; column += lanes)
    for (size_t i : made.sums) {
      Value address = k_.at(partial, k_.add(first, sums_[i] + column), plan_.dtype);
      sums.push_back(k_.choose(fresh, k_.zero(vector), k_.load(vector, address)));
    }
  return sums;
}

void LayerGradWriter::storeSumsOf(const Made& made, Value partial, Value first, int64_t columns, int64_t lanes, const Values& sums) {
  size_t next = 0;
  for (int64_t column = 0; column < columns; column += lanes)
    for (size_t i : made.sums)
      k_.store(sums[next++], k_.at(partial, k_.add(first, sums_[i] + column), plan_.dtype));
}

/// Fetches what is read of a few rows further on, which lie apart, and what stands behind this row's product: in a step other launches have pushed it out.
void LayerGradWriter::fetch(Value row, Value rows) {
  constexpr int64_t ahead = 8, line = 64;
  auto lines = [&](Value base, Value first, int64_t columns) {
    for (int64_t byte = 0; byte < columns * static_cast<int64_t>(byteSize(plan_.dtype)); byte += line)
      k_.prefetch(k_.at(k_.at(base, k_.mul(first, columns), plan_.dtype), k_.index(byte), k_.i8()));
  };
  RoutingView routing = RoutingView::of(k_, plan_.product.getRouting(), k_.input(plan_.routing));
  Value next = k_.add(start_, k_.min(k_.add(row, ahead), k_.sub(rows, 1)));
  Value token = k_.div(RoutingView::element(k_, routing.rowList(k_), next), plan_.choices);
  for (const LayerGradPlan::Rows& of : plan_.rows)
    if (of.source == Source::Tokens)
      lines(k_.input(of.input), token, of.columns);
  for (unsigned input : readBehind_)
    lines(k_.input(input), k_.add(start_, row), plan_.hidden());
}

void LayerGradWriter::gather(Value rows, Value expert, Value partial, Value fresh) {
  RoutingView routing = RoutingView::of(k_, plan_.product.getRouting(), k_.input(plan_.routing));
  DType dtype = plan_.dtype;
  int64_t lanes = k_.lanes(dtype), summed = ofGradient_.sums.empty() ? 0 : plan_.width();
  mlir::Type vector = k_.vectorOf(k_.typeOf(dtype), lanes);
  Values before = sumsBefore(ofGradient_, partial, fresh, k_.index(0), summed, lanes);
  Values after = k_.loop(k_.index(0), rows, k_.index(1), before, [&](Value row, const Values& carried) {
    Values sums = carried;
    fetch(row, rows);
    Value place = k_.add(start_, row), choice = RoutingView::element(k_, routing.rowList(k_), place), token = k_.div(choice, plan_.choices);
    if (plan_.ofRows)
      k_.storeElements(dtype, k_.loadElements(dtype, k_.at(k_.input(plan_.weights), choice, dtype), 1), k_.at(weights_, row, dtype));
    k_.store(k_.zero(vector), k_.at(totals_, k_.mul(row, lanes), dtype));
    for (auto [i, of] : llvm::enumerate(plan_.rows)) {
      if (of.source != Source::Tokens)
        continue;
      Value from = k_.at(k_.input(of.input), k_.mul(token, of.columns), dtype);
      auto piece = [&, i = i](Value column, Value mask, llvm::MutableArrayRef<Value> ofPiece) {
        Value elements = k_.loadElements(dtype, k_.at(from, column, dtype), lanes, mask);
        k_.storeElements(dtype, elements, at(i, row, column), mask);
        if (i == 0)
          apply(ofGradient_, {{}, place, expert, column, lanes, mask}, row, elements, ofPiece);
      };
      if (i > 0 || sums.empty()) {
        k_.vectorLoop(k_.index(of.columns), lanes, [&](Value column, Value mask) { piece(column, mask, {}); });
        continue;
      }
      size_t each = ofGradient_.sums.size(), next = 0;
      for (int64_t column = 0; column < of.columns; column += lanes, next += each)
        piece(k_.index(column), column + lanes > of.columns ? k_.mask(k_.index(of.columns - column), lanes) : Value(),
              llvm::MutableArrayRef<Value>(sums).slice(next, each));
    }
    return sums;
  });
  storeSumsOf(ofGradient_, partial, k_.index(0), summed, lanes, after);
}

void LayerGradWriter::multiplyRows(Value rows, Value expert, Value partial, Value fresh) {
  DType dtype = plan_.dtype;
  int64_t nr = schedule_.nr, lanes = k_.lanes(dtype), depth = plan_.width(), panels = *plan_.w.panels(nr).constant();
  int64_t inPiece = Epilogue::lanesOfPieces(k_, dtype, Size(plan_.hidden()), nr);
  mlir::Type vector = k_.vectorOf(k_.typeOf(dtype), lanes), vectorOfPiece = k_.vectorOf(k_.typeOf(dtype), inPiece);
  RegisterBlock registers{dtype, schedule_.rows, nr / lanes, dtype};
  Matrix tile{k_.scratch(bytesOf(dtype, Size(schedule_.group * nr))), k_.index(nr)}, a{buffers_[0].base, k_.index(buffers_[0].stride)};
  Value weights = k_.at(k_.input(plan_.w.input), k_.mul(expert, panels * depth * nr), dtype);
  k_.loop(k_.index(0), k_.index(panels), k_.index(1), [&](Value panel) {
    multiply(k_, registers, rows, a, {k_.at(weights, k_.mul(panel, depth * nr), dtype), k_.index(nr)}, k_.index(depth), tile, false);
    Value first = k_.mul(panel, nr);
    int64_t summed = ofProduct_.sums.empty() ? 0 : nr;
    Values before = sumsBefore(ofProduct_, partial, fresh, first, summed, inPiece);
    Values after = k_.loop(k_.index(0), rows, k_.index(1), before, [&](Value row, const Values& carried) {
      Values sums = carried;
      auto piece = [&](Value column, Value mask, llvm::MutableArrayRef<Value> ofPiece) {
        Value source = k_.load(vectorOfPiece, k_.at(tile.base, k_.add(k_.mul(row, nr), column), dtype));
        apply(ofProduct_, {{}, k_.add(start_, row), expert, k_.add(first, column), inPiece, mask}, row, source, ofPiece);
      };
      if (sums.empty()) {
        Value columns = plan_.hidden() % nr == 0 ? k_.index(nr) : k_.min(k_.index(nr), k_.sub(k_.index(plan_.hidden()), first));
        k_.vectorLoop(columns, inPiece, [&](Value column, Value mask) { piece(column, mask, {}); });
      }
      size_t each = ofProduct_.sums.size(), next = 0;
      for (int64_t column = 0; column < summed; column += inPiece, next += each)
        piece(k_.index(column), {}, llvm::MutableArrayRef<Value>(sums).slice(next, each));
      return sums;
    });
    storeSumsOf(ofProduct_, partial, first, summed, inPiece, after);
  });
  if (plan_.ofChoices)
    k_.loop(0, rows, 1, [&](Value row) {
      Value total = k_.sumLanes(k_.load(vector, k_.at(totals_, k_.mul(row, lanes), dtype)));
      k_.storeElements(dtype, total, k_.at(k_.output(*plan_.ofChoices), k_.add(start_, row), dtype));
    });
}

/// Adds the group's part to the block's sums, or begins them with it.
void LayerGradWriter::addUp(Value rows, Value partial, Value fresh) {
  DType dtype = plan_.dtype;
  int64_t nr = schedule_.nr, lanes = k_.lanes(dtype);
  RegisterBlock registers{dtype, schedule_.rows, nr / lanes, dtype};
  for (auto [grad, begin] : llvm::zip(plan_.weightGrads, grads_)) {
    const Buffer &dy = buffers_[grad.dy], &x = buffers_[grad.x];
    int64_t columns = whole(plan_.rows[grad.x].columns);
    Matrix a{dy.base, k_.index(1), k_.index(dy.stride)};
    Value tiles = k_.at(partial, k_.index(begin), dtype);
    k_.loop(k_.index(0), k_.index(columns), k_.index(nr), [&](Value column) {
      multiply(k_, registers, k_.index(plan_.rows[grad.dy].columns), a, {k_.at(x.base, column, dtype), k_.index(x.stride)}, rows,
               {k_.at(tiles, column, dtype), k_.index(columns)}, true, fresh);
    });
  }
  addUpRows(rows, partial, fresh);
}

/// The same of sums of rows that do not go along. Rows and sums have room for whole vectors.
void LayerGradWriter::addUpRows(Value rows, Value partial, Value fresh) {
  DType dtype = plan_.dtype;
  int64_t lanes = k_.lanes(dtype);
  mlir::Type vector = k_.vectorOf(k_.typeOf(dtype), lanes);
  for (auto [sum, begin] : llvm::zip(plan_.sums, sums_)) {
    if (isSummedAlong(sum.rows))
      continue;
    k_.loop(k_.index(0), k_.index(plan_.rows[sum.rows].columns), k_.index(lanes), [&, begin = begin, place = sum.rows](Value column) {
      Value address = k_.at(partial, k_.add(column, begin), dtype);
      Value before = k_.choose(fresh, k_.zero(vector), k_.load(vector, address));
      Value after = k_.loop(k_.index(0), rows, k_.index(1), {before},
                            [&](Value row, const Values& carried) { return Values{k_.add(carried[0], k_.load(vector, at(place, row, column)))}; })[0];
      k_.store(after, address);
    });
  }
}

void LayerGradWriter::block(Value item) {
  DType dtype = plan_.dtype;
  int64_t line = 64 / static_cast<int64_t>(byteSize(dtype)), group = schedule_.group;
  RoutingView routing = RoutingView::of(k_, plan_.product.getRouting(), k_.input(plan_.routing));
  Value number = RoutingView::element(k_, k_.workspace(order_), item);
  ExpertBlock block = expertBlock(k_, routing, number, schedule_.block, schedule_.rows);
  weights_ = k_.scratch(bytesOf(dtype, Size(group)));
  totals_ = k_.scratch(bytesOf(dtype, Size(group * k_.lanes(dtype))));
  buffers_.clear();
  for (auto [place, rows] : llvm::enumerate(plan_.rows)) {
    int64_t stride = ceilDiv(whole(rows.columns), line) * line + line;
    buffers_.push_back({isKept(place) ? k_.scratch(bytesOf(dtype, Size(group * stride))) : Value(), stride});
  }
  k_.when(k_.compare(ir::Predicate::GE, block.expert, k_.index(0)), [&] {
    Value partial = k_.at(k_.workspace(workspace_), k_.mul(number, partial_), dtype);
    k_.loop(0, block.rows, group, [&](Value from) {
      Value rows = k_.min(k_.index(group), k_.sub(block.rows, from));
      start_ = k_.add(block.first, from);
      Value fresh = k_.compare(ir::Predicate::EQ, from, k_.index(0));
      gather(rows, block.expert, partial, fresh);
      multiplyRows(rows, block.expert, partial, fresh);
      addUp(rows, partial, fresh);
    });
  });
}

/// Elements [first, first + count) behind `offset` in the sums of all blocks of an expert, to where they go.
void LayerGradWriter::joinElements(Value expert, int64_t offset, Value first, Value count, Value address) {
  DType dtype = plan_.dtype;
  int64_t lanes = k_.lanes(dtype);
  Value begin = RoutingView::element(k_, k_.workspace(ends_), expert), end = RoutingView::element(k_, k_.workspace(ends_), k_.add(expert, 1));
  k_.vectorLoop(count, lanes, [&](Value i, Value mask) {
    Value sum = k_.loop(begin, end, k_.index(1), {k_.zero(k_.vectorOf(k_.f64(), lanes))}, [&](Value block, const Values& carried) {
      Value from = k_.add(k_.add(k_.mul(block, partial_), k_.index(offset)), k_.add(first, i));
      Value element = k_.loadElements(dtype, k_.at(k_.workspace(workspace_), from, dtype), lanes, mask);
      return Values{k_.add(carried[0], k_.toFloat(element, k_.f64()))};
    })[0];
    storeSums(k_, dtype, sum, k_.at(address, i, dtype), mask);
  });
}

void LayerGradWriter::join() {
  std::vector<StagePart> parts;
  for (auto [grad, begin] : llvm::zip(plan_.weightGrads, grads_)) {
    int64_t rows = plan_.rows[grad.dy].columns, columns = plan_.rows[grad.x].columns, items = ceilDiv(rows, kJoinedRows);
    parts.push_back({Size(plan_.experts * items), [this, rows, columns, items, begin = begin, result = grad.result](Value item) {
                       Value expert = k_.div(item, items), first = k_.mul(k_.rem(item, items), kJoinedRows);
                       k_.loop(first, k_.min(k_.add(first, kJoinedRows), k_.index(rows)), k_.index(1), [&](Value row) {
                         Value to = k_.mul(k_.add(k_.mul(expert, rows), row), columns);
                         joinElements(expert, begin, k_.mul(row, whole(columns)), k_.index(columns), k_.at(k_.output(result), to, plan_.dtype));
                       });
                     }});
  }
  for (auto [sum, begin] : llvm::zip(plan_.sums, sums_)) {
    int64_t columns = plan_.rows[sum.rows].columns;
    parts.push_back({Size(plan_.experts), [this, columns, begin = begin, result = sum.result](Value expert) {
                       joinElements(expert, begin, k_.index(0), k_.index(columns), k_.at(k_.output(result), k_.mul(expert, columns), plan_.dtype));
                     }});
  }
  if (!parts.empty())
    k_.stage(itemsOf(parts), mostBlocks_ * Size(partial_), [&](Value item) { writePart(k_, item, parts); });
}

mlir::LogicalResult LayerGradWriter::write() {
  if (failed(makeEpilogue(ofGradient_, Source::Gradient, plan_.gradient.getResult())) ||
      failed(makeEpilogue(ofProduct_, Source::Product, plan_.product.getResult())))
    return mlir::failure();
  mostBlocks_ = mostExpertBlocks(plan_.count, plan_.experts, schedule_.block);
  layOut();
  order();
  k_.stage(mostBlocks_, plan_.count * Size(plan_.operations()), [&](Value item) { block(item); });
  join();
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildLayerGrad(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = LayerGradPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = LayerGradSchedule::of(kernel, *plan, k.target());
  if (failed(schedule))
    return mlir::failure();
  return LayerGradWriter(k, *plan, *schedule).write();
}

mlir::DictionaryAttr scheduleLayerGrad(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = LayerGradPlan::of(kernel);
  if (failed(plan))
    return {};
  LayerGradSchedule schedule = chooseLayerGradSchedule(*plan, target);
  if (auto why = schedule.illegal(target, *plan)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
