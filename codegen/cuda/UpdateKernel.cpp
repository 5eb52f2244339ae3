// update: elementwise ops on arguments of one shape and on scalars. A result may lie in an argument's memory: a thread reads all that it needs of an element
// before it writes there, and no other thread looks at it. What depends on scalars alone is computed once for a thread's elements.
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

namespace {

bool isScalar(mlir::Value value) { return ir::product(ir::sizesOf(value)) == Size(1); }

mlir::FailureOr<ir::Sizes> checkedSizes(ir::KernelOp kernel) {
  mlir::Block& body = kernel.getBody().front();
  if (body.getTerminator()->getNumOperands() == 0)
    return kernel.emitError() << "internal: an update without results";
  ir::Sizes sizes = ir::sizesOf(body.getTerminator()->getOperand(0));
  auto fits = [&](mlir::Value value) { return ir::sizesOf(value) == sizes || isScalar(value); };
  for (mlir::Operation& op : body.without_terminator()) {
    if (!ir::isElementwise(&op) && !mlir::isa<ir::ConstantOp>(op))
      return kernel.emitError() << "internal: an update cannot hold " << op.getName();
    for (mlir::Value value : op.getOperands())
      if (!fits(value))
        return kernel.emitError() << "internal: an update of " << ir::describe(sizes) << " reads " << ir::describe(ir::sizesOf(value)) << ", which is no scalar";
    if (auto constant = mlir::dyn_cast<ir::ConstantOp>(op); constant && !isScalar(constant.getResult()) && !mlir::cast<mlir::DenseElementsAttr>(constant.getValue()).isSplat())
      return kernel.emitError() << "internal: an update holds a constant of many numbers";
    if (!fits(op.getResult(0)))
      return kernel.emitError() << "internal: an update of " << ir::describe(sizes) << " holds " << ir::describe(ir::sizesOf(op.getResult(0)));
  }
  for (mlir::Value result : body.getTerminator()->getOperands())
    if (!(ir::sizesOf(result) == sizes))
      return kernel.emitError() << "internal: an update gives results of two shapes, " << ir::describe(sizes) << " and " << ir::describe(ir::sizesOf(result));
  return sizes;
}

} // namespace

mlir::DictionaryAttr scheduleUpdate(ir::KernelOp kernel, const CudaTarget&) {
  return toAttr(kernel.getContext(), {{"threads", 256}, {"elements", 4}});
}

mlir::LogicalResult buildUpdate(KernelText& k, ir::KernelOp kernel) {
  auto threads = fieldOf(kernel, "threads", 32, 1024), each = fieldOf(kernel, "elements", 1, 64);
  if (mlir::failed(threads) || mlir::failed(each))
    return mlir::failure();
  auto sizes = checkedSizes(kernel);
  if (mlir::failed(sizes))
    return mlir::failure();
  k.allowInPlace();
  mlir::Block& body = kernel.getBody().front();
  Size elements = ir::product(*sizes), operations = 0;
  bool single = elements == Size(1);
  Lines lines;
  ElementText texts(k, lines);
  for (mlir::BlockArgument argument : body.getArguments())
    if (single || !isScalar(argument))
      texts.bind(argument, [&, argument](const Coordinates&) {
        DType type = dtypeOf(argument);
        std::string name = texts.fresh("old");
        lines.line("const {} {} = {};", registerType(type), name, loadText(type, k.input(argument.getArgNumber()), "element"));
        return name;
      });
  for (mlir::Operation& op : body.without_terminator()) {
    operations = operations + ir::product(ir::sizesOf(op.getResult(0))) * Size(elementCost(&op));
    if (single || !isScalar(op.getResult(0)))
      continue;
    std::string known = texts.element(op.getResult(0), Coordinates(ir::sizesOf(op.getResult(0)).size(), "0"));
    texts.bind(op.getResult(0), [known](const Coordinates&) { return known; });
  }
  lines.add("#pragma unroll 1");
  lines.open("for (int j = 0; j < {}; ++j)", *each);
  lines.line("const long long element = (blockIdx.x * {}ll + j) * {} + threadIdx.x;", *each, *threads);
  lines.line("if (element >= {})", k.size(elements));
  lines.line("  return;");
  // Arguments of the one shape are read at `element`; of the coordinates no one asks.
  Coordinates at(sizes->size(), "element");
  std::vector<std::string> values;
  for (mlir::Value result : body.getTerminator()->getOperands())
    values.push_back(texts.element(result, broadcastPlace(*sizes, at)));
  for (auto [i, value] : llvm::enumerate(values))
    lines.add(storeText(dtypeOf(body.getTerminator()->getOperand(static_cast<unsigned>(i))), k.output(static_cast<unsigned>(i)), "element", value));
  lines.close();
  k.stage({.name = "update",
           .summary = fmt::format("A block updates {} elements of {}.", *each * *threads, ir::describe(*sizes)),
           .blocks = Size::ceilDiv(elements, *each * *threads),
           .threads = static_cast<int>(*threads),
           .operations = operations,
           .body = lines.str()});
  return mlir::success();
}

} // namespace moec::codegen::cuda
