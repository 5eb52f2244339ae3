// The reverse pass over whole functions and models, and what it leaves for the backward part to compute again.

#include "compiler/passes/Backpropagate.h"
#include "compiler/passes/ChooseRecompute.h"
#include "ir/reference/Interpreter.h"
#include "models/BuildModel.h"
#include "tests/ir/TestModule.h"

#include "mlir/IR/Verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

namespace moec {

using mlir::Value;

class GradientsTest : public IrTest {
protected:
  /// Behind all ops of @f: the gradients of its result, which become the results.
  bool addGradients(mlir::func::FuncOp function, llvm::ArrayRef<Value> wanted) {
    mlir::Operation* end = function.getBody().front().getTerminator();
    mlir::OpBuilder builder(end);
    lastForward = end->getPrevNode();
    mlir::FailureOr<llvm::SmallVector<Value>> gradients = compiler::backpropagate(end->getOperand(0), wanted, builder);
    if (failed(gradients))
      return false;
    function.removeResAttrsAttr(); // they name what is returned no more
    end->setOperands(*gradients);
    function.setType(mlir::FunctionType::get(&context, function.getArgumentTypes(), mlir::ValueRange(*gradients).getTypes()));
    return succeeded(mlir::verify(function));
  }
  std::vector<Value> reads(mlir::func::FuncOp function) {
    std::vector<Value> values;
    for (auto read : function.getOps<ir::ReadOp>())
      values.push_back(read);
    return values;
  }
  std::multiset<std::string> opsBehind(mlir::Operation* op) {
    std::multiset<std::string> names;
    for (op = op->getNextNode(); !op->hasTrait<mlir::OpTrait::IsTerminator>(); op = op->getNextNode())
      names.insert(op->getName().stripDialect().str());
    return names;
  }
  /// The forward values that ops behind the forward part use.
  std::set<std::string> savedKinds(mlir::func::FuncOp function) {
    std::set<std::string> kinds;
    for (mlir::Operation* op = lastForward->getNextNode(); !op->hasTrait<mlir::OpTrait::IsTerminator>(); op = op->getNextNode())
      for (Value operand : op->getOperands()) {
        mlir::Operation* producer = operand.getDefiningOp();
        if (!producer || producer == lastForward || producer->isBeforeInBlock(lastForward))
          kinds.insert(producer ? producer->getName().stripDialect().str() : "argument");
      }
    return kinds;
  }

  mlir::Operation* lastForward = nullptr;
};

static std::vector<double> numbers(const Tensor& tensor) { return tensor.toDoubles(); }

TEST_F(GradientsTest, ReadsOfOneParameterAreSummed) {
  auto function = parse(R"(
    moe.parameter @w : tensor<f64> init #moe.init<"ones", 0.0 : f64, 0.0 : f64>
    func.func @f(%x: tensor<f64>) -> tensor<f64> {
      %a = moe.read @w : tensor<f64>
      %b = moe.mul %x, %a : tensor<f64>, tensor<f64>
      %c = moe.read @w : tensor<f64>
      %d = moe.mul %b, %c : tensor<f64>, tensor<f64>
      return %d : tensor<f64>
    })");
  std::vector<Value> both = reads(function);
  ASSERT_TRUE(addGradients(function, {both[1], function.getArgument(0)})); // d(x w^2)
  reference::Call call;
  call.state["w"] = Tensor::of<double>({3}, {});
  std::vector<Tensor> results = reference::evaluate(function, {Tensor::of<double>({5}, {})}, call);
  EXPECT_EQ(numbers(results[0]), std::vector<double>{30});
  EXPECT_EQ(numbers(results[1]), std::vector<double>{9});
}

TEST_F(GradientsTest, GradientsOfSlicesSideBySideAreJoined) {
  auto function = parse(R"(
    func.func @f(%x: tensor<2x6xf64>) -> tensor<f64> {
      %a = moe.slice %x axis 1 from "4" size "2" : tensor<2x6xf64>
      %b = moe.slice %x axis 1 from "1" size "2" : tensor<2x6xf64>
      %c = moe.mul %a, %b : tensor<2x2xf64>, tensor<2x2xf64>
      %d = moe.reduce sum %c axis 1 : tensor<2x2xf64>
      %e = moe.reduce sum %d axis 0 : tensor<2xf64>
      return %e : tensor<f64>
    })");
  ASSERT_TRUE(addGradients(function, {function.getArgument(0)}));
  std::multiset<std::string> ops = opsBehind(lastForward);
  EXPECT_EQ(ops.count("concat"), 1u);
  EXPECT_EQ(ops.count("add"), 0u);
  reference::Call call;
  std::vector<Tensor> results = reference::evaluate(function, {Tensor::of<double>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {2, 6})}, call);
  EXPECT_EQ(numbers(results[0]), (std::vector<double>{0, 4, 5, 0, 1, 2, 0, 10, 11, 0, 7, 8}));
}

