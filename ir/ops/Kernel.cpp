#include "ir/ops/Infer.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace moec::ir {

static std::string listTypes(TypeRange types) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  llvm::interleaveComma(types, stream);
  return "(" + text + ")";
}

LogicalResult KernelOp::verify() {
  static constexpr StringRef known[] = {"matmul",    "rows",   "loops",          "attention",     "gate",      "expert_up", "expert_mid", "expert_down",
                                        "moe_layer", "pack",   "attention_grad", "weight_grad",   "sums",      "totals",    "update",     "cached_attention",
                                        "append",    "places", "swipe",          "weight_update", "layer_grad"};
  if (!llvm::is_contained(known, getKind()))
    return emitError() << "kernel C1: unknown kind \"" << getKind() << "\"; known: " << llvm::join(ArrayRef(known), ", ");
  Block& body = getBody().front();
  if (body.getArgumentTypes() != getInputs().getTypes())
    return emitError() << "kernel C2: the block's arguments have the inputs' types: the inputs are " << listTypes(getInputs().getTypes()) << ", the arguments "
                       << listTypes(body.getArgumentTypes());
  auto yield = body.empty() ? YieldOp() : dyn_cast<YieldOp>(body.back());
  if (!yield)
    return emitError() << "kernel C3: the region ends with moe.yield";
  if (yield.getValues().getTypes() != getOutputs().getTypes())
    return emitError() << "kernel C4: moe.yield gives the outputs' types: the outputs are " << listTypes(getOutputs().getTypes()) << ", it gives "
                       << listTypes(yield.getValues().getTypes());
  for (Operation& op : body)
    if (!isa<MoeDialect>(op.getDialect()) || isa<KernelOp>(op) || !isPure(&op))
      return op.emitError() << "kernel C5: a region holds ops of the dialect that have no effects, and no kernel: this is " << op.getName();
  return success();
}

} // namespace moec::ir
