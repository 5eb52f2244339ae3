// Gradients of the zoo's models by the reference interpreter, and twenty steps of training, against PyTorch (tests/goldens/README.md): @loss as the import
// gives it, the reverse pass over it, and an optimizer's graph behind that.

#include "compiler/passes/Backpropagate.h"
#include "models/BuildModel.h"
#include "models/optimizers/Optimizers.h"
#include "runtime/core/Tolerance.h"
#include "tests/models/Goldens.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"

#include <gtest/gtest.h>

using namespace moec;
using namespace moec::test;

namespace {

/// A model's @loss, to which results are added.
struct LossFunction {
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::func::FuncOp function;
  std::vector<std::string> results; // as a golden names them

  /// Null `function` after a failure of the test.
  explicit LossFunction(const std::string& text) {
    models::Diagnostics diagnostics;
    models::ImportOptions options;
    options.drawsAsInputs = options.train = true;
    module = models::buildModel("model.json", text, options, &context, diagnostics);
    EXPECT_TRUE(module) << diagnostics.text();
    if (!module)
      return;
    function = module->lookupSymbol<mlir::func::FuncOp>("loss");
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      results.push_back("losses/" + function.getResultAttrOfType<mlir::StringAttr>(i, "moe.output").str());
  }

  mlir::func::ReturnOp end() { return mlir::cast<mlir::func::ReturnOp>(function.front().getTerminator()); }

  /// The first read of every parameter; all are read.
  std::vector<std::pair<ir::ParameterOp, mlir::Value>> parameters() {
    std::vector<std::pair<ir::ParameterOp, mlir::Value>> found;
    for (auto parameter : module->getOps<ir::ParameterOp>()) {
      mlir::Value value;
      function.walk([&](ir::ReadOp read) {
        if (!value && read.getState() == parameter.getSymName())
          value = read.getResult();
      });
      EXPECT_TRUE(value) << parameter.getSymName().str();
      found.emplace_back(parameter, value);
    }
    return found;
  }

  mlir::FailureOr<llvm::SmallVector<mlir::Value>> gradients(llvm::ArrayRef<mlir::Value> wanted) {
    mlir::OpBuilder builder(end());
    return compiler::backpropagate(end().getOperand(0), wanted, builder);
  }

  void addResult(const std::string& name, mlir::Value value) {
    end()->insertOperands(end().getNumOperands(), value);
    ASSERT_TRUE(mlir::succeeded(function.insertResult(function.getNumResults(), value.getType(), nullptr)));
    results.push_back(name);
  }
};

std::vector<Tensor> argumentsOf(LossFunction& loss, const std::map<std::string, Tensor>& tensors) {
  std::vector<Tensor> arguments;
  for (unsigned i = 0; i < loss.function.getNumArguments(); ++i) {
    auto name = loss.function.getArgAttrOfType<mlir::StringAttr>(i, "moe.input");
    if (!name)
      continue;
    auto given = tensors.find((loss.function.getArgAttr(i, "moe.draw") ? "draws/" : "inputs/") + name.str());
    EXPECT_NE(given, tensors.end()) << "the golden has no " << name.str();
    arguments.push_back(given == tensors.end() ? Tensor() : given->second);
  }
  return arguments;
}

std::map<std::string, Tensor, std::less<>> weightsOf(LossFunction& loss, const Golden& golden) {
  std::map<std::string, Tensor, std::less<>> state;
  for (const auto& [name, tensor] : golden.part("weights"))
    state.emplace(name, tensor.clone());
  for (auto parameter : loss.module->getOps<ir::ParameterOp>())
    EXPECT_TRUE(state.contains(parameter.getSymName().str())) << parameter.getSymName().str();
  return state;
}

class GradientGoldens : public testing::TestWithParam<std::string> {};
class StepGoldens : public testing::TestWithParam<std::string> {};

} // namespace