TEST_F(GradientsTest, GradientsOfSlicesThatOverlapAreSummed) {
  auto function = parse(R"(
    func.func @f(%x: tensor<3xf64>) -> tensor<f64> {
      %a = moe.slice %x axis 0 from "0" size "2" : tensor<3xf64>
      %b = moe.slice %x axis 0 from "1" size "2" : tensor<3xf64>
      %c = moe.mul %a, %b : tensor<2xf64>, tensor<2xf64>
      %d = moe.reduce sum %c axis 0 : tensor<2xf64>
      return %d : tensor<f64>
    })");
  ASSERT_TRUE(addGradients(function, {function.getArgument(0)}));
  EXPECT_EQ(opsBehind(lastForward).count("add"), 1u);
  reference::Call call;
  std::vector<Tensor> results = reference::evaluate(function, {Tensor::of<double>({2, 3, 5}, {3})}, call);
  EXPECT_EQ(numbers(results[0]), (std::vector<double>{3, 7, 3}));
}

TEST_F(GradientsTest, ValuesInBetweenHaveGradientsToo) {
  auto function = parse(R"(
    func.func @f(%x: tensor<2xf64>) -> tensor<f64> {
      %a = moe.exp %x : tensor<2xf64>
      %b = moe.mul %a, %a : tensor<2xf64>, tensor<2xf64>
      %c = moe.reduce sum %b axis 0 : tensor<2xf64>
      return %c : tensor<f64>
    })");
  Value inner = first<ir::ExpOp>(function), loss = first<ir::ReduceOp>(function).getResult();
  ASSERT_TRUE(addGradients(function, {inner, loss}));
  EXPECT_EQ(opsBehind(lastForward).count("exp"), 0u);
  reference::Call call;
  std::vector<Tensor> results = reference::evaluate(function, {Tensor::of<double>({0, std::log(2.0)}, {2})}, call);
  EXPECT_EQ(numbers(results[0]), (std::vector<double>{2, 4}));
  EXPECT_EQ(numbers(results[1]), std::vector<double>{1});
}

