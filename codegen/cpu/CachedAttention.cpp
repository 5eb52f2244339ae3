// moe.kernel of kind `cached_attention`: new tokens' attention to kept keys and values, and to their own.
//   for each (batch, head of keys, block of nr rows), a row being a query of one of the heads that share these keys:
//     for each block of keys, the kept ones first, then the new ones:
//       scores, their exponentials over the highest so far, times v, added to the sums so far, which are brought to the new highest
// Few rows, as a token at a time gives them, have scores (rows, keys): dot products along rows of keys. Many have scores (keys, rows): rows of keys times a
// panel of queries. Either way keys and values are read where they lie, each once.
#include "codegen/analysis/CachedPlans.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Product.h"
#include "codegen/cpu/VectorMath.h"

namespace moec::codegen::cpu {
namespace {

using ir::Predicate;

constexpr int64_t kFewRows = 4; // more are cheaper as a panel, most of whose lanes may be empty

class CachedAttention {
public:
  CachedAttention(KernelBuilder& k, const CachedAttentionPlan& plan, const CachedAttentionSchedule& schedule)
      : k_(k), plan_(plan), keys_(schedule.keys), nr_(schedule.nr), lanes_(k.lanes(plan.dtype)), computed_(sumType(plan.dtype)), element_(k.typeOf(plan.dtype)),
        vector_(k.vectorOf(element_, lanes_)), registers_{computed_, schedule.rows, nr_ / lanes_}, columnPanels_((plan.headDim + nr_ - 1) / nr_) {}

  void write() {
    Size panels = Size::ceilDiv(plan_.rows(), nr_), heads = plan_.batch * Size(plan_.keyHeads);
    Size operations = plan_.batch * Size(plan_.heads) * plan_.tokens * Size(plan_.context * 4 * plan_.headDim);
    k_.stage(heads * panels, operations, [&](Value item) { writeItem(item, panels); });
  }

private:
  /// Keys of one block and their values: where they begin, how far their rows lie apart, how many they are, and at which position the first stands.
  struct Block {
    Matrix keys, values;
    Value count, position;
  };

  void writeItem(Value item, const Size& panels);
  Block blockAt(Value number);
  Matrix rowsOf(Value kept, Value from, const Slice& slice, unsigned cache);
  void few(const Block& block);
  void many(const Block& block);
  void dotProducts(const Block& block, Value row, Value scores);
  void foldRow(const Block& block, Value row, Value scores);
  void foldColumns(const Block& block, int64_t vector);
  void addValues(const Block& block, const Matrix& weights);
  void finish();

  Value at(Value base, Value index) { return k_.at(base, index, element_); }
  Value lowest(mlir::Type type) { return k_.real(type, -kInfinity); }
  /// What brings sums over a highest score of `from` to one of `to`; 0 where there are none yet.
  Value factor(Value from, Value to) {
    Value none = k_.compare(Predicate::EQ, from, lowest(from.getType()));
    return k_.choose(none, k_.zero(from.getType()), exp(k_, k_.sub(from, to)));
  }
  /// What is taken from scores before exp: 0 where none so far is over -inf.
  Value shiftOf(Value most, mlir::Type type) { return k_.choose(k_.compare(Predicate::EQ, most, lowest(type)), k_.zero(type), most); }
  Value token(Value row) { return k_.div(k_.add(first_, row), plan_.sharing()); }
  int64_t keysStride() const { return (plan_.headDim + lanes_ - 1) / lanes_ * lanes_ + lanes_; } // of the widened copy
  Value scratchOf(int64_t elements) { return k_.scratch(bytesOf(computed_, Size(elements))); }

