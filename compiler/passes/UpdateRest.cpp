#include "compiler/passes/UpdateRest.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// Takes arguments that nothing reads out of a kernel.
void dropUnread(KernelOp kernel) {
  Block& body = kernel.getBody().front();
  for (unsigned i = body.getNumArguments(); i-- > 0;)
    if (body.getArgument(i).use_empty()) {
      body.eraseArgument(i);
      kernel.getInputsMutable().erase(i);
    }
}

} // namespace

void eraseUnread(KernelOp kernel) {
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(kernel.getBody().front())))
    if (!isa<YieldOp>(op) && op.use_empty())
      op.erase();
  dropUnread(kernel);
}

void dropResults(KernelOp update) {
  OpBuilder builder(update);
  SmallVector<Value> kept, yielded;
  SmallVector<Type> types;
  Operation* yield = update.getBody().front().getTerminator();
  for (auto [result, value] : llvm::zip(update->getResults(), yield->getOperands()))
    if (!result.use_empty()) {
      kept.push_back(result);
      types.push_back(result.getType());
      yielded.push_back(value);
    }
  yield->setOperands(yielded);
  eraseUnread(update);
  if (!kept.empty()) {
    auto rest = KernelOp::create(builder, update.getLoc(), types, update.getInputs(), update.getKindAttr(), update.getLabelAttr(), update.getReasonAttr(),
                                 DictionaryAttr());
    rest.getBody().takeBody(update.getBody());
    for (auto [before, after] : llvm::zip(kept, rest->getResults()))
      before.replaceAllUsesWith(after);
  }
  update.erase();
}

void UpdateNumbers::add(const llvm::SetVector<Value>& numbers) {
  for (Value number : numbers)
    if (Operation* op = number.getDefiningOp(); op && !isa<ConstantOp>(op))
      places_.try_emplace(number, places_.size());
}

void UpdateNumbers::make(Operation* at) {
  if (places_.empty())
    return;
  llvm::SetVector<Value> inputs;
  llvm::DenseSet<Value> needed;
  for (const auto& [number, place] : places_)
    needed.insert(number);
  Block& body = update_.getBody().front();
  for (Operation& op : llvm::reverse(body.without_terminator()))
    if (needed.contains(op.getResult(0)))
      needed.insert(op.operand_begin(), op.operand_end());
  SmallVector<Type> types;
  SmallVector<Value> yielded;
  for (const auto& [number, place] : places_)
    types.push_back(number.getType());
  for (BlockArgument argument : body.getArguments())
    if (needed.contains(argument))
      inputs.insert(update_.getInputs()[argument.getArgNumber()]);
  OpBuilder builder(at);
  kernel_ = KernelOp::create(builder, update_.getLoc(), types, inputs.getArrayRef(), builder.getStringAttr("loops"), update_.getLabelAttr(),
                             builder.getStringAttr("numbers that several updates read"), DictionaryAttr());
  Block* own = builder.createBlock(&kernel_.getBody());
  IRMapping mapping;
  for (BlockArgument argument : body.getArguments())
    if (needed.contains(argument))
      mapping.map(argument, own->addArgument(argument.getType(), argument.getLoc()));
  for (Operation& op : body.without_terminator())
    if (needed.contains(op.getResult(0)))
      builder.clone(op, mapping);
  for (const auto& [number, place] : places_)
    yielded.push_back(mapping.lookup(number));
  YieldOp::create(builder, update_.getLoc(), yielded);
}

Value UpdateNumbers::operator()(Value number) {
  if (auto argument = dyn_cast<BlockArgument>(number))
    return update_.getInputs()[argument.getArgNumber()];
  return kernel_.getResult(places_.lookup(number));
}

void UpdateNumbers::useInUpdate() {
  for (auto [number, place] : places_) {
    update_.getInputsMutable().append(kernel_.getResult(place));
    number.replaceAllUsesWith(update_.getBody().front().addArgument(number.getType(), number.getLoc()));
  }
}

} // namespace moec::compiler
