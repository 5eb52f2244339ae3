#include "ir/reference/Interpreter.h"

#include "ir/ops/Infer.h"
#include "ir/reference/EvaluateOp.h"
#include "runtime/core/Error.h"
#include "runtime/core/KernelAbi.h"

#include <functional>

using namespace mlir;

namespace moec::reference {

Shape shapeOf(Type type, const Bindings& bindings) {
  if (auto routing = dyn_cast<ir::RoutingType>(type))
    return {RoutingLayout{routing.getExperts(), ir::pairsOf(routing).evaluate(bindings)}.elements()};
  Shape shape;
  for (const Size& size : ir::sizesOf(cast<RankedTensorType>(type)))
    shape.push_back(size.evaluate(bindings));
  return shape;
}

DType dtypeOf(Type type) { return isa<ir::RoutingType>(type) ? DType::I32 : ir::dtypeOf(cast<RankedTensorType>(type).getElementType()); }

Tensor toTensor(DenseElementsAttr attribute) {
  Tensor tensor(ir::dtypeOf(attribute.getElementType()), Shape(attribute.getType().getShape()));
  int64_t i = 0;
  if (isa<FloatType>(attribute.getElementType())) {
    for (const APFloat& value : attribute.getValues<APFloat>()) {
      uint64_t bits = value.bitcastToAPInt().getZExtValue();
      std::memcpy(static_cast<char*>(tensor.data()) + i++ * byteSize(tensor.dtype()), &bits, byteSize(tensor.dtype()));
    }
    return tensor;
  }
  for (const APInt& value : attribute.getValues<APInt>()) {
    uint64_t bits = value.getZExtValue();
    std::memcpy(static_cast<char*>(tensor.data()) + i++ * byteSize(tensor.dtype()), &bits, byteSize(tensor.dtype()));
  }
  return tensor;
}

static void bindSize(const Size& size, int64_t value, Bindings& bindings) {
  std::vector<std::string> symbols = size.symbols();
  if (symbols.size() != 1 || size != Size::symbol(symbols[0]))
    return;
  auto [place, fresh] = bindings.try_emplace(symbols[0], value);
  if (!fresh && place->second != value)
    throw Error(Fault::Usage,
                "the size " + symbols[0] + " is " + std::to_string(place->second) + " in one argument and " + std::to_string(value) + " in another");
}

void bindSizes(TypeRange types, ArrayRef<Tensor> arguments, Bindings& bindings) {
  for (auto [type, tensor] : llvm::zip(types, arguments)) {
    if (auto routing = dyn_cast<ir::RoutingType>(type)) {
      int64_t rows = (tensor.elements() - routing.getExperts() - 1) / 2;
      bindSize(ir::tokensOf(routing), rows / routing.getChoices(), bindings);
    } else if (ir::Sizes sizes = ir::sizesOf(cast<RankedTensorType>(type)); sizes.size() == tensor.shape().size()) {
      for (size_t i = 0; i < sizes.size(); ++i)
        bindSize(sizes[i], tensor.shape()[i], bindings);
    }
  }
}

/// "layers.0.moe: moe.select".
static std::string label(Operation* op) {
  std::string path = ir::pathOf(op->getLoc());
  return (path.empty() ? "" : path + ": ") + op->getName().getStringRef().str();
}

/// Whether a value has its type's dtype and shape: what inference promised and what the evaluator made are the same.
static void checkValue(const std::string& what, Type type, const Tensor& tensor, const Bindings& bindings) {
  Shape shape = shapeOf(type, bindings);
  if (tensor.dtype() != dtypeOf(type) || tensor.shape() != shape)
    throw Error(Fault::Internal, what + " is " + describe(tensor) + ", its type says " + describe(dtypeOf(type), shape));
}

std::vector<Tensor> evaluate(Region& region, ArrayRef<Tensor> arguments, Call& call, const Observer& observer) {
  Block& block = region.front();
  if (arguments.size() != block.getNumArguments())
    throw Error(Fault::Internal, std::to_string(arguments.size()) + " arguments for a region of " + std::to_string(block.getNumArguments()));
  bindSizes(block.getArgumentTypes(), arguments, call.bindings);
  llvm::DenseMap<Value, Tensor> values;
  for (auto [index, argument] : llvm::enumerate(block.getArguments())) {
    checkValue("argument " + std::to_string(index), argument.getType(), arguments[index], call.bindings);
    values[argument] = arguments[index];
  }
  for (Operation& op : block) {
    std::vector<Tensor> operands, results;
    for (Value operand : op.getOperands())
      operands.push_back(values.lookup(operand));
    if (op.hasTrait<OpTrait::IsTerminator>())
      return operands;
    try {
      if (auto kernel = dyn_cast<ir::KernelOp>(op))
        results = evaluate(kernel.getBody(), operands, call, observer);
      else
        results = evaluateOp(&op, operands, call);
    } catch (const Error& error) {
      throw Error(error.fault(), label(&op) + ": " + error.what());
    }
    for (auto [index, result] : llvm::enumerate(op.getResults())) {
      checkValue(label(&op) + ": result " + std::to_string(index), result.getType(), results.at(index), call.bindings);
      values[result] = results[index];
    }
    if (observer)
      observer(&op, results);
  }
  throw Error(Fault::Internal, "a region without terminator");
}

std::vector<Tensor> evaluate(func::FuncOp function, ArrayRef<Tensor> arguments, Call& call, const Observer& observer) {
  call.written.clear();
  std::vector<Tensor> results = evaluate(function.getBody(), arguments, call, observer);
  for (auto& [name, value] : call.written) // reads see what was there before
    call.state[name] = value;
  return results;
}

std::vector<Tensor> evaluate(ir::KernelOp kernel, ArrayRef<Tensor> arguments, Call& call, const Observer& observer) {
  return evaluate(kernel.getBody(), arguments, call, observer);
}

} // namespace moec::reference