  KernelBuilder& k_;
  const CachedAttentionPlan& plan_;
  int64_t keys_, nr_, lanes_;
  DType computed_;
  mlir::Type element_, vector_;
  RegisterBlock registers_;
  int64_t columnPanels_;
  // Of the item.
  Value batch_, head_, first_, rows_, old_, fresh_;
  Matrix q_;                             // (rows, Dh)
  Value qPanel_;                         // (Dh, nr)
  Value most_, sums_, factors_, places_; // by row: highest score so far, sum of exponentials over it, what the last block brought them to, position
  Value total_;                          // (column panel, row, nr)
  Value scores_, keysCopy_, valuesCopy_;
};

void CachedAttention::writeItem(Value item, const Size& panels) {
  Value batchHead = k_.div(item, k_.size(panels));
  batch_ = k_.div(batchHead, plan_.keyHeads), head_ = k_.rem(batchHead, plan_.keyHeads);
  first_ = k_.mul(k_.rem(item, k_.size(panels)), nr_);
  rows_ = k_.min(k_.index(nr_), k_.sub(k_.size(plan_.rows()), first_));
  old_ = k_.load(k_.i64(), k_.input(plan_.position));
  fresh_ = k_.add(token(k_.sub(rows_, 1)), 1); // the last row's token sees so many new ones
  Value tokens = k_.size(plan_.tokens), width = k_.size(plan_.q.width);
  q_ = copyRows(k_, plan_.dtype, rows_, nr_, Size(plan_.headDim), [&](Value row) {
    Value column = k_.add(k_.size(plan_.q.start), k_.mul(k_.add(k_.mul(head_, plan_.sharing()), k_.rem(k_.add(first_, row), plan_.sharing())), plan_.headDim));
    return k_.at(k_.input(plan_.q.input), k_.add(k_.mul(k_.add(k_.mul(batch_, tokens), token(row)), width), column), plan_.dtype);
  });
  most_ = scratchOf(nr_), sums_ = scratchOf(nr_), factors_ = scratchOf(nr_), places_ = scratchOf(nr_);
  total_ = scratchOf(columnPanels_ * nr_ * nr_), scores_ = scratchOf(keys_ * nr_);
  k_.loop(0, k_.index(nr_), 1, [&](Value row) {
    k_.store(lowest(element_), at(most_, row));
    k_.store(k_.zero(element_), at(sums_, row));
    k_.store(k_.toFloat(k_.add(old_, token(row)), element_), at(places_, row));
  });
  k_.loop(0, k_.index(columnPanels_ * nr_ * nr_), lanes_, [&](Value i) { k_.store(k_.zero(vector_), at(total_, i)); });

  bool alwaysFew = plan_.bias.has_value(); // a bias follows the keys of a row
  Value isFew = k_.compare(Predicate::LE, rows_, k_.index(kFewRows));
  if (plan_.headDim % nr_ != 0)
    valuesCopy_ = scratchOf(keys_ * columnPanels_ * nr_);
  if (!alwaysFew) {
    qPanel_ = scratchOf(plan_.headDim * nr_);
    if (plan_.dtype == DType::BF16)
      keysCopy_ = scratchOf(keys_ * keysStride());
    k_.when(k_.notOf(isFew), [&] { packPanel(k_, computed_, q_, k_.index(0), rows_, k_.index(plan_.headDim), nr_, qPanel_); });
  }
  auto blocksOf = [&](Value count) { return k_.div(k_.add(count, keys_ - 1), keys_); };
  k_.loop(k_.index(0), k_.add(blocksOf(old_), blocksOf(fresh_)), k_.index(1), [&](Value number) {
    Block block = blockAt(number);
    if (alwaysFew)
      return few(block);
    k_.when(isFew, [&]() -> Values { return few(block), Values(); }, [&]() -> Values { return many(block), Values(); });
  });
  finish();
}

/// Rows of one head from row `from` on, of what is kept or of what is new.
Matrix CachedAttention::rowsOf(Value kept, Value from, const Slice& slice, unsigned cache) {
  int64_t width = plan_.cacheWidth();
  Value column = k_.mul(head_, plan_.headDim), newWidth = k_.size(slice.width);
  Value old = k_.add(k_.mul(k_.add(k_.mul(batch_, plan_.context), from), width), column);
  Value fresh = k_.add(k_.mul(k_.add(k_.mul(batch_, k_.size(plan_.tokens)), from), newWidth), k_.add(k_.size(slice.start), column));
  return {k_.choose(kept, k_.at(k_.input(cache), old, plan_.dtype), k_.at(k_.input(slice.input), fresh, plan_.dtype)),
          k_.choose(kept, k_.index(width), newWidth)};
}

CachedAttention::Block CachedAttention::blockAt(Value number) {
  Value oldBlocks = k_.div(k_.add(old_, keys_ - 1), keys_);
  Value kept = k_.compare(Predicate::LT, number, oldBlocks);
  Value from = k_.mul(k_.choose(kept, number, k_.sub(number, oldBlocks)), keys_);
  Value count = k_.min(k_.index(keys_), k_.sub(k_.choose(kept, old_, fresh_), from));
  return {rowsOf(kept, from, plan_.k, plan_.keys), rowsOf(kept, from, plan_.v, plan_.values), count, k_.choose(kept, from, k_.add(old_, from))};
}

//===--- few rows: scores (rows, keys) ---===//

void CachedAttention::few(const Block& block) {
  k_.loop(0, rows_, 1, [&](Value row) {
    Value scores = at(scores_, k_.mul(row, keys_));
    dotProducts(block, row, scores);
    foldRow(block, row, scores);
  });
  addValues(block, {scores_, k_.index(keys_)});
}

/// Of one query with the block's keys. Four keys at a time hide each other's latency.
void CachedAttention::dotProducts(const Block& block, Value row, Value scores) {
  int64_t chunks = (plan_.headDim + lanes_ - 1) / lanes_;
  bool hasTail = plan_.headDim % lanes_ != 0;
  Value tail = hasTail ? k_.mask(k_.index(plan_.headDim % lanes_), lanes_) : Value();
  auto maskOf = [&](int64_t chunk) { return hasTail && chunk + 1 == chunks ? tail : Value(); };
  Values query;
  for (int64_t chunk = 0; chunk < chunks; ++chunk)
    query.push_back(k_.loadElements(computed_, at(q_.base, k_.add(k_.mul(row, q_.stride), chunk * lanes_)), lanes_, maskOf(chunk)));
  auto some = [&](Value key, int64_t count) {
    Values sums(count, k_.zero(vector_));
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      for (int64_t u = 0; u < count; ++u) {
        Value place = k_.at(block.keys.base, k_.add(k_.mul(k_.add(key, u), block.keys.stride), chunk * lanes_), plan_.dtype);
        sums[u] = k_.fma(query[chunk], k_.loadElements(plan_.dtype, place, lanes_, maskOf(chunk)), sums[u]);
      }
    for (int64_t u = 0; u < count; ++u)
      k_.store(k_.sumLanes(sums[u]), at(scores, k_.add(key, u)));
  };
  Value whole = k_.mul(k_.div(block.count, 4), 4);
  k_.loop(k_.index(0), whole, k_.index(4), [&](Value key) { some(key, 4); });
  k_.loop(whole, block.count, k_.index(1), [&](Value key) { some(key, 1); });
}

/// The row's scores become exponentials over its highest so far, zeros where a token does not see a key.
/// A NaN may be lost among the highest: its exponential is one, and so are the sums.
void CachedAttention::foldRow(const Block& block, Value row, Value scores) {
  Value place = k_.add(old_, token(row));
  Value seen = k_.max(k_.index(0), k_.min(block.count, k_.add(k_.sub(place, block.position), 1)));
  auto inside = [&](Value i) { return k_.mask(k_.sub(seen, i), lanes_); };
  Value bias;
  if (plan_.bias) {
    Value head = plan_.bias->ofAllHeads ? k_.index(0) : k_.add(k_.mul(head_, plan_.sharing()), k_.rem(k_.add(first_, row), plan_.sharing()));
    Value line = k_.add(k_.mul(head, k_.size(plan_.tokens)), token(row));
    bias = k_.at(k_.input(plan_.bias->input), k_.add(k_.mul(line, plan_.context), block.position), plan_.dtype);
  }
  Value highest = k_.loop(k_.index(0), block.count, k_.index(lanes_), {lowest(vector_)}, [&](Value i, const Values& carried) {
    Value s = k_.mul(k_.load(vector_, at(scores, i)), k_.real(vector_, plan_.scale));
    if (bias)
      s = k_.add(s, k_.loadElements(plan_.dtype, k_.at(bias, i, plan_.dtype), lanes_, inside(i)));
    k_.store(s, at(scores, i));
    return Values{k_.larger(carried[0], k_.choose(inside(i), s, lowest(vector_)))};
  })[0];
  Value before = k_.load(element_, at(most_, row)), most = k_.max(before, k_.largestLane(highest));
  Value wide = k_.broadcast(shiftOf(most, element_), lanes_);
  Value sum = k_.loop(k_.index(0), block.count, k_.index(lanes_), {k_.zero(vector_)}, [&](Value i, const Values& carried) {
    Value power = k_.choose(inside(i), exp(k_, k_.sub(k_.load(vector_, at(scores, i)), wide)), k_.zero(vector_));
    k_.store(power, at(scores, i));
    return Values{k_.add(carried[0], power)};
  })[0];
  Value by = factor(before, most);
  k_.store(most, at(most_, row));
  k_.store(by, at(factors_, row));
  k_.store(k_.add(k_.mul(k_.load(element_, at(sums_, row)), by), k_.sumLanes(sum)), at(sums_, row));
}

//===--- many rows: scores (keys, nr) ---===//

void CachedAttention::many(const Block& block) {
  Matrix keys = block.keys;
  if (plan_.dtype == DType::BF16) {
    keys = {keysCopy_, k_.index(keysStride())};
    copyBlock(k_, plan_.dtype, block.keys, block.count, k_.index(plan_.headDim), lanes_, keys);
  }
  multiply(k_, registers_, block.count, keys, {qPanel_, k_.index(nr_)}, k_.index(plan_.headDim), {scores_, k_.index(nr_)}, false);
  for (int64_t vector = 0; vector < registers_.vectors; ++vector)
    foldColumns(block, vector);
  addValues(block, {scores_, k_.index(1), k_.index(nr_)});
}

/// foldRow for one vector of rows.
void CachedAttention::foldColumns(const Block& block, int64_t vector) {
  Value lane = k_.index(vector * lanes_), places = k_.load(vector_, at(places_, lane));
  auto scoreAt = [&](Value key) { return at(scores_, k_.add(k_.mul(key, nr_), lane)); };
  auto sees = [&](Value key) {
    Value position = k_.broadcast(k_.toFloat(k_.add(block.position, key), element_), lanes_);
    return k_.compare(Predicate::LE, position, places);
  };
  Value before = k_.load(vector_, at(most_, lane));
  Value most = k_.loop(k_.index(0), block.count, k_.index(1), {before}, [&](Value key, const Values& carried) {
    Value s = k_.mul(k_.load(vector_, scoreAt(key)), k_.real(vector_, plan_.scale));
    k_.store(s, scoreAt(key));
    return Values{k_.larger(carried[0], k_.choose(sees(key), s, lowest(vector_)))};
  })[0];
  Value shift = shiftOf(most, vector_);
  Value sum = k_.loop(k_.index(0), block.count, k_.index(1), {k_.zero(vector_)}, [&](Value key, const Values& carried) {
    Value power = k_.choose(sees(key), exp(k_, k_.sub(k_.load(vector_, scoreAt(key)), shift)), k_.zero(vector_));
    k_.store(power, scoreAt(key));
    return Values{k_.add(carried[0], power)};
  })[0];
  Value by = factor(before, most);
  k_.store(most, at(most_, lane));
  k_.store(by, at(factors_, lane));
  k_.store(k_.add(k_.mul(k_.load(vector_, at(sums_, lane)), by), sum), at(sums_, lane));
}

//===--- both ---===//

/// total = factor total + weights (rows, keys) . values (keys, Dh)
void CachedAttention::addValues(const Block& block, const Matrix& weights) {
  Matrix values = block.values;
  RegisterBlock registers = registers_;
  registers.panelType = plan_.dtype;
  if (valuesCopy_) { // whole panels
    values = {valuesCopy_, k_.index(columnPanels_ * nr_)};
    registers.panelType = computed_;
    copyBlock(k_, plan_.dtype, block.values, block.count, k_.index(plan_.headDim), nr_, values);
  }
  k_.loop(0, k_.index(columnPanels_), 1, [&](Value panel) {
    Matrix tile{at(total_, k_.mul(panel, nr_ * nr_)), k_.index(nr_)};
    k_.loop(0, rows_, 1, [&](Value row) {
      Value by = k_.broadcast(k_.load(element_, at(factors_, row)), lanes_);
      for (int64_t column = 0; column < nr_; column += lanes_) {
        Value place = at(tile.base, k_.add(k_.mul(row, nr_), column));
        k_.store(k_.mul(k_.load(vector_, place), by), place);
      }
    });
    multiply(k_, registers, rows_, weights, {k_.at(values.base, k_.mul(panel, nr_), registers.panelType), values.stride}, block.count, tile, true);
  });
}

void CachedAttention::finish() {
  int64_t inner = plan_.heads * plan_.headDim;
  k_.loop(0, rows_, 1, [&](Value row) {
    Value sum = k_.broadcast(k_.load(element_, at(sums_, row)), lanes_);
    Value head = k_.add(k_.mul(head_, plan_.sharing()), k_.rem(k_.add(first_, row), plan_.sharing()));
    Value place = k_.add(k_.mul(k_.add(k_.mul(batch_, k_.size(plan_.tokens)), token(row)), inner), k_.mul(head, plan_.headDim));
    k_.loop(0, k_.index(columnPanels_), 1, [&](Value panel) {
      Value start = k_.mul(panel, nr_), from = at(total_, k_.add(k_.mul(panel, nr_ * nr_), k_.mul(row, nr_)));
      Value columns = plan_.headDim % nr_ == 0 ? k_.index(nr_) : k_.min(k_.index(nr_), k_.sub(k_.index(plan_.headDim), start));
      k_.vectorLoop(columns, lanes_, [&](Value column, Value mask) {
        Value total = k_.load(vector_, at(from, column));
        k_.storeElements(plan_.dtype, k_.div(total, sum), k_.at(k_.output(0), k_.add(place, k_.add(start, column)), plan_.dtype), mask);
      });
    });
  });
}

} // namespace

mlir::LogicalResult buildCachedAttention(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = CachedAttentionPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = CachedAttentionSchedule::from(kernel.getScheduleAttr());
  if (!schedule)
    return kernel.emitOpError("has no complete schedule: rows, nr and keys are needed");
  if (auto why = schedule->illegal(k.target(), plan->dtype))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  CachedAttention(k, *plan, *schedule).write();
  return mlir::success();
}

mlir::DictionaryAttr scheduleCachedAttention(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = CachedAttentionPlan::of(kernel);
  if (failed(plan))
    return {};
  return chooseCachedAttention(plan->dtype, plan->context, plan->headDim, target).attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
