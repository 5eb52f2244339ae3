// update: elementwise ops over arguments of the results' one shape, and scalars; an item is a block of elements.
//   scalars and what is computed from scalars alone
//   for each vector of the block: all operands, all ops, all results
// A result may lie in an argument's memory: each vector is read before it is written, and no item reads what another writes.
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

namespace {

// An update streams through memory: large blocks keep the prefetchers busy.
constexpr int64_t kUpdateBytes = 4 * kItemBytes;

class Update {
public:
  Update(KernelBuilder& k, ir::KernelOp kernel) : k_(k), kernel_(kernel), body_(kernel.getBody().front()) {}

  mlir::LogicalResult check();
  Size elements() const { return ir::product(sizes_); }
  Size operations() const;
  void write(Value first, Value count);

private:
  using Known = llvm::DenseMap<mlir::Value, Value>;

  bool isScalar(mlir::Value value) const { return ir::product(ir::sizesOf(value)) == Size(1); }
  mlir::LogicalResult checkValue(mlir::Value value, const char* what);
  Value loaded(mlir::Value value, Value place, int64_t lanes, Value mask);
  void compute(Known& known, bool scalars, Value place, int64_t lanes, Value mask);

  KernelBuilder& k_;
  ir::KernelOp kernel_;
  mlir::Block& body_;
  ir::Sizes sizes_; // of the results
  int64_t lanes_ = 1;
};

mlir::LogicalResult Update::checkValue(mlir::Value value, const char* what) {
  if (!isScalar(value) && !(ir::sizesOf(value) == sizes_))
    return kernel_.emitError() << "internal: " << what << " of an update of " << ir::describe(sizes_) << " has the shape " << ir::describe(ir::sizesOf(value))
                               << ": it must have the same, or one element";
  return mlir::success();
}

mlir::LogicalResult Update::check() {
  mlir::OperandRange results = body_.getTerminator()->getOperands();
  sizes_ = results.empty() ? ir::Sizes{} : ir::sizesOf(results.front());
  for (mlir::Value result : results)
    if (!(ir::sizesOf(result) == sizes_))
      return kernel_.emitError() << "internal: an update gives results of two shapes, " << ir::describe(sizes_) << " and " << ir::describe(ir::sizesOf(result));
  size_t bytes = 4;
  auto see = [&](mlir::Value value) {
    if (!isScalar(value))
      bytes = std::max(bytes, byteSize(dtypeOf(value)));
  };
  for (mlir::Value argument : body_.getArguments()) {
    if (mlir::failed(checkValue(argument, "an argument")))
      return mlir::failure();
    see(argument);
  }
  for (mlir::Operation& op : body_.without_terminator()) {
    if (!ir::isElementwise(&op) && !mlir::isa<ir::ConstantOp>(op))
      return kernel_.emitError() << "internal: an update cannot hold " << op.getName();
    if (mlir::failed(checkValue(op.getResult(0), "a value")))
      return mlir::failure();
    see(op.getResult(0));
  }
  lanes_ = k_.target().vectorBytes / static_cast<int64_t>(bytes);
  return mlir::success();
}

Size Update::operations() const {
  Size total = 0;
  for (mlir::Operation& op : body_.without_terminator())
    total = total + ir::product(ir::sizesOf(op.getResult(0))) * Size(elementCost(&op));
  return total;
}

/// Of an argument or a constant.
Value Update::loaded(mlir::Value value, Value place, int64_t lanes, Value mask) {
  DType dtype = dtypeOf(value);
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value))
    return k_.loadElements(dtype, k_.at(k_.input(argument.getArgNumber()), place, dtype), lanes, mask);
  auto constant = mlir::cast<mlir::DenseElementsAttr>(value.getDefiningOp<ir::ConstantOp>().getValue());
  if (constant.isSplat())
    return k_.broadcast(k_.loadElements(dtype, k_.constantData(constant.resizeSplat(constant.getType().clone(llvm::ArrayRef<int64_t>{1}))), 1), lanes);
  return k_.loadElements(dtype, k_.at(k_.constantData(constant), place, dtype), lanes, mask);
}

/// All values that are scalars, or all others.
void Update::compute(Known& known, bool scalars, Value place, int64_t lanes, Value mask) {
  for (mlir::Value argument : body_.getArguments())
    if (isScalar(argument) == scalars)
      known[argument] = loaded(argument, place, lanes, mask);
  for (mlir::Operation& op : body_.without_terminator()) {
    mlir::Value result = op.getResult(0);
    if (isScalar(result) != scalars)
      continue;
    if (mlir::isa<ir::ConstantOp>(op)) {
      known[result] = loaded(result, place, lanes, mask);
      continue;
    }
    Values operands;
    for (mlir::Value operand : op.getOperands())
      operands.push_back(KernelBuilder::lanesOf(known[operand]) == lanes ? known[operand] : k_.broadcast(known[operand], lanes));
    known[result] = elementwise(k_, &op, operands);
  }
}

void Update::write(Value first, Value count) {
  Known scalars;
  compute(scalars, true, k_.index(0), 1, {});
  k_.vectorLoop(count, lanes_, [&](Value i, Value mask) {
    Known known = scalars;
    Value place = k_.add(first, i);
    compute(known, false, place, lanes_, mask);
    for (auto [number, result] : llvm::enumerate(body_.getTerminator()->getOperands())) {
      DType dtype = dtypeOf(result);
      Value value = known[result];
      if (KernelBuilder::lanesOf(value) != lanes_)
        value = k_.broadcast(value, lanes_);
      k_.storeElements(dtype, value, k_.at(k_.output(number), place, dtype), mask);
    }
  });
}

} // namespace

mlir::DictionaryAttr scheduleUpdate(ir::KernelOp kernel, const CpuTarget& target) {
  int64_t bytes = 0; // of one element of all buffers
  for (mlir::Value value : kernel.getBody().front().getArguments())
    bytes += static_cast<int64_t>(byteSize(dtypeOf(value)));
  for (mlir::Value value : kernel.getBody().front().getTerminator()->getOperands())
    bytes += static_cast<int64_t>(byteSize(dtypeOf(value)));
  int64_t line = 64; // elements: an item begins on a cache line
  BlockSchedule schedule{std::max<int64_t>(kUpdateBytes / std::max<int64_t>(bytes, 1) / line, 1) * line};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildUpdate(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  Update update(k, kernel);
  if (mlir::failed(schedule) || mlir::failed(update.check()))
    return mlir::failure();
  Size elements = update.elements();
  k.stage(Size::ceilDiv(elements, Size(schedule->block)), update.operations(), [&](Value item) {
    Value first = k.mul(item, schedule->block);
    update.write(first, k.min(k.index(schedule->block), k.sub(k.size(elements), first)));
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
