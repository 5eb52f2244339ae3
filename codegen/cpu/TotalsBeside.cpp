#include "codegen/cpu/TotalsBeside.h"

#include "codegen/analysis/TensorFamilies.h"
#include "codegen/cpu/Reduction.h"

namespace moec::codegen::cpu {

namespace {

/// Of a kernel that updates a weight: a sum over all elements, seen as one row.
bool isTotal(ir::KernelOp kernel, ir::ReduceOp reduce) {
  return kernel.getKind() == "weight_update" && reduce && reduce.getKind() == ir::ReduceKind::Sum && ir::sizesOf(reduce.getX()).size() == 1;
}

} // namespace

bool givesTotals(ir::KernelOp kernel) {
  return llvm::any_of(yieldOf(kernel)->getOperands(), [&](mlir::Value value) { return isTotal(kernel, value.getDefiningOp<ir::ReduceOp>()); });
}

TotalsBeside::TotalsBeside(KernelBuilder& k, llvm::ArrayRef<unsigned> results) : k_(k) {
  for (unsigned result : results)
    if (auto reduce = yieldOf(k.kernel())->getOperand(result).getDefiningOp<ir::ReduceOp>(); isTotal(k.kernel(), reduce))
      totals_.push_back({result, reduce});
    else
      stored_.push_back(result);
}

Values TotalsBeside::sinks() const {
  Values sinks;
  for (unsigned result : stored_)
    sinks.push_back(yieldOf(k_.kernel())->getOperand(result));
  for (const Total& total : totals_)
    sinks.push_back(unshaped(ir::ReduceOp(total.op).getX()));
  return sinks;
}

void TotalsBeside::addWorkspaces(const Size& items) {
  items_ = items;
  if (!totals_.empty())
    partials_ = k_.addWorkspace(items * Size(static_cast<int64_t>(totals_.size() * byteSize(DType::F64))));
}

Value TotalsBeside::partialAt(Value item, size_t total) {
  return k_.at(k_.workspace(partials_), k_.add(k_.mul(item, static_cast<int64_t>(totals_.size())), static_cast<int64_t>(total)), DType::F64);
}

Values TotalsBeside::startItem(DType dtype) {
  lanes_ = k_.lanes(dtype);
  Values bases;
  for (unsigned result : stored_)
    bases.push_back(k_.output(result));
  for (size_t i = 0; i < totals_.size(); ++i) {
    bases.push_back(k_.scratch(Size(lanes_ * static_cast<int64_t>(byteSize(DType::F64)))));
    k_.store(k_.zero(sums()), bases.back());
  }
  return bases;
}

void TotalsBeside::endItem(Value item, const Values& bases) {
  for (size_t i = 0; i < totals_.size(); ++i)
    k_.store(k_.sumLanes(k_.load(sums(), bases[stored_.size() + i])), partialAt(item, i));
}

void TotalsBeside::joinStage() {
  if (totals_.empty())
    return;
  k_.stage(Size(1), items_ * Size(static_cast<int64_t>(totals_.size())), [&](Value) {
    for (size_t i = 0; i < totals_.size(); ++i) {
      Value sum = k_.loop(k_.index(0), k_.size(items_), k_.index(1), {k_.zero(k_.f64())},
                          [&](Value item, const Values& carried) { return Values{k_.add(carried[0], k_.load(k_.f64(), partialAt(item, i)))}; })[0];
      ir::ReduceOp op = totals_[i].op;
      Reduction reduction(k_, op);
      k_.storeElements(reduction.dtype, reduction.finish(sum, ir::product(ir::sizesOf(mlir::Value(op.getX())))), k_.output(totals_[i].result));
    }
  });
}

} // namespace moec::codegen::cpu
