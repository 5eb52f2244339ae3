#include "codegen/cpu/SumsOfRows.h"

#include "codegen/cpu/RoutingView.h"

namespace moec::codegen::cpu {

namespace {

unsigned numberOf(mlir::Value argument) { return mlir::cast<mlir::BlockArgument>(argument).getArgNumber(); }

} // namespace

//===--- parts of a stage ---===//

Size itemsOf(llvm::ArrayRef<StagePart> parts) {
  Size items = 0;
  for (const StagePart& part : parts)
    items = items + part.items;
  return items;
}

void writePart(KernelBuilder& k, Value item, llvm::ArrayRef<StagePart> parts) {
  Size first = 0;
  for (const StagePart& part : parts) {
    Value begin = k.size(first), end = k.size(first + part.items);
    Value isIts = k.bitAnd(k.compare(ir::Predicate::GE, item, begin), k.compare(ir::Predicate::LT, item, end));
    k.when(isIts, [&] { part.write(k.sub(item, begin)); });
    first = first + part.items;
  }
}

//===--- columns ---===//

Size columnBlocks(const KernelBuilder& k, DType dtype, const Size& columns) { return Size::ceilDiv(columns, kVectorsOfSums * k.lanes(dtype)); }

void sumColumns(KernelBuilder& k, const RowsInMemory& rows, Value block, llvm::function_ref<void(Value column, Value sum, Value mask)> use) {
  int64_t lanes = k.lanes(rows.dtype), width = kVectorsOfSums * lanes;
  Value first = k.mul(block, width), left = k.min(k.sub(k.size(rows.columns), first), k.index(width));
  auto sum = [&](Value column, int64_t vectors, Value mask) {
    Values zeros(static_cast<size_t>(vectors), k.zero(k.vectorOf(k.f64(), lanes)));
    Values sums = k.loop(rows.begin, rows.end, k.index(1), zeros, [&](Value row, const Values& carried) {
      Value start = k.add(k.mul(row, k.size(rows.columns)), column);
      Values next;
      for (auto [v, before] : llvm::enumerate(carried)) {
        Value address = k.at(rows.base, k.add(start, static_cast<int64_t>(v) * lanes), rows.dtype);
        next.push_back(k.add(before, k.toFloat(k.loadElements(rows.dtype, address, lanes, mask), k.f64())));
      }
      return next;
    });
    for (auto [v, whole] : llvm::enumerate(sums))
      use(k.add(column, static_cast<int64_t>(v) * lanes), whole, mask);
  };
  Value isWhole = k.compare(ir::Predicate::EQ, left, k.index(width));
  k.when(isWhole, [&] { sum(first, kVectorsOfSums, {}); });
  k.when(k.notOf(isWhole), [&] { k.vectorLoop(left, lanes, [&](Value i, Value mask) { sum(k.add(first, i), 1, mask); }); });
}

void storeSums(KernelBuilder& k, DType dtype, Value sums, Value address, Value mask) {
  k.storeElements(dtype, k.roundTo(dtype, k.toFloat(sums, k.typeOf(dtype))), address, mask);
}

//===--- beside a product ---===//

mlir::FailureOr<SumsBeside> SumsBeside::of(KernelBuilder& k) {
  SumsBeside beside(k, SumsOfRows::of(k.kernel()));
  for (const SumOfRows& sum : beside.sums_.sums)
    if (failed(rowsInput(k.kernel(), sum)))
      return mlir::failure();
  return beside;
}

std::optional<SumOfRows> SumsBeside::take(unsigned argument) {
  auto own = llvm::find_if(sums_.sums, [&](const SumOfRows& sum) { return numberOf(sum.rows) == argument; });
  if (own == sums_.sums.end())
    return std::nullopt;
  SumOfRows taken = *own;
  sums_.sums.erase(own);
  return taken;
}

StagePart SumsBeside::partOf(const SumOfRows& sum) {
  Size blocks = columnBlocks(k_, sum.dtype, sum.columns);
  return {Size(sum.groups) * blocks, [this, &sum, blocks](Value item) {
            Value group = k_.div(item, k_.size(blocks)), begin = k_.index(0), end = k_.size(sum.count);
            if (sum.routing) {
              Value offsets = RoutingView::of(k_, sum.routing, k_.input(numberOf(sum.routing))).offsets(k_);
              begin = RoutingView::element(k_, offsets, group);
              end = RoutingView::element(k_, offsets, k_.add(group, 1));
            }
            RowsInMemory rows{k_.input(numberOf(sum.rows)), sum.dtype, sum.columns, begin, end};
            sumColumns(k_, rows, k_.rem(item, k_.size(blocks)), [&](Value column, Value sums, Value mask) {
              Value place = k_.add(k_.mul(group, k_.size(sum.columns)), column);
              storeSums(k_, sum.dtype, sums, k_.at(k_.output(sum.result), place, sum.dtype), mask);
            });
          }};
}

void SumsBeside::stage(const Size& items, const Size& operations, KernelBuilder::Body product) {
  if (sums_.sums.empty())
    return k_.stage(items, operations, product);
  std::vector<StagePart> parts;
  for (const SumOfRows& sum : sums_.sums)
    parts.push_back(partOf(sum));
  parts.push_back({items, product});
  k_.stage(itemsOf(parts), operations + sums_.operations(), [&](Value item) { writePart(k_, item, parts); });
}

//===--- over the rows of a kernel ---===//

SumsOverRows::SumsOverRows(KernelBuilder& k, std::vector<SumOfRows> sums, Size items, int64_t block)
    : k_(k), sums_(std::move(sums)), items_(std::move(items)), block_(block), scratch_(sums_.size()) {
  for (const SumOfRows& sum : sums_)
    partials_.push_back(k_.addWorkspace(items_ * sum.columns * Size(static_cast<int64_t>(byteSize(DType::F64)))));
}

Value SumsOverRows::partialAt(size_t sum, Value item, Value column) {
  return k_.at(k_.workspace(partials_[sum]), k_.add(k_.mul(item, k_.size(sums_[sum].columns)), column), DType::F64);
}

Value SumsOverRows::scratchOf(size_t sum, Value row) {
  const SumOfRows& own = sums_[sum];
  if (!scratch_[sum])
    scratch_[sum] = k_.scratch(Size(block_ * static_cast<int64_t>(byteSize(own.dtype))) * own.columns);
  return k_.at(scratch_[sum], k_.mul(k_.rem(row, block_), k_.size(own.columns)), own.dtype);
}

void SumsOverRows::addRowsOf(size_t sum, Value item, const RowsInMemory& rows) {
  k_.loop(0, k_.size(columnBlocks(k_, rows.dtype, rows.columns)), 1, [&](Value block) {
    sumColumns(k_, rows, block, [&](Value column, Value sums, Value mask) { k_.storeElements(DType::F64, sums, partialAt(sum, item, column), mask); });
  });
}

void SumsOverRows::addRows(Value item, Value first, Value last) {
  for (auto [i, sum] : llvm::enumerate(sums_)) {
    auto argument = mlir::dyn_cast<mlir::BlockArgument>(sum.rows);
    RowsInMemory rows{argument ? k_.input(argument.getArgNumber()) : scratch_[i], sum.dtype, sum.columns, argument ? first : k_.index(0),
                      argument ? last : k_.sub(last, first)};
    addRowsOf(i, item, rows);
  }
}

void SumsOverRows::addShare(Value item) {
  for (auto [i, sum] : llvm::enumerate(sums_)) {
    Value each = k_.size(Size::ceilDiv(sum.count, items_)), begin = k_.mul(item, each), end = k_.min(k_.add(begin, each), k_.size(sum.count));
    RowsInMemory rows{k_.input(numberOf(sum.rows)), sum.dtype, sum.columns, begin, end};
    addRowsOf(i, item, rows);
  }
}

std::vector<StagePart> SumsOverRows::joinParts() {
  std::vector<StagePart> parts;
  for (auto [i, sum] : llvm::enumerate(sums_)) {
    parts.push_back({columnBlocks(k_, DType::F64, sum.columns), [this, i = i](Value block) {
                       const SumOfRows& own = sums_[i];
                       RowsInMemory rows{k_.workspace(partials_[i]), DType::F64, own.columns, k_.index(0), k_.size(items_)};
                       sumColumns(k_, rows, block, [&](Value column, Value sums, Value mask) {
                         storeSums(k_, own.dtype, sums, k_.at(k_.output(own.result), column, own.dtype), mask);
                       });
                     }});
  }
  return parts;
}

void SumsOverRows::joinStage() {
  Size operations = 0;
  for (const SumOfRows& sum : sums_)
    operations = operations + items_ * sum.columns;
  std::vector<StagePart> parts = joinParts();
  k_.stage(itemsOf(parts), operations, [&](Value item) { writePart(k_, item, parts); });
}

} // namespace moec::codegen::cpu