TEST_F(GradientsTest, WhatDoesNotReachTheLossIsZero) {
  auto function = parse(R"(
    func.func @f(%x: tensor<2xf64>, %u: tensor<?x3xf32, #moe.sizes<"n", "3">>, %s: tensor<2x4xf64>) -> tensor<f64> {
      %v, %i = moe.select %s k 1 : tensor<2x4xf64>
      %j = moe.reshape %i : tensor<2x1xi32> -> tensor<2xi32>
      %k = moe.cast %j to f64 : tensor<2xi32>
      %b = moe.mul %x, %k : tensor<2xf64>, tensor<2xf64>
      %unused = moe.exp %u : tensor<?x3xf32, #moe.sizes<"n", "3">>
      %c = moe.reduce sum %b axis 0 : tensor<2xf64>
      return %c : tensor<f64>
    })");
  ASSERT_TRUE(addGradients(function, llvm::to_vector_of<Value>(function.getArguments())));
  reference::Call call;
  std::vector<Tensor> results = reference::evaluate(
      function, {Tensor::of<double>({1, 1}, {2}), Tensor::of<float>({1, 2, 3}, {1, 3}), Tensor::of<double>({0, 0, 9, 0, 9, 0, 0, 0}, {2, 4})}, call);
  EXPECT_EQ(numbers(results[0]), (std::vector<double>{2, 0}));
  EXPECT_EQ(numbers(results[1]), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(numbers(results[2]), std::vector<double>(8, 0.0));
}

TEST_F(GradientsTest, OnlyWantedGradientsAreComputed) {
  auto function = parse(R"(
    func.func @f(%x: tensor<2x3xf32>, %w: tensor<1x3xf32>) -> tensor<f32> {
      %a = moe.matmul %x, %w : tensor<2x3xf32>, tensor<1x3xf32>
      %b = moe.reshape %a : tensor<2x1xf32> -> tensor<2xf32>
      %c = moe.reduce mean %b axis 0 : tensor<2xf32>
      return %c : tensor<f32>
    })");
  ASSERT_TRUE(addGradients(function, {function.getArgument(1)}));
  EXPECT_EQ(opsBehind(lastForward).count("matmul"), 1u); // of w, none of x
}

TEST_F(GradientsTest, ComplaintsSayWhere) {
  std::vector<std::string> texts;
  mlir::ScopedDiagnosticHandler handler(&context,
                                        [&](mlir::Diagnostic& diagnostic) { texts.push_back(ir::pathOf(diagnostic.getLocation()) + ": " + diagnostic.str()); });
  auto function = parse(R"(
    func.func @f(%x: tensor<2xf64>, %i: tensor<2xi32>) -> tensor<2xf64> {
      %a = moe.gelu_grad %x : tensor<2xf64> loc("layers.0")
      return %a : tensor<2xf64>
    })");
  Value y = first<ir::GeluGradOp>(function), x = function.getArgument(0), ids = function.getArgument(1);
  mlir::OpBuilder builder(function.getBody().front().getTerminator());
  EXPECT_TRUE(failed(compiler::backpropagate(y, {x}, builder)));
  Value sum = ir::ReduceOp::create(builder, y.getLoc(), ir::ReduceKind::Sum, y, 0);
  EXPECT_TRUE(failed(compiler::backpropagate(sum, {ids}, builder)));
  EXPECT_TRUE(failed(compiler::backpropagate(sum, {x}, builder)));
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(texts[0], "layers.0: gradients are those of a float of no dimensions: the loss is 'tensor<2xf64>'");
  EXPECT_EQ(texts[1].substr(texts[1].find(": ") + 2), "a gradient is asked for of 'tensor<2xi32>': only tensors of f64, f32 or bf16 have one");
  EXPECT_EQ(texts[2], "layers.0: moe.gelu_grad has no gradient, and a loss depends on it: ops of gradients and of kernels do not stand in @loss");
}

// A block of a transformer, and experts: what is saved is products, choices and inputs.
TEST_F(GradientsTest, CheapValuesAreComputedAgain) {
  auto function = parse(R"(
    func.func @f(%x: tensor<?x8xf32, #moe.sizes<"t", "8">>, %g: tensor<4x8xf32>, %u: tensor<4x16x8xf32>, %d: tensor<4x8x16xf32>) -> tensor<f32> {
      %n = moe.layer_norm %x eps 1.0e-5 of tensor<?x8xf32, #moe.sizes<"t", "8">>
      %s = moe.matmul %n, %g : tensor<?x8xf32, #moe.sizes<"t", "8">>, tensor<4x8xf32>
      %p = moe.softmax %s : tensor<?x4xf32, #moe.sizes<"t", "4">>
      %v, %i = moe.select %p k 2 : tensor<?x4xf32, #moe.sizes<"t", "4">>
      %r = moe.assign %i experts 4 token_major : tensor<?x2xi32, #moe.sizes<"t", "2">>
      %a = moe.dispatch %n, %r : tensor<?x8xf32, #moe.sizes<"t", "8">>, !moe.routing<4 experts, "t" tokens, 2 choices>
      %h = moe.grouped_matmul %a, %u, %r : tensor<?x8xf32, #moe.sizes<"2*t", "8">>, tensor<4x16x8xf32>, !moe.routing<4 experts, "t" tokens, 2 choices>
      %e = moe.gelu %h : tensor<?x16xf32, #moe.sizes<"2*t", "16">>
      %o = moe.grouped_matmul %e, %d, %r : tensor<?x16xf32, #moe.sizes<"2*t", "16">>, tensor<4x8x16xf32>, !moe.routing<4 experts, "t" tokens, 2 choices>
      %c = moe.combine %o, %r, %v : tensor<?x8xf32, #moe.sizes<"2*t", "8">>, !moe.routing<4 experts, "t" tokens, 2 choices>, tensor<?x2xf32, #moe.sizes<"t", "2">>
      %y = moe.add %x, %c : tensor<?x8xf32, #moe.sizes<"t", "8">>, tensor<?x8xf32, #moe.sizes<"t", "8">>
      %q = moe.mul %y, %y : tensor<?x8xf32, #moe.sizes<"t", "8">>, tensor<?x8xf32, #moe.sizes<"t", "8">>
      %m = moe.reduce mean %q axis 0 : tensor<?x8xf32, #moe.sizes<"t", "8">>
      %l = moe.reduce sum %m axis 0 : tensor<8xf32>
      return %l : tensor<f32>
    })");
  ASSERT_TRUE(addGradients(function, llvm::to_vector_of<Value>(function.getArguments())));
  EXPECT_EQ(savedKinds(function),
            (std::set<std::string>{"add", "argument", "assign", "dispatch", "gelu", "grouped_matmul", "layer_norm", "select", "softmax"}));
  compiler::chooseRecompute(lastForward->getNextNode());
  ASSERT_TRUE(succeeded(mlir::verify(function)));
  EXPECT_EQ(savedKinds(function), (std::set<std::string>{"argument", "assign", "combine", "grouped_matmul", "matmul", "select"}));
}

// x1 = x0 + m1 is made again from both; x2 = x1 + m2 would read three.
TEST_F(GradientsTest, AChainOfResidualsIsSavedEverySecondTime) {
  auto function = parse(R"(
    func.func @f(%x: tensor<2x8xf32>, %w: tensor<8x8xf32>) -> tensor<f32> {
      %m1 = moe.matmul %x, %w : tensor<2x8xf32>, tensor<8x8xf32>
      %x1 = moe.add %x, %m1 : tensor<2x8xf32>, tensor<2x8xf32> loc("one")
      %m2 = moe.matmul %x1, %w : tensor<2x8xf32>, tensor<8x8xf32>
      %x2 = moe.add %x1, %m2 : tensor<2x8xf32>, tensor<2x8xf32> loc("two")
      %m3 = moe.matmul %x2, %w : tensor<2x8xf32>, tensor<8x8xf32>
      %x3 = moe.add %x2, %m3 : tensor<2x8xf32>, tensor<2x8xf32> loc("three")
      %q = moe.mul %x3, %x3 : tensor<2x8xf32>, tensor<2x8xf32>
      %a = moe.reduce sum %q axis 0 : tensor<2x8xf32>
      %l = moe.reduce sum %a axis 0 : tensor<8xf32>
      return %l : tensor<f32>
    })");
  ASSERT_TRUE(addGradients(function, {function.getArgument(1)}));
  compiler::chooseRecompute(lastForward->getNextNode());
  std::set<std::string> saved;
  for (auto add : function.getOps<ir::AddOp>())
    for (mlir::Operation* user : add->getUsers())
      if ((add.getOperation() == lastForward || add->isBeforeInBlock(lastForward)) && lastForward->isBeforeInBlock(user))
        saved.insert(ir::pathOf(add.getLoc()));
  EXPECT_EQ(saved, std::set<std::string>{"two"});
}

//===--- whole models, in f64 ---===//

class ModelGradientsTest : public GradientsTest, public ::testing::WithParamInterface<std::string> {
protected:
  /// @loss of the model in f64.
  mlir::func::FuncOp build() {
    std::ifstream file(std::string(MOEC_SOURCE_DIR "/models/zoo/") + GetParam() + ".json");
    std::stringstream text;
    text << file.rdbuf();
    std::string json = text.str();
    if (json.find("\"dtype\": \"f64\",\n") == std::string::npos)
      json.insert(json.find('{') + 1, "\"dtype\": \"f64\",");
    models::Diagnostics diagnostics;
    module = models::buildModel(GetParam(), json, {.useCheck = true, .train = true}, &context, diagnostics);
    EXPECT_EQ(diagnostics.text(), "");
    return module ? module->lookupSymbol<mlir::func::FuncOp>("loss") : mlir::func::FuncOp();
  }
};

/// Numbers in [-1, 1).
static Tensor draw(const Shape& shape, std::mt19937_64& random) {
  Tensor tensor(DType::F64, shape);
  for (double& value : tensor.as<double>())
    value = static_cast<double>(random() % 4096) / 2048 - 1;
  return tensor;
}

static Tensor sum(const Tensor& a, const Tensor& b, double times) {
  Tensor result = a.clone();
  for (size_t i = 0; double& value : result.as<double>())
    value += times * b.as<double>()[i++];
  return result;
}

/// Of length 1, where it is not 0.
static Tensor unit(const Tensor& x) {
  double square = 0;
  for (double value : x.as<double>())
    square += value * value;
  Tensor result = x.clone();
  for (double& value : result.as<double>())
    value /= square > 0 ? std::sqrt(square) : 1;
  return result;
}

// Of each parameter along its gradient and a draw: the one shows its length, the other what it should not hold.
TEST_P(ModelGradientsTest, AgreeWithDifferences) {
  mlir::func::FuncOp function = build();
  ASSERT_TRUE(function);
  mlir::func::FuncOp gradient = function.clone();
  gradient.setName("gradient");
  module->push_back(gradient);
  std::map<std::string, Value> parameters;
  for (auto read : gradient.getOps<ir::ReadOp>())
    parameters.emplace(read.getState().str(), read);
  std::vector<Value> wanted;
  for (const auto& [name, value] : parameters)
    wanted.push_back(value);
  ASSERT_TRUE(addGradients(gradient, wanted));
  mlir::Operation* boundary = lastForward;

  std::mt19937_64 random(11);
  reference::Call call;
  call.seed = 5;
  for (mlir::NamedAttribute size : module->getOperation()->getAttrOfType<mlir::DictionaryAttr>("moe.check"))
    call.bindings[size.getName().str()] = mlir::cast<mlir::IntegerAttr>(size.getValue()).getInt();
  std::vector<Tensor> arguments;
  for (mlir::BlockArgument argument : function.getArguments()) {
    auto below = function.getArgAttrOfType<mlir::IntegerAttr>(argument.getArgNumber(), "moe.below");
    Shape shape = reference::shapeOf(argument.getType(), call.bindings);
    DType type = reference::dtypeOf(argument.getType());
    Tensor values = draw(shape, random);
    if (!isFloat(type))
      for (double& value : values.as<double>())
        value = static_cast<double>(random() % static_cast<uint64_t>(below ? below.getInt() : 2));
    arguments.push_back(values.cast(type));
  }
  for (const auto& [name, value] : parameters)
    call.state[name] = sum(Tensor(DType::F64, reference::shapeOf(value.getType(), {})), draw(reference::shapeOf(value.getType(), {}), random), 0.3);

  std::vector<Tensor> gradients = reference::evaluate(gradient, arguments, call);
  compiler::chooseRecompute(boundary->getNextNode());
  ASSERT_TRUE(succeeded(mlir::verify(gradient)));
  std::vector<Tensor> again = reference::evaluate(gradient, arguments, call);
  size_t place = 0, flowing = 0;
  for (const auto& [name, value] : parameters) {
    EXPECT_EQ(std::memcmp(again[place].data(), gradients[place].data(), again[place].bytes()), 0) << name;
    Tensor direction = sum(unit(gradients[place]), unit(draw(gradients[place].shape(), random)), 1);
    auto lossAt = [&](double step) {
      reference::Call moved = call;
      moved.state[name] = sum(call.state[name], direction, step);
      return reference::evaluate(function, arguments, moved)[0].toDoubles()[0];
    };
    // Small steps, so that no token changes its experts; the loss is about 1, so that its rounding is epsilon / step, far under the 2^-26 that is allowed.
    double step = 0x1p-18, difference = (lossAt(step) - lossAt(-step)) / (2 * step), along = 0, largest = 0;
    for (int64_t i = 0; i < direction.elements(); ++i) {
      along += direction.as<double>()[i] * gradients[place].as<double>()[i];
      largest = std::max(largest, std::abs(gradients[place].as<double>()[i]));
    }
    flowing += largest > 0;
    EXPECT_NEAR(along, difference, 0x1p-26 * std::max(1.0, std::abs(along))) << name;
    ++place;
  }
  EXPECT_GT(flowing, parameters.size() / 2) << "most parameters have gradients that are not zero";
}

static std::vector<std::string> zoo() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(MOEC_SOURCE_DIR "/models/zoo"))
    if (file.path().extension() == ".json")
      names.push_back(file.path().stem().string());
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Zoo, ModelGradientsTest, ::testing::ValuesIn(zoo()), [](const auto& one) {
  std::string name = one.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

} // namespace moec
