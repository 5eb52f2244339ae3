// Steps of every optimizer's graph by the reference interpreter, from given gradients, against torch.optim and lion-pytorch (tests/goldens/README.md).

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

class OptimizerGoldens : public testing::TestWithParam<std::string> {};

/// In the place of @loss a function (gradients .., learning rate, step) -> norm, which updates all parameters.
mlir::func::FuncOp replaceLoss(mlir::ModuleOp module) {
  module.lookupSymbol<mlir::func::FuncOp>("loss").erase();
  mlir::OpBuilder builder(module.getContext());
  builder.setInsertionPointToEnd(module.getBody());
  llvm::SmallVector<mlir::Type> types;
  for (auto parameter : module.getOps<ir::ParameterOp>())
    types.push_back(parameter.getType());
  auto norm = mlir::RankedTensorType::get({}, builder.getF64Type());
  types.append({norm, mlir::RankedTensorType::get({}, builder.getI64Type())});
  auto function = mlir::func::FuncOp::create(builder, module.getLoc(), "update", builder.getFunctionType(types, norm));
  mlir::Block* block = function.addEntryBlock();
  builder.setInsertionPointToEnd(block);
  std::vector<models::ParameterGradient> gradients;
  for (auto [parameter, gradient] : llvm::zip(module.getOps<ir::ParameterOp>(), block->getArguments()))
    gradients.push_back({parameter, gradient});
  auto found = models::emitUpdates(module, builder, gradients, block->getArguments().drop_back().back(), block->getArguments().back());
  EXPECT_TRUE(mlir::succeeded(found));
  if (mlir::failed(found))
    return {};
  mlir::func::ReturnOp::create(builder, module.getLoc(), *found);
  return function;
}

/// Part `step` of a tensor whose first dimension is the steps.
Tensor part(const Tensor& all, int64_t step) {
  size_t bytes = all.bytes() / static_cast<size_t>(all.shape()[0]);
  return Tensor::borrow(static_cast<char*>(all.data()) + static_cast<size_t>(step) * bytes, Shape(all.shape().begin() + 1, all.shape().end()), all.dtype());
}

} // namespace

TEST_P(OptimizerGoldens, StepAsPyTorchs) {
  Golden golden = readGolden(GetParam());
  mlir::MLIRContext context;
  models::Diagnostics diagnostics;
  models::ImportOptions options;
  options.train = true;
  auto module = models::buildModel("model.json", golden.metadata.at("text").get<std::string>(), options, &context, diagnostics);
  ASSERT_TRUE(module) << diagnostics.text();
  mlir::func::FuncOp update = replaceLoss(*module);
  ASSERT_TRUE(update && mlir::succeeded(mlir::verify(*module)));

  reference::Call call;
  std::map<std::string, Tensor> weights = golden.part("weights"), gradients = golden.part("gradients");
  for (auto parameter : module->getOps<ir::ParameterOp>())
    call.state[parameter.getSymName().str()] = weights.at(parameter.getSymName().str()).clone();
  for (auto state : module->getOps<ir::StateOp>())
    call.state[state.getSymName().str()] =
        state.getFrom() ? weights.at(state.getFrom()->str()).clone() : Tensor(reference::dtypeOf(state.getType()), reference::shapeOf(state.getType(), {}));
  EXPECT_EQ(call.state.size(), golden.part("parameters").size() + golden.part("states").size());

  const Tensor& rates = golden.tensors.at("learning_rate");
  for (int64_t step = 0; step < rates.elements(); ++step) {
    std::vector<Tensor> arguments;
    for (auto parameter : module->getOps<ir::ParameterOp>())
      arguments.push_back(part(gradients.at(parameter.getSymName().str()), step));
    arguments.push_back(part(rates, step));
    arguments.push_back(Tensor::of<int64_t>({step + 1}, {}));
    Tensor norm = reference::evaluate(update, arguments, call)[0];
    std::string behind = " behind step " + std::to_string(step + 1);
    const Tensor& norms = golden.tensors.at("gradient_norm");
    expectClose(norm, part(norms, step), tolerance(norms.dtype()), "gradient_norm" + behind);
    for (const char* group : {"parameters", "states"})
      for (const auto& [name, all] : golden.part(group))
        expectClose(call.state.at(name), part(all, step), tolerance(all.dtype()), name + behind);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerGoldens, testing::ValuesIn(goldensWith("optimizer")), [](const auto& info) { return testName(info.param); });
