#include "codegen/cpu/AttentionBlocks.h"

#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/VectorMath.h"

namespace moec::codegen::cpu {

HeadPanels::HeadPanels(const Size& keys, int64_t headDim, int64_t nr)
    : keyPanels(Size::ceilDiv(keys, nr)), keyElements(keyPanels * Size(headDim * nr)), columnElements(0), columnPanels((headDim + nr - 1) / nr) {
  columnElements = keys * Size(columnPanels * nr);
}

namespace {
// Rows of keys that are held in one form or another: k and v as panels; of a gradient k in both forms, dk and dv too.
int64_t formsOfKeys(bool isGradient) { return isGradient ? 5 : 2; }

bool isPositive(const Size& size) { return size.constant().value_or(0) > 0; }

/// Each limit that is known to be passed says no by itself: sizes do not fold what others add to it.
Size isShortUpTo(const AttentionPlan& plan, bool isGradient, int64_t mostKeys) {
  constexpr int64_t fewQueries = 2 * kFewKeys;
  constexpr int64_t fewProducts = 1 << 19; // of elements, by all heads that share keys: tens of microseconds
  constexpr int64_t manyItems = 64;        // a few for each of many threads
  const Size &queries = plan.queries, &keys = plan.keys;
  auto beyond = [](const Size& size, int64_t most) { return Size::max(size - Size(most), 0); };
  // Scores, q and y, and of a gradient dy and dq, are of all queries, or of a block of many: chooseAttentionGrad().
  Size atOnce = Size::min(queries, kFewKeys) - Size(kFewKeys - kBlockQueries) * Size::min(beyond(queries, kFewKeys), 1);
  Size ofKeys = Size(formsOfKeys(isGradient) * plan.headDim) * keys;
  Size elements = ofKeys + Size((isGradient ? 3 : 2) * plan.headDim) * atOnce + Size(isGradient ? 2 : 1) * atOnce * keys;
  auto beyondL2 = [&](const Size& count) { return beyond(bytesOf(sumType(plan.dtype), count), kL2Bytes); };
  std::vector<Size> excesses{beyond(keys, mostKeys), beyond(queries, 2 * mostKeys), beyondL2(elements)};
  if (isGradient) // without queries there is no turn that leaves zeros
    excesses.push_back(Size::max(Size(1) - queries, 0));
  std::vector<Size> works{beyond(keys, kFewKeys), beyond(queries, fewQueries)};
  if (plan.sharing() > 1)
    works.push_back(beyond(queries * keys * Size(plan.sharing() * plan.headDim), fewProducts));
  Size excess, work, missing = Size::max(Size(manyItems) - plan.batch * Size(plan.keyHeads), 0);
  for (const Size& each : works)
    work = work + each;
  excesses.push_back((llvm::any_of(works, isPositive) ? Size(1) : Size::min(work, 1)) * missing);
  if (llvm::any_of(excesses, isPositive) || isPositive(beyondL2(ofKeys)))
    return 0;
  for (const Size& each : excesses)
    excess = excess + each;
  return Size(1) - Size::min(excess, 1);
}
} // namespace

Size isShort(const AttentionPlan& plan) { return isShortUpTo(plan, /*isGradient=*/false, kMostShortKeys); }

Size isShort(const AttentionGradPlan& gradients, int64_t blockKeys) {
  if (gradients.dbias)
    return 0;
  const AttentionPlan& plan = gradients.forward;
  return isShortUpTo(plan, /*isGradient=*/true, blockKeys >= std::min(plan.keys.constant().value_or(kFewKeys), kFewKeys) ? kMostShortKeys : blockKeys);
}

int64_t mostShortKeys(const AttentionPlan& plan, bool isGradient) {
  int64_t bytes = formsOfKeys(isGradient) * plan.headDim * bytesOfSum(plan.dtype);
  return std::min(plan.keys.constant().value_or(kMostShortKeys), std::clamp<int64_t>(kL2Bytes / bytes, 1, kMostShortKeys));
}

Matrix headOf(KernelBuilder& k, const AttentionPlan& plan, const Slice& slice, const Size& rows, Value batch, Value head) {
  Value start = k.add(k.mul(batch, k.size(rows * slice.width)), k.add(k.size(slice.start), k.mul(head, plan.headDim)));
  return {k.at(k.input(slice.input), start, plan.dtype), k.size(slice.width)};
}

void fetchNextHead(KernelBuilder& k, const AttentionPlan& plan, const Slice& slice, const Size& rows, Value batch, Value head, int64_t heads, Value row,
                   Value start, int64_t count) {
  constexpr int64_t line = 64;
  Value next = k.add(head, 1), isLast = k.compare(ir::Predicate::EQ, next, k.index(heads));
  Value nextBatch = k.min(k.add(batch, 1), k.sub(k.size(plan.batch), 1)), isEnd = k.compare(ir::Predicate::EQ, nextBatch, batch);
  Matrix of = headOf(k, plan, slice, rows, k.choose(isLast, nextBatch, batch), k.choose(isLast, k.choose(isEnd, head, k.index(0)), next));
  if (!(rows == plan.queries)) // rows are those of queries
    row = k.min(row, k.sub(k.size(rows), 1));
  Value address = k.at(of.base, k.add(k.mul(row, of.stride), start), plan.dtype);
  for (int64_t byte = 0; byte < count * static_cast<int64_t>(byteSize(plan.dtype)); byte += line)
    k.prefetch(k.at(address, k.index(byte), k.i8()), /*write=*/false, /*locality=*/2);
}

void HeadRows::fetch(Value, Value row, int64_t column) const {
  k_.prefetch(k_.at(base_, k_.add(placeOf_(row), column), dtype_), /*write=*/true);
  if (before_)
    before_(row, column);
}

void HeadRows::take(Value, Value row, int64_t column, Value sums) const {
  k_.storeElements(dtype_, made_(row, sums), k_.at(base_, k_.add(placeOf_(row), column), dtype_));
}

void packKeys(KernelBuilder& k, const AttentionPlan& plan, int64_t nr, const Matrix& rows, Value panel, Value panels) {
  packPanel(k, plan.dtype, rows, k.mul(panel, nr), k.size(plan.keys), k.index(plan.headDim), nr,
            k.at(panels, k.mul(panel, plan.headDim * nr), k.typeOf(plan.dtype)));
}

void packColumns(KernelBuilder& k, const AttentionPlan& plan, int64_t nr, const Matrix& rows, Value panel, Value panels) {
  mlir::Type element = k.typeOf(plan.dtype);
  int64_t lanes = k.lanes(plan.dtype);
  Value first = k.mul(panel, nr);
  k.loop(first, k.min(k.size(plan.keys), k.add(first, nr)), k.index(1), [&](Value key) {
    Value from = k.at(rows.base, k.mul(key, rows.stride), plan.dtype);
    for (int64_t column = 0; column < (plan.headDim + nr - 1) / nr * nr; column += lanes) {
      Value to = k.at(panels, k.add(k.mul(k.add(k.size(plan.keys * Size(column / nr)), key), nr), column % nr), element);
      int64_t there = std::clamp<int64_t>(plan.headDim - column, 0, lanes);
      Value vector = k.zero(k.vectorOf(element, lanes));
      if (there > 0)
        vector = k.loadElements(plan.dtype, k.at(from, k.index(column), plan.dtype), lanes, there == lanes ? Value() : k.mask(k.index(there), lanes));
      k.store(vector, to);
    }
  });
}

namespace {

/// scores (rows, keys [first, end)) = q (rows, Dh) times keys, each by itself; zeros behind them up to the vector's end.
void multiplyLoneKeys(KernelBuilder& k, const AttentionPlan& plan, Value rows, const Matrix& q, const Matrix& keys, Value first, Value end,
                      const Matrix& scores) {
  DType computed = sumType(plan.dtype);
  mlir::Type element = k.typeOf(computed);
  int64_t lanes = k.lanes(computed);
  mlir::Type vector = k.vectorOf(element, lanes);
  k.loop(0, rows, 1, [&](Value row) {
    Value query = k.at(q.base, k.mul(row, q.stride), element), to = k.at(scores.base, k.mul(row, scores.stride), element);
    k.store(k.zero(vector), to);
    k.loop(first, end, k.index(1), [&](Value key) {
      Value from = k.at(keys.base, k.mul(key, keys.stride), plan.dtype), sum = k.zero(vector);
      for (int64_t column = 0; column < plan.headDim; column += lanes) {
        Value mask = column + lanes <= plan.headDim ? Value() : k.mask(k.index(plan.headDim - column), lanes);
        sum = k.fma(k.loadElements(computed, k.at(query, k.index(column), element), lanes, mask),
                    k.loadElements(plan.dtype, k.at(from, k.index(column), plan.dtype), lanes, mask), sum);
      }
      k.store(k.sumLanes(sum), k.at(to, k.sub(key, first), element));
    });
  });
}

} // namespace

void multiplyKeys(KernelBuilder& k, const AttentionPlan& plan, const RegisterBlock& registers, Value query, Value rows, const Matrix& q, const Matrix& keys,
                  Value panels, Value first, Value end, const Matrix& scores) {
  mlir::Type element = k.typeOf(registers.dtype);
  int64_t lanes = k.lanes(registers.dtype), nr = registers.width(k);
  // A vector of sums costs a multiply-add for each element of the depth, whatever it holds; a product of two rows a lanes-th of that and what adds its lanes.
  // Counted by vectors, also where a panel has several and multiplies them for nothing: which keys are summed by lanes, and so the bits, is the same for any
  // nr.
  Value all = k.size(plan.keys), lone = k.rem(all, lanes);
  Value whole = k.sub(all, k.choose(k.compare(ir::Predicate::LE, lone, k.index(lanes / 4)), lone, k.index(0)));
  auto scoresFrom = [&](Value key) { return Matrix{k.at(scores.base, k.sub(key, first), element), scores.stride}; };
  k.loop(first, k.min(whole, end), k.index(nr), [&](Value key) {
    Matrix panel{k.at(panels, k.mul(key, plan.headDim), element), k.index(nr)}, to = scoresFrom(key);
    if (!plan.causal)
      return multiply(k, registers, rows, q, panel, k.index(plan.headDim), to, false);
    Value unseen = k.max(k.index(0), k.sub(firstWhoSees(k, plan, key), query)), row = k.min(rows, k.mul(k.div(unseen, kCausalRows), kCausalRows));
    multiply(k, registers, k.sub(rows, row), {k.at(q.base, k.mul(row, q.stride), element), q.stride}, panel, k.index(plan.headDim),
             {k.at(to.base, k.mul(row, to.stride), element), to.stride}, false);
  });
  if (KernelBuilder::constantOf(k.sub(all, whole)) != 0)
    k.when(k.compare(ir::Predicate::LT, whole, end), [&] { multiplyLoneKeys(k, plan, rows, q, keys, whole, end, scoresFrom(whole)); });
}

Value seenBy(KernelBuilder& k, const AttentionPlan& plan, Value query) {
  Value keys = k.size(plan.keys);
  return plan.causal ? k.max(k.index(0), k.min(keys, k.add(k.add(query, 1), k.sub(keys, k.size(plan.queries))))) : keys;
}

Value firstWhoSees(KernelBuilder& k, const AttentionPlan& plan, Value key) {
  return plan.causal ? k.max(k.index(0), k.sub(key, k.sub(k.size(plan.keys), k.size(plan.queries)))) : k.index(0);
}

void inCausalRows(KernelBuilder& k, const AttentionPlan& plan, Value rows, llvm::function_ref<void(Value first, Value count)> multiplies) {
  if (!plan.causal)
    return multiplies(k.index(0), rows);
  k.loop(0, rows, kCausalRows, [&](Value first) { multiplies(first, k.min(k.index(kCausalRows), k.sub(rows, first))); });
}

Value keyHeadOf(KernelBuilder& k, const AttentionPlan& plan, Value batch, Value head) {
  return k.add(k.mul(batch, plan.keyHeads), k.div(head, plan.sharing()));
}

Value biasOf(KernelBuilder& k, const AttentionPlan& plan, Value head, Value query) {
  if (!plan.bias)
    return {};
  Value row = plan.bias->ofAllHeads ? query : k.add(k.mul(head, k.size(plan.queries)), query);
  return k.at(k.input(plan.bias->input), k.mul(row, k.size(plan.keys)), plan.dtype);
}

void zeroUnseen(KernelBuilder& k, const AttentionPlan& plan, Value row, Value seen, Value end) {
  if (!plan.causal)
    return;
  DType computed = sumType(plan.dtype);
  mlir::Type element = k.typeOf(computed);
  int64_t lanes = k.lanes(computed);
  Value zeros = k.zero(k.vectorOf(element, lanes));
  k.loop(k.mul(k.div(k.add(seen, lanes - 1), lanes), lanes), end, k.index(lanes), [&](Value i) { k.store(zeros, k.at(row, i, element)); });
}

SoftmaxSums softmaxRow(KernelBuilder& k, const AttentionPlan& plan, Value scores, Value seen, Value end, Value bias, Value draw) {
  mlir::Type element = k.typeOf(plan.dtype);
  int64_t lanes = k.lanes(plan.dtype);
  mlir::Type vector = k.vectorOf(element, lanes);
  Value lowest = k.real(vector, -kInfinity), step = k.index(lanes), zero = k.index(0);
  // Rows are whole vectors: lanes behind `seen` are loaded, and left out. Of the vectors in front of `whole` all lanes are seen.
  Value whole = k.sub(seen, k.rem(seen, lanes));
  using Turn = llvm::function_ref<Value(Value i, Value inside, Value before)>; // inside: null for all lanes
  auto overRow = [&](Value until, Value start, Turn turn) {
    Values before = k.loop(zero, whole, step, {start}, [&](Value i, const Values& carried) { return Values{turn(i, {}, carried[0])}; });
    return k.loop(whole, until, step, before, [&](Value i, const Values& carried) { return Values{turn(i, k.mask(k.sub(seen, i), lanes), carried[0])}; })[0];
  };
  auto orElse = [&](Value inside, Value value, Value other) { return inside ? k.choose(inside, value, other) : value; };
  // A NaN may be lost here: its exponential is one, and so is the sum.
  Value most = overRow(seen, lowest, [&](Value i, Value inside, Value before) {
    Value place = k.at(scores, i, element), s = k.mul(k.load(vector, place), k.real(vector, plan.scale));
    if (bias) {
      s = k.add(s, k.loadElements(plan.dtype, k.at(bias, i, plan.dtype), lanes, inside));
      k.store(s, place);
    }
    return k.larger(before, orElse(inside, s, lowest));
  });
  Value highest = k.largestLane(most);
  most = k.broadcast(highest, lanes);
  Value sum = overRow(seen, k.zero(vector), [&](Value i, Value inside, Value before) {
    Value place = k.at(scores, i, element);
    Value s = k.load(vector, place);
    if (!bias) // otherwise it has its scale
      s = k.mul(s, k.real(vector, plan.scale));
    Value power = orElse(inside, expOfNegative(k, k.sub(s, most)), k.zero(vector));
    k.store(draw ? k.mul(power, dropoutFactors(k, plan, k.add(draw, i), inside)) : power, place);
    return k.add(before, power);
  });
  zeroUnseen(k, plan, scores, seen, end);
  return {highest, k.sumLanes(sum)};
}

Value drawOf(KernelBuilder& k, const AttentionPlan& plan, Value batchHead, Value query) {
  return plan.dropout ? k.mul(k.add(k.mul(batchHead, k.size(plan.queries)), query), k.size(plan.keys)) : Value();
}

Value dropoutFactors(KernelBuilder& k, const AttentionPlan& plan, Value draw, Value inside) {
  DType dtype = sumType(plan.dtype);
  int64_t lanes = k.lanes(dtype);
  mlir::Type vector = k.vectorOf(k.typeOf(dtype), lanes);
  Value draws = plan.dropout->random ? drawAt(k, ir::Distribution::Uniform, dtype, /*stream=*/0, k.add(k.broadcast(draw, lanes), k.iota(k.i64(), lanes)))
                                     : k.loadElements(dtype, k.at(k.input(plan.dropout->input), draw, dtype), lanes, inside);
  Value stays = k.compare(ir::Predicate::GE, draws, k.real(vector, plan.dropout->p));
  return k.choose(stays, k.real(vector, 1 / (1 - plan.dropout->p)), k.zero(vector));
}

} // namespace moec::codegen::cpu
