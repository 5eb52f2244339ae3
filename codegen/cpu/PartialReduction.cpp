// for each block of the axis [and element of the result]: partials[block, element]
// for each run of elements: totals[element] = all its blocks', in their order
#include "codegen/cpu/PartialReduction.h"

#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Reduction.h"

namespace moec::codegen::cpu {

namespace {

constexpr int64_t kMostElements = 1 << 16; // of a result whose partials are worth their memory
constexpr int64_t kLeastCount = 64;        // of an axis that is worth cutting
constexpr int64_t kBlockOperations = 1 << 15;
constexpr int64_t kLeastBlock = 64;   // rows: partials are f64, and a small share of what is read
constexpr int64_t kSideBySide = 64;   // sums along the axis, so that vectors are made of them
constexpr int64_t kJoined = 64;       // elements of an item that joins blocks
constexpr int64_t kUnknownCount = 64; // what a symbolic size is taken for

/// About how many operations an element of the value takes; an axis of its own is read for each.
int64_t weightOf(mlir::Value value, int64_t depth = 0) {
  mlir::Operation* op = value.getDefiningOp();
  if (!op || depth > 16)
    return 1;
  int64_t weight = elementCost(op);
  for (mlir::Value operand : op->getOperands())
    weight += weightOf(operand, depth + 1);
  if (auto reduce = mlir::dyn_cast<ir::ReduceOp>(op); reduce && !PartialReduction::of(reduce))
    weight *= ir::sizesOf(mlir::Value(reduce.getX()))[reduce.getAxis()].constant().value_or(kUnknownCount);
  return std::min<int64_t>(weight, kBlockOperations);
}

} // namespace

std::optional<PartialReduction> PartialReduction::of(ir::ReduceOp op) {
  PartialReduction result(op);
  ir::Sizes sizes = ir::sizesOf(mlir::Value(op.getX()));
  int64_t axis = op.getAxis();
  result.count_ = sizes[axis];
  auto elements = ir::product(ir::sizesOf(mlir::Value(op.getResult()))).constant();
  int64_t count = result.count_.constant().value_or(std::numeric_limits<int32_t>::max());
  if (!elements || *elements < 1 || *elements > kMostElements || count < kLeastCount || count * *elements < kBlockOperations)
    return std::nullopt;
  result.elements_ = *elements;
  result.along_ = axis + 1 == static_cast<int64_t>(sizes.size()) || *elements == 1;
  result.weight_ = weightOf(op.getX());
  int64_t work = result.weight_ * (result.along_ ? 1 : *elements), least = result.along_ ? kSideBySide : kLeastBlock;
  result.block_ = std::max(kBlockOperations / work / least, int64_t{1}) * least;
  return result;
}

void PartialReduction::addWorkspaces(KernelBuilder& k) {
  Size bytes = elements_ * static_cast<int64_t>(byteSize(Reduction::kSumType));
  partials_ = k.addWorkspace(blocks() * bytes);
  totals_ = k.addWorkspace(bytes);
}

Value PartialReduction::partialAt(KernelBuilder& k, Value block, Value element) const {
  return k.at(k.workspace(partials_), k.add(k.mul(block, elements_), element), Reduction::kSumType);
}

void PartialReduction::write(KernelBuilder& k, ElementPuller& puller) {
  along_ ? reduceAlong(k, puller) : reduceAcross(k, puller);
  joinBlocks(k);
  puller.readTotals(op_, totals_);
}

/// An item is one element and a block of its axis: several sums side by side, then these in their order.
void PartialReduction::reduceAlong(KernelBuilder& k, ElementPuller& puller) {
  ir::Sizes sizes = ir::sizesOf(mlir::Value(op_.getResult()));
  k.stage(blocks() * Size(elements_), operations(), [&](Value item) {
    puller.startLine();
    Reduction rule(k, op_);
    Value element = k.div(item, k.size(blocks())), block = k.rem(item, k.size(blocks()));
    Values at = puller.coordinatesOf(element, sizes);
    Value sums = k.scratch(Size(kSideBySide * 8));
    auto sumAt = [&](Value i) { return k.at(sums, i, Reduction::kSumType); };
    k.loop(0, k.index(kSideBySide), 1, [&](Value i) { k.store(rule.start(), sumAt(i)); });
    Value first = k.mul(block, block_), last = k.min(k.add(first, block_), k.size(count_));
    k.loop(first, last, k.index(kSideBySide), [&](Value start) {
      k.loop(0, k.min(k.index(kSideBySide), k.sub(last, start)), 1, [&](Value i) {
        puller.startElement();
        Value x = puller.elementAt(op_.getX(), ElementPuller::withAxis(at, op_.getAxis(), k.add(start, i)));
        k.store(rule.next(k.load(rule.type(), sumAt(i)), x), sumAt(i));
      });
    });
    Value sum = k.loop(k.index(0), k.index(kSideBySide), k.index(1), {rule.start()},
                       [&](Value i, const Values& carried) { return Values{rule.next(carried[0], k.load(rule.type(), sumAt(i)))}; })[0];
    k.store(sum, partialAt(k, block, element));
  });
}

/// An item is a block of the axis: all elements of the result, once for each place on it.
void PartialReduction::reduceAcross(KernelBuilder& k, ElementPuller& puller) {
  ir::Sizes sizes = ir::sizesOf(mlir::Value(op_.getResult())), outer(sizes.begin(), sizes.end() - 1);
  k.stage(blocks(), operations(), [&](Value block) {
    puller.startLine();
    Reduction rule(k, op_);
    Value lines = k.size(ir::product(outer)), width = k.size(sizes.back());
    Value first = k.mul(block, block_), last = k.min(k.add(first, block_), k.size(count_));
    k.loop(0, k.index(elements_), 1, [&](Value i) { k.store(rule.start(), partialAt(k, block, i)); });
    k.loop(first, last, k.index(1), [&](Value i) {
      k.loop(0, lines, 1, [&](Value line) {
        Values at = puller.coordinatesOf(line, outer);
        at.push_back({});
        Value start = k.mul(line, width);
        k.loop(0, width, 1, [&](Value j) {
          at.back() = j;
          puller.startElement();
          Value x = puller.elementAt(op_.getX(), ElementPuller::withAxis(at, op_.getAxis(), i)), sum = partialAt(k, block, k.add(start, j));
          k.store(rule.next(k.load(rule.type(), sum), x), sum);
        });
      });
    });
  });
}

void PartialReduction::joinBlocks(KernelBuilder& k) {
  int64_t lanes = k.lanes(Reduction::kSumType);
  k.stage(Size::ceilDiv(Size(elements_), kJoined), blocks() * Size(elements_), [&](Value item) {
    Reduction rule(k, op_);
    Value first = k.mul(item, kJoined);
    k.vectorLoop(k.min(k.index(kJoined), k.sub(k.index(elements_), first)), lanes, [&](Value i, Value mask) {
      Value element = k.add(first, i);
      Value sum = k.loop(k.index(0), k.size(blocks()), k.index(1), {k.broadcast(rule.start(), lanes)}, [&](Value block, const Values& carried) {
        return Values{rule.next(carried[0], k.loadElements(Reduction::kSumType, partialAt(k, block, element), lanes, mask))};
      })[0];
      k.storeElements(Reduction::kSumType, sum, k.at(k.workspace(totals_), element, Reduction::kSumType), mask);
    });
  });
}

} // namespace moec::codegen::cpu
