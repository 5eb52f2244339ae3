// sums: rows of a tensor that belong together become one, in their order; then elementwise ops of the result's shape.
//   embedding_grad:     one item sorts the ids by entry, keeping their order; then for each (entry, block of columns): the entry's rows
//   expert_sums:        for each (expert, block of columns): the expert's rows
//   relative_bias_grad: for each (bucket, head): the keys of the bucket, a run of each query's row
#include "codegen/analysis/Positions.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/Schedule.h"
#include "codegen/cpu/SumsOfRows.h"

namespace moec::codegen::cpu {

namespace {

class Sums {
public:
  static mlir::FailureOr<Sums> of(KernelBuilder& k, ir::KernelOp kernel);

  void write(int64_t block);

private:
  Sums(KernelBuilder& k, ir::KernelOp kernel, mlir::Operation* op, unsigned rows, unsigned groups, Epilogue epilogue)
      : k_(k), kernel_(kernel), op_(op), rows_(rows), groups_(groups), epilogue_(std::move(epilogue)), dtype_(dtypeOf(op->getResult(0))) {}

  /// The rows that become row `index` of the result: the places [begin, end) of a list, which `place` turns into rows.
  struct Run {
    Value begin, end;
    std::function<Value(Value)> place;
  };
  void sumRuns(int64_t block, const Size& operations, llvm::function_ref<Run(Value index)> runOf);
  void sumColumns(const Run& run, Value index, Value column, int64_t vectors, Value mask);
  void finish(Value index, Value column, Value sum, Value mask);

  void embedding(ir::EmbeddingGradOp op, int64_t block);
  void sortIds(ir::EmbeddingGradOp op, unsigned ends, unsigned list);
  void experts(ir::ExpertSumsOp op, int64_t block);
  void buckets(ir::RelativeBiasGradOp op, int64_t block);
  Value sumOfBucket(ir::RelativeBiasGradOp op, Value bucket, Value head);
  Value addRun(Value sums, Value base, Value begin, Value end);

  Value read(Value list, Value i) { return RoutingView::element(k_, list, i); }
  void write(Value list, Value i, Value number) { k_.store(k_.toInteger(number, k_.i32()), k_.at(list, i, k_.i32())); }

