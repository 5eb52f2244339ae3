#include "tests/ir/gradients/Differences.h"

#include "compiler/passes/Backpropagate.h"
#include "ir/gradients/Gradient.h"
#include "ir/ops/Infer.h"
#include "runtime/core/Error.h"

#include "mlir/IR/Verifier.h"
#include "llvm/ADT/TypeSwitch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

using namespace mlir;

namespace moec::testing {

namespace {

/// In f64, of the stencil of four points: its error is step^4 f5 / 30, rounding adds epsilon f / step. Both lie under 2^-36 for steps of 2^-10 and functions
/// whose fifth derivatives stay under a thousand.
constexpr double kStep = 0x1p-10;
double allowed(const Trial& trial, double largest) { return trial.whole ? 0 : 0x1p-32 * std::max(1.0, largest); }

bool isFloatArgument(Value argument) { return ir::isDifferentiable(argument); }

/// Numbers in (-1, 1) at least a third of their mean distance apart from each other and from 0.
std::vector<double> numbersApart(int64_t count, std::mt19937_64& random) {
  std::vector<double> numbers;
  int64_t places = count + count % 2; // as many below as above 0
  for (int64_t i = 0; i < places; ++i)
    numbers.push_back((static_cast<double>(2 * i - places + 1) + (static_cast<double>(random() % 1024) / 1024 - 0.5)) / static_cast<double>(places));
  for (size_t i = numbers.size(); i > 1; --i)
    std::swap(numbers[i - 1], numbers[random() % i]);
  return numbers;
}

/// Rows behind the routing's count as NaN, in the results of ops that leave them undefined.
class Poison {
public:
  void operator()(Operation* op, ArrayRef<Tensor> results) {
    for (auto [value, tensor] : llvm::zip(op->getResults(), results))
      if (isa<ir::RoutingType>(value.getType()))
        routings_[value] = tensor;
    Value routing = llvm::TypeSwitch<Operation*, Value>(op)
                        .Case<ir::DispatchOp, ir::ExpertRowsOp, ir::GroupedMatmulOp>([](auto ragged) { return ragged.getRouting(); })
                        .Default([](Operation*) { return Value(); });
    if (!routing)
      return;
    int64_t kept = routings_.lookup(routing).as<int32_t>()[cast<ir::RoutingType>(routing.getType()).getExperts()];
    const Tensor& rows = results[0];
    size_t row = rows.shape()[0] ? rows.bytes() / static_cast<size_t>(rows.shape()[0]) : 0, from = row * static_cast<size_t>(kept);
    std::memset(static_cast<char*>(rows.data()) + from, 0xFF, rows.bytes() - from); // a NaN of every float
  }

private:
  llvm::DenseMap<Value, Tensor> routings_;
};

std::vector<Tensor> run(func::FuncOp function, const std::vector<Tensor>& arguments, const Bindings& sizes) {
  reference::Call call;
  call.bindings = sizes;
  Poison poison;
  return reference::evaluate(function, arguments, call, [&](Operation* op, ArrayRef<Tensor> results) { poison(op, results); });
}

/// sum(f(x) * dy) where one element of one argument is moved.
double lossAt(const Trial& trial, size_t argument, int64_t element, double shift) {
  std::vector<Tensor> arguments = trial.arguments;
  std::vector<double> moved = arguments[argument].toDoubles();
  moved[static_cast<size_t>(element)] += shift;
  arguments[argument] = Tensor::of(moved, arguments[argument].shape()).cast(arguments[argument].dtype());
  std::vector<double> y = run(trial.function, arguments, trial.sizes).at(0).toDoubles(), dy = trial.dy.toDoubles();
  long double sum = 0;
  for (size_t i = 0; i < y.size(); ++i)
    sum += static_cast<long double>(y[i]) * dy[i];
  return static_cast<double>(sum);
}

} // namespace

Trial makeTrial(func::FuncOp function, const Bindings& sizes) {
  Trial trial{.function = function, .sizes = sizes};
  std::mt19937_64 random(7);
  int64_t count = 0;
  for (Value argument : function.getArguments())
    count += Tensor(DType::Bool, reference::shapeOf(argument.getType(), sizes)).elements();
  std::vector<double> numbers = numbersApart(count, random);
  size_t next = 0;
  for (BlockArgument argument : function.getArguments()) {
    auto attribute = [&](StringRef name) { return function.getArgAttr(argument.getArgNumber(), name); };
    Tensor tensor(DType::F64, reference::shapeOf(argument.getType(), sizes));
    bool small = bool(attribute("moe.small"));
    trial.whole = trial.whole || small;
    auto below = dyn_cast_or_null<IntegerAttr>(attribute("moe.below"));
    for (double& value : tensor.as<double>()) {
      double number = numbers[next++];
      if (small)
        value = static_cast<double>(random() % 7) - 3;
      else if (!isFloatArgument(argument))
        value = static_cast<double>(random() % static_cast<uint64_t>(below ? below.getInt() : 2));
      else
        value = attribute("moe.positive") ? 1.25 + 0.75 * number : 2 * number;
    }
    trial.arguments.push_back(tensor.cast(reference::dtypeOf(argument.getType())));
  }
  Type result = function.getResultTypes()[0];
  Tensor dy(DType::F64, reference::shapeOf(result, sizes));
  for (double& value : dy.as<double>())
    value = trial.whole ? static_cast<double>(random() % 7) - 3 : static_cast<double>(random() % 4096) / 2048 - 1;
  trial.dy = dy.cast(reference::dtypeOf(result));
  return trial;
}

func::FuncOp addGradient(func::FuncOp function, Operation*& loss) {
  func::FuncOp gradient = function.clone();
  gradient.setName("g");
  function->getParentOfType<ModuleOp>().push_back(gradient);
  Block& block = gradient.getBody().front();
  SmallVector<Value> wanted(llvm::make_filter_range(block.getArguments(), isFloatArgument));
  Operation* end = block.getTerminator();
  Value y = end->getOperand(0), dy = block.addArgument(y.getType(), y.getLoc());
  OpBuilder builder(end);
  Location place = NameLoc::get(builder.getStringAttr(kLossPlace));
  Value weighted = ir::MulOp::create(builder, place, y, dy);
  Type element = cast<RankedTensorType>(y.getType()).getElementType();
  Value flat = ir::ReshapeOp::create(builder, place, ir::tensorOf({ir::product(ir::sizesOf(y))}, element), weighted);
  Value sum = ir::ReduceOp::create(builder, place, ir::ReduceKind::Sum, flat, 0);
  loss = sum.getDefiningOp();
  FailureOr<SmallVector<Value>> gradients = compiler::backpropagate(sum, wanted, builder);
  if (failed(gradients))
    return {};
  end->setOperands(*gradients);
  gradient.setType(FunctionType::get(gradient.getContext(), block.getArgumentTypes(), ValueRange(*gradients).getTypes()));
  return succeeded(verify(gradient)) ? gradient : func::FuncOp();
}

std::vector<Tensor> evaluateGradient(func::FuncOp gradient, const Trial& trial) {
  std::vector<Tensor> arguments = trial.arguments;
  arguments.push_back(trial.dy);
  return run(gradient, arguments, trial.sizes);
}

std::vector<std::vector<double>> differences(const Trial& trial) {
  std::vector<std::vector<double>> results;
  for (size_t argument = 0; argument < trial.arguments.size(); ++argument) {
    if (!isFloat(trial.arguments[argument].dtype()))
      continue;
    std::vector<double>& result = results.emplace_back();
    for (int64_t i = 0; i < trial.arguments[argument].elements(); ++i) {
      auto slope = [&](double step) { return (lossAt(trial, argument, i, step) - lossAt(trial, argument, i, -step)) / (2 * step); };
      result.push_back(trial.whole ? slope(1) : (4 * slope(kStep) - slope(2 * kStep)) / 3);
    }
  }
  return results;
}

std::string disagreement(const std::vector<Tensor>& gradients, const std::vector<std::vector<double>>& expected, const Trial& trial) {
  if (gradients.size() != expected.size())
    return fmt::format("{} gradients for {} arguments", gradients.size(), expected.size());
  double largest = 0;
  for (const std::vector<double>& one : expected)
    for (double value : one)
      largest = std::max(largest, std::abs(value));
  for (size_t argument = 0; argument < expected.size(); ++argument) {
    std::vector<double> gradient = gradients[argument].toDoubles();
    for (size_t i = 0; i < gradient.size(); ++i)
      if (!(std::abs(gradient[i] - expected[argument][i]) <= allowed(trial, largest))) // NaN is apart from all
        return fmt::format("argument {}, element {}: the gradient is {}, the difference {}", argument, i, gradient[i], expected[argument][i]);
  }
  return "";
}

} // namespace moec::testing
