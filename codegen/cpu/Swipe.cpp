// swipe, sequentially: one choice of all tokens after the other (docs/SPEC.md).
//   accepted[source][worker]: rows of the source's tokens that the worker takes; room[worker]; homeless[source]
#include "codegen/analysis/Operands.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"

namespace moec::codegen::cpu {

namespace {

using ir::Predicate;

constexpr int64_t kMoves = -2; // what stands in the result for a row that has not found its worker yet

class Swipe {
public:
  Swipe(KernelBuilder& k, ir::SwipeOp op)
      : k_(k), tokens_(ir::sizesOf(op.getIndices())[0]), choices_(*ir::sizesOf(op.getIndices())[1].constant()), workers_(static_cast<int64_t>(op.getWorkers())),
        experts_(static_cast<int64_t>(op.getExperts())), own_(experts_ / workers_) {}
  void write();

private:
  void once(Value choice);
  void negotiate();
  /// Every row of a choice, by source.
  void eachRow(Value choice, llvm::function_ref<void(Value source, Value row)> visit);
  Value accepted(Value source, Value worker) { return k_.add(k_.mul(source, workers_), worker); }
  Value isExpert(Value index) { return k_.compareUnsigned(Predicate::LT, index, k_.index(experts_)); }
  void each(int64_t count, llvm::function_ref<void(Value)> body) { k_.loop(0, k_.index(count), 1, body); }

  Value read(Value list, Value i) { return RoutingView::element(k_, list, i); }
  void write(Value list, Value i, Value value) { k_.store(k_.toInteger(value, k_.i32()), k_.at(list, i, k_.i32())); }
  void add(Value list, Value i, Value value) { write(list, i, k_.add(read(list, i), value)); }

  KernelBuilder& k_;
  Size tokens_;
  int64_t choices_, workers_, experts_, own_; // own: experts of a worker
  Value run_, accepted_, room_, homeless_;    // run: tokens of a worker
};

void Swipe::eachRow(Value choice, llvm::function_ref<void(Value source, Value row)> visit) {
  each(workers_, [&](Value source) {
    Value first = k_.mul(source, run_);
    k_.loop(first, k_.add(first, run_), k_.index(1), [&](Value token) { visit(source, k_.add(k_.mul(token, choices_), choice)); });
  });
}

void Swipe::negotiate() {
  each(workers_, [&](Value worker) {
    each(workers_, [&](Value source) {
      Value place = accepted(source, worker), rows = read(accepted_, place), taken = k_.min(rows, read(room_, worker));
      add(homeless_, source, k_.sub(rows, taken));
      add(room_, worker, k_.neg(taken));
      write(accepted_, place, taken);
    });
  });
  each(workers_, [&](Value source) {
    each(workers_, [&](Value worker) {
      Value taken = k_.min(read(homeless_, source), read(room_, worker));
      add(homeless_, source, k_.neg(taken));
      add(room_, worker, k_.neg(taken));
      add(accepted_, accepted(source, worker), taken);
    });
  });
}

void Swipe::once(Value choice) {
  Value zero = k_.index(0), one = k_.index(1), indices = k_.input(0), result = k_.output(0);
  each(workers_ * workers_, [&](Value i) { write(accepted_, i, zero); });
  each(workers_, [&](Value source) { write(homeless_, source, zero); });
  eachRow(choice, [&](Value source, Value row) {
    Value index = read(indices, row);
    k_.when(isExpert(index), [&] { add(accepted_, accepted(source, k_.div(index, own_)), one); });
  });
  negotiate();
  eachRow(choice, [&](Value source, Value row) {
    Value index = read(indices, row);
    Values stays = k_.when(
        isExpert(index),
        [&] {
          Value place = accepted(source, k_.div(index, own_)), left = read(accepted_, place);
          Value isTaken = k_.compare(Predicate::GT, left, zero);
          write(accepted_, place, k_.choose(isTaken, k_.sub(left, one), left));
          return Values{k_.choose(isTaken, index, k_.index(kMoves))};
        },
        [&] { return Values{k_.index(-1)}; });
    write(result, row, stays[0]);
  });
  eachRow(choice, [&](Value source, Value row) {
    k_.when(k_.compare(Predicate::EQ, read(result, row), k_.index(kMoves)), [&] {
      // The first worker that still takes one.
      Value worker = k_.loop(zero, k_.index(workers_), one, {k_.index(-1)}, [&](Value i, const Values& carried) {
        Value isFirst = k_.bitAnd(k_.compare(Predicate::LT, carried[0], zero), k_.compare(Predicate::GT, read(accepted_, accepted(source, i)), zero));
        return Values{k_.choose(isFirst, i, carried[0])};
      })[0];
      worker = k_.max(worker, zero);
      add(accepted_, accepted(source, worker), k_.index(-1));
      write(result, row, k_.add(k_.mul(worker, own_), k_.rem(choice, own_)));
    });
  });
}

void Swipe::write() {
  k_.stage(1, tokens_ * Size(16 * choices_), [&](Value) {
    run_ = k_.size(Size::floorDiv(tokens_, Size(workers_)));
    accepted_ = k_.scratch(Size(4 * workers_ * workers_));
    room_ = k_.scratch(Size(4 * workers_));
    homeless_ = k_.scratch(Size(4 * workers_));
    each(workers_, [&](Value worker) { write(room_, worker, k_.mul(run_, choices_)); });
    each(choices_, [&](Value choice) { once(choice); });
    // Of tokens that are no equal runs, which a call refuses, the last ones have no worker.
    Value rest = k_.mul(k_.mul(run_, workers_), choices_);
    k_.loop(rest, k_.size(tokens_ * Size(choices_)), k_.index(1), [&](Value row) { write(k_.output(0), row, k_.index(-1)); });
  });
}

} // namespace

mlir::LogicalResult buildSwipe(KernelBuilder& k, ir::KernelOp kernel) {
  auto op = onlyOp<ir::SwipeOp>(kernel);
  if (failed(op) || failed(inputOf(kernel, op->getIndices(), "the indices")))
    return mlir::failure();
  Swipe(k, *op).write();
  return mlir::success();
}

mlir::DictionaryAttr scheduleSwipe(ir::KernelOp kernel, const CpuTarget&) { return mlir::DictionaryAttr::get(kernel.getContext()); }

} // namespace moec::codegen::cpu