TEST_P(GradientGoldens, AreAsPyTorchs) {
  Golden golden = readGolden(GetParam());
  LossFunction loss(golden.model("gradients_of"));
  ASSERT_TRUE(loss.function);
  std::vector<std::string> names;
  llvm::SmallVector<mlir::Value> wanted;
  for (auto& [parameter, value] : loss.parameters()) {
    names.push_back("gradients/" + parameter.getSymName().str());
    wanted.push_back(value);
  }
  for (const auto& [name, tensor] : golden.part("input_gradients"))
    for (unsigned i = 0; i < loss.function.getNumArguments(); ++i)
      if (loss.function.getArgAttrOfType<mlir::StringAttr>(i, "moe.input") == name) {
        names.push_back("input_gradients/" + name);
        wanted.push_back(loss.function.getArgument(i));
      }
  auto gradients = loss.gradients(wanted);
  ASSERT_TRUE(mlir::succeeded(gradients));
  for (size_t i = 0; i < names.size(); ++i)
    loss.addResult(names[i], (*gradients)[i]);
  ASSERT_TRUE(mlir::succeeded(mlir::verify(*loss.module)));

  reference::Call call;
  call.bindings = golden.sizes();
  call.state = weightsOf(loss, golden);
  std::vector<Tensor> results = reference::evaluate(loss.function, argumentsOf(loss, golden.tensors), call);
  ASSERT_EQ(results.size(), loss.results.size());
  size_t compared = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    auto expected = golden.tensors.find(loss.results[i]);
    ASSERT_NE(expected, golden.tensors.end()) << "PyTorch gives no " << loss.results[i];
    expectClose(results[i], expected->second, gradientTolerance(expected->second.dtype()), loss.results[i]);
    ++compared;
  }
  for (const char* prefix : {"losses", "gradients", "input_gradients"})
    compared -= golden.part(prefix).size();
  EXPECT_EQ(compared, 0u) << "the golden has losses or gradients that the model does not";
}

TEST_P(StepGoldens, LeadWherePyTorchsDo) {
  Golden golden = readGolden(GetParam());
  LossFunction loss(golden.model("steps_of"));
  ASSERT_TRUE(loss.function);
  std::vector<std::pair<ir::ParameterOp, mlir::Value>> parameters = loss.parameters();
  llvm::SmallVector<mlir::Value> wanted;
  for (auto& [parameter, value] : parameters)
    wanted.push_back(value);
  auto gradients = loss.gradients(wanted);
  ASSERT_TRUE(mlir::succeeded(gradients));
  std::vector<models::ParameterGradient> updates;
  for (size_t i = 0; i < parameters.size(); ++i)
    updates.push_back({parameters[i].first, (*gradients)[i]});
  mlir::OpBuilder builder(loss.end());
  for (mlir::Type element : {mlir::Type(builder.getF64Type()), mlir::Type(builder.getI64Type())})
    ASSERT_TRUE(mlir::succeeded(
        loss.function.insertArgument(loss.function.getNumArguments(), mlir::RankedTensorType::get({}, element), nullptr, loss.function.getLoc())));
  mlir::Value rate = loss.function.getArguments().drop_back().back(), number = loss.function.getArguments().back();
  auto norm = models::emitUpdates(*loss.module, builder, updates, rate, number);
  ASSERT_TRUE(mlir::succeeded(norm));
  loss.addResult("gradient_norm", *norm);
  ASSERT_TRUE(mlir::succeeded(mlir::verify(*loss.module)));

  reference::Call call;
  call.bindings = golden.sizes();
  call.state = weightsOf(loss, golden);
  for (auto state : loss.module->getOps<ir::StateOp>())
    call.state[state.getSymName().str()] = Tensor(reference::dtypeOf(state.getType()), reference::shapeOf(state.getType(), {}));
  double learningRate = nlohmann::json::parse(golden.metadata.at("learning_rate").get<std::string>());
  int64_t steps = golden.tensors.at("gradient_norm").shape()[0];
  ASSERT_EQ(steps, 20);
  auto row = [&](const Tensor& all, int64_t step) {
    Shape shape(all.shape().begin() + 1, all.shape().end());
    size_t bytes = all.bytes() / static_cast<size_t>(steps);
    return Tensor::borrow(static_cast<char*>(all.data()) + static_cast<size_t>(step) * bytes, shape, all.dtype());
  };
  for (int64_t step = 0; step < steps; ++step) {
    std::map<std::string, Tensor> batch;
    for (const auto& [name, tensor] : golden.part("inputs"))
      batch.emplace("inputs/" + name, row(tensor, step));
    std::vector<Tensor> arguments = argumentsOf(loss, batch);
    arguments.push_back(Tensor::of<double>({learningRate}, {}));
    arguments.push_back(Tensor::of<int64_t>({step + 1}, {}));
    std::vector<Tensor> results = reference::evaluate(loss.function, arguments, call);
    for (size_t i = 0; i < results.size(); ++i) {
      const Tensor& all = golden.tensors.at(loss.results[i]);
      expectClose(results[i], row(all, step), trainedTolerance(all.dtype()), loss.results[i] + " of step " + std::to_string(step + 1));
    }
  }
  for (const auto& [name, expected] : golden.part("trained"))
    expectClose(call.state.at(name), expected, trainedTolerance(expected.dtype()), name);
}

INSTANTIATE_TEST_SUITE_P(All, GradientGoldens, testing::ValuesIn(goldensWith("gradients_of")), [](const auto& info) { return testName(info.param); });
INSTANTIATE_TEST_SUITE_P(All, StepGoldens, testing::ValuesIn(goldensWith("steps_of")), [](const auto& info) { return testName(info.param); });