  KernelBuilder& k_;
  ir::KernelOp kernel_;
  mlir::Operation* op_;
  unsigned rows_, groups_; // inputs: what is summed, and what tells where (ids, a routing)
  Epilogue epilogue_;
  DType dtype_;
};

/// The one op of sums in the kernel's body; null with a diagnostic when there is not exactly one.
mlir::Operation* sumOf(ir::KernelOp kernel) {
  mlir::Operation* found = nullptr;
  for (mlir::Operation& op : kernel.getBody().front()) {
    if (!mlir::isa<ir::EmbeddingGradOp, ir::ExpertSumsOp, ir::RelativeBiasGradOp>(op))
      continue;
    if (found) {
      kernel.emitError() << "internal: a kernel of kind \"sums\" holds two ops, " << found->getName() << " and " << op.getName() << ": it takes one";
      return nullptr;
    }
    found = &op;
  }
  if (!found)
    kernel.emitError() << "internal: a kernel of kind \"sums\" holds no moe.embedding_grad, moe.expert_sums or moe.relative_bias_grad";
  return found;
}

mlir::FailureOr<Sums> Sums::of(KernelBuilder& k, ir::KernelOp kernel) {
  mlir::Operation* op = sumOf(kernel);
  if (!op)
    return mlir::failure();
  auto ofIds = mlir::dyn_cast<ir::EmbeddingGradOp>(op);
  auto rows = inputOf(kernel, ofIds ? mlir::Value(ofIds.getDy()) : op->getOperand(0), "what is summed");
  auto groups = op->getNumOperands() == 1 ? rows : inputOf(kernel, ofIds ? mlir::Value(ofIds.getIds()) : op->getOperand(1), "what tells the rows apart");
  Values sinks(yieldOf(kernel)->getOperands());
  auto epilogue = Epilogue::make(k, op->getResult(0), sinks, 0);
  if (mlir::failed(rows) || mlir::failed(groups) || mlir::failed(epilogue))
    return mlir::failure();
  return Sums(k, kernel, op, *rows, *groups, std::move(*epilogue));
}

void Sums::write(int64_t block) {
  if (auto embedding = mlir::dyn_cast<ir::EmbeddingGradOp>(op_))
    this->embedding(embedding, block);
  else if (auto experts = mlir::dyn_cast<ir::ExpertSumsOp>(op_))
    this->experts(experts, block);
  else
    buckets(mlir::cast<ir::RelativeBiasGradOp>(op_), block);
}

//===--- runs of rows ---===//

/// A stage whose items are so many blocks of columns of the result's rows, one behind the other: an item writes one stretch of memory.
void Sums::sumRuns(int64_t block, const Size& operations, llvm::function_ref<Run(Value index)> runOf) {
  ir::Sizes sizes = ir::sizesOf(op_->getResult(0));
  int64_t width = kVectorsOfSums * k_.lanes(dtype_);
  Size columns = sizes.back(), groups = Size::ceilDiv(columns, width);
  k_.stage(Size::ceilDiv(sizes.front() * groups, block), operations, [&](Value item) {
    Value first = k_.mul(item, block), last = k_.min(k_.add(first, block), k_.size(sizes.front() * groups));
    k_.loop(first, last, k_.index(1), [&](Value place) {
      Value index = k_.div(place, k_.size(groups)), column = k_.mul(k_.rem(place, k_.size(groups)), width);
      Value left = k_.min(k_.sub(k_.size(columns), column), k_.index(width));
      Run run = runOf(index);
      Value isWhole = k_.compare(ir::Predicate::EQ, left, k_.index(width));
      k_.when(isWhole, [&] { sumColumns(run, index, column, kVectorsOfSums, {}); });
      k_.when(k_.notOf(isWhole),
              [&] { k_.vectorLoop(left, k_.lanes(dtype_), [&](Value i, Value mask) { sumColumns(run, index, k_.add(column, i), 1, mask); }); });
    });
  });
}

void Sums::sumColumns(const Run& run, Value index, Value column, int64_t vectors, Value mask) {
  int64_t lanes = k_.lanes(dtype_);
  Value width = k_.size(ir::sizesOf(op_->getResult(0)).back());
  auto columnOf = [&](int64_t vector) { return k_.add(column, vector * lanes); };
  Values zeros(vectors, k_.zero(k_.vectorOf(k_.typeOf(dtype_), lanes)));
  Values sums = k_.loop(run.begin, run.end, k_.index(1), zeros, [&](Value i, const Values& carried) {
    Value start = k_.mul(run.place(i), width);
    Values next;
    for (int64_t v = 0; v < vectors; ++v)
      next.push_back(k_.add(carried[v], k_.loadElements(dtype_, k_.at(k_.input(rows_), k_.add(start, columnOf(v)), dtype_), lanes, mask)));
    return next;
  });
  for (int64_t v = 0; v < vectors; ++v)
    finish(index, columnOf(v), sums[v], mask);
}

void Sums::finish(Value index, Value column, Value sum, Value mask) {
  Piece piece{{}, index, {}, column, KernelBuilder::lanesOf(sum), mask};
  for (auto [i, result] : llvm::enumerate(epilogue_.apply(piece, k_.roundTo(dtype_, sum)))) {
    DType to = dtypeOf(yieldOf(kernel_)->getOperand(i));
    k_.storeElements(to, result, k_.at(k_.output(i), epilogue_.offset(piece), to), mask);
  }
}

void Sums::experts(ir::ExpertSumsOp op, int64_t block) {
  Size operations = ir::product(ir::sizesOf(mlir::Value(op.getRows())));
  sumRuns(block, operations, [&](Value expert) {
    RoutingView routing = RoutingView::of(k_, op.getRouting(), k_.input(groups_));
    Value offsets = routing.offsets(k_);
    return Run{read(offsets, expert), read(offsets, k_.add(expert, 1)), [](Value row) { return row; }};
  });
}

//===--- embedding_grad ---===//

void Sums::embedding(ir::EmbeddingGradOp op, int64_t block) {
  Size ids = ir::product(ir::sizesOf(mlir::Value(op.getIds()))), entries = static_cast<int64_t>(op.getEntries());
  unsigned ends = k_.addWorkspace((entries + Size(2)) * Size(4)), list = k_.addWorkspace(ids * Size(4));
  sortIds(op, ends, list);
  Size width = ir::sizesOf(mlir::Value(op.getDy())).back();
  sumRuns(block, (ids + entries) * width, [&](Value entry) {
    Value begin = read(k_.workspace(ends), entry), end = read(k_.workspace(ends), k_.add(entry, 1));
    return Run{begin, end, [this, list](Value i) { return read(k_.workspace(list), i); }};
  });
}

/// Sorts by counting: `list` holds the places of the ids, those of entry v at [ends[v], ends[v + 1]), in their order. Ids that are no entry, which
/// callers refuse, are left out.
void Sums::sortIds(ir::EmbeddingGradOp op, unsigned ends, unsigned list) {
  Size ids = ir::product(ir::sizesOf(mlir::Value(op.getIds())));
  int64_t entries = static_cast<int64_t>(op.getEntries());
  DType dtype = dtypeOf(op.getIds());
  k_.stage(Size(1), ids * Size(4) + Size(2 * entries), [&](Value) {
    Value counts = k_.workspace(ends), zero = k_.index(0), one = k_.index(1);
    auto eachId = [&](llvm::function_ref<void(Value i, Value id)> visit) {
      k_.loop(zero, k_.size(ids), one, [&](Value i) {
        Value id = k_.toInteger(k_.loadElements(dtype, k_.at(k_.input(groups_), i, dtype), 1), k_.i64());
        k_.when(k_.compareUnsigned(ir::Predicate::LT, id, k_.index(entries)), [&] { visit(i, id); });
      });
    };
    k_.loop(zero, k_.index(entries + 2), one, [&](Value i) { write(counts, i, zero); });
    // Two places behind the entry, so that where it begins stands one behind it, and moves on to where it ends.
    eachId([&](Value, Value id) { write(counts, k_.add(id, 2), k_.add(read(counts, k_.add(id, 2)), one)); });
    k_.loop(one, k_.index(entries + 2), one, Values{zero}, [&](Value i, const Values& carried) {
      Value sum = k_.add(carried[0], read(counts, i));
      write(counts, i, sum);
      return Values{sum};
    });
    eachId([&](Value i, Value id) {
      Value next = k_.add(id, 1), place = read(counts, next);
      write(k_.workspace(list), place, i);
      write(counts, next, k_.add(place, one));
    });
  });
}

//===--- relative_bias_grad ---===//

void Sums::buckets(ir::RelativeBiasGradOp op, int64_t block) {
  ir::Sizes sizes = ir::sizesOf(op_->getResult(0)); // (buckets, heads)
  Size pairs = ir::product(sizes);
  k_.stage(Size::ceilDiv(pairs, block), ir::product(ir::sizesOf(mlir::Value(op.getDy()))), [&](Value item) {
    Value first = k_.mul(item, block), last = k_.min(k_.add(first, block), k_.size(pairs));
    k_.loop(first, last, k_.index(1), [&](Value pair) {
      Value bucket = k_.div(pair, k_.size(sizes.back())), head = k_.rem(pair, k_.size(sizes.back()));
      finish(bucket, head, k_.toFloat(sumOfBucket(op, bucket, head), k_.typeOf(dtype_)), {});
    });
  });
}

/// Adds the elements [begin, end) of a row, in f64: there are as many as pairs of tokens.
Value Sums::addRun(Value sums, Value base, Value begin, Value end) {
  int64_t lanes = KernelBuilder::lanesOf(sums);
  auto wide = [&](Value i, Value mask) { return k_.toFloat(k_.loadElements(dtype_, k_.at(base, i, dtype_), lanes, mask), k_.f64()); };
  Value whole = k_.add(begin, k_.mul(k_.div(k_.max(k_.sub(end, begin), k_.index(0)), lanes), lanes));
  sums = k_.loop(begin, whole, k_.index(lanes), {sums}, [&](Value i, const Values& carried) { return Values{k_.add(carried[0], wide(i, {}))}; })[0];
  Value mask = k_.mask(k_.sub(end, whole), lanes);
  return k_.add(sums, k_.choose(mask, wide(whole, mask), k_.zero(sums.getType())));
}

Value Sums::sumOfBucket(ir::RelativeBiasGradOp op, Value bucket, Value head) {
  RelativeBuckets rule = RelativeBuckets::of(op);
  // Distances of bucket b of one direction: [bounds[b], bounds[b + 1]).
  std::vector<int32_t> bounds{0};
  bounds.insert(bounds.end(), rule.starts.begin(), rule.starts.begin() + (rule.count - 1));
  bounds.push_back(std::numeric_limits<int32_t>::max());
  auto type = mlir::RankedTensorType::get({static_cast<int64_t>(bounds.size())}, mlir::IntegerType::get(op.getContext(), 32));
  Value table = k_.constantData(mlir::DenseElementsAttr::get(type, llvm::ArrayRef(bounds)));
  Value zero = k_.index(0), isAhead = k_.compare(ir::Predicate::GE, bucket, k_.index(rule.count)); // with `bidirectional`, keys behind the query
  Value own = k_.choose(isAhead, k_.sub(bucket, rule.count), bucket), low = read(table, own), high = read(table, k_.add(own, 1));
  // Without it, all keys behind the query are at distance 0.
  Value takesAhead = rule.bidirectional ? Value() : k_.compare(ir::Predicate::EQ, own, zero);

  ir::Sizes sizes = ir::sizesOf(mlir::Value(op.getDy())); // (heads, Nq, Nk)
  Value queries = k_.size(sizes[1]), keys = k_.size(sizes[2]), shift = k_.sub(keys, queries);
  int64_t lanes = k_.lanes(DType::F64);
  Value none = k_.zero(k_.vectorOf(k_.f64(), lanes));
  Value sums = k_.loop(zero, queries, k_.index(1), {none}, [&](Value query, const Values& carried) {
    Value at = k_.add(query, shift); // where the query stands
    Value begin = k_.choose(isAhead, k_.add(at, k_.max(low, k_.index(1))), k_.add(k_.sub(at, high), 1));
    Value end = k_.choose(isAhead, k_.add(at, high), k_.add(k_.sub(at, low), 1));
    if (takesAhead)
      end = k_.choose(takesAhead, keys, end);
    begin = k_.max(begin, zero);
    Value base = k_.at(k_.input(rows_), k_.mul(k_.add(k_.mul(head, queries), query), keys), dtype_);
    return Values{addRun(carried[0], base, begin, k_.min(end, keys))};
  })[0];
  return k_.sumLanes(sums);
}

} // namespace

mlir::DictionaryAttr scheduleSums(ir::KernelOp kernel, const CpuTarget& target) {
  mlir::Operation* op = sumOf(kernel);
  if (!op)
    return nullptr;
  // Entries of a table have few rows or none: an item writes some of their blocks of columns. Experts and buckets have many.
  int64_t columnBytes = kVectorsOfSums * target.vectorBytes;
  BlockSchedule schedule{mlir::isa<ir::EmbeddingGradOp>(op) ? kItemBytes / columnBytes : 1};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildSums(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  auto sums = Sums::of(k, kernel);
  if (mlir::failed(schedule) || mlir::failed(sums))
    return mlir::failure();
  sums->write(schedule->block);
  return mlir::success();
}

} // namespace moec::codegen::cpu
