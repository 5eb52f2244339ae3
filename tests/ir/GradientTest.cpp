// The rules of ir/gradients, each held to central differences of the reference interpreter; that no op is without one or the other; and that a wrong rule
// would be found.

#include "ir/gradients/Gradient.h"
#include "compiler/passes/ChooseRecompute.h"
#include "runtime/core/Error.h"
#include "tests/ir/TestModule.h"
#include "tests/ir/gradients/Cases.h"
#include "tests/ir/gradients/Differences.h"
#include "tests/ir/gradients/Mutants.h"

#include "mlir/IR/Verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

namespace moec {

using testing::GradientCase;
using testing::Trial;

/// Constant, or a choice: a gradient ends there.
static const std::set<std::string> kFlat = {"read",   "detach", "compare",    "constant",      "size",   "random", "is_top",
                                            "assign", "drop",   "experts_of", "expert_counts", "places", "swipe"};
/// What does not stand in @loss: declarations, writes, gradients, and what later phases make.
static const std::set<std::string> kRefused = {"parameter",
                                               "prepared",
                                               "state",
                                               "write",
                                               "pack",
                                               "unpack",
                                               "quantize",
                                               "dequantize",
                                               "kernel",
                                               "yield",
                                               "gelu_grad",
                                               "gelu_tanh_grad",
                                               "layer_norm_grad",
                                               "rms_norm_grad",
                                               "softmax_grad",
                                               "cross_entropy_grad",
                                               "attention_grad",
                                               "relative_bias_grad",
                                               "embedding_grad",
                                               "select_grad",
                                               "grouped_weight_grad",
                                               "slice_at",
                                               "cached_attention",
                                               "append"};

static Bindings sizes() {
  Bindings bindings;
  for (const auto& [name, size] : testing::kGradientSizes)
    bindings[name] = size;
  return bindings;
}

class GradientTest : public IrTest {
protected:
  /// @f of a text, with its gradient @g behind it.
  bool prepare(const std::string& text) {
    mlir::func::FuncOp function = parse(text);
    if (!function)
      return false;
    trial = testing::makeTrial(function, sizes());
    gradient = testing::addGradient(function, loss);
    return bool(gradient);
  }

  Trial trial;
  mlir::func::FuncOp gradient;
  mlir::Operation* loss = nullptr;
};

class GradientCaseTest : public GradientTest, public ::testing::WithParamInterface<GradientCase> {};

TEST_P(GradientCaseTest, AgreesWithDifferences) {
  SCOPED_TRACE(testing::moduleText(GetParam()));
  ASSERT_TRUE(prepare(testing::moduleText(GetParam())));
  EXPECT_EQ(testing::disagreement(testing::evaluateGradient(gradient, trial), testing::differences(trial), trial), "");
}

// Clones beside their users change where numbers are computed, not which.
TEST_P(GradientCaseTest, RecomputedBitsAreTheSame) {
  ASSERT_TRUE(prepare(testing::moduleText(GetParam())));
  std::vector<Tensor> saved = testing::evaluateGradient(gradient, trial);
  compiler::chooseRecompute(loss->getNextNode());
  ASSERT_TRUE(succeeded(mlir::verify(gradient)));
  std::vector<Tensor> again = testing::evaluateGradient(gradient, trial);
  ASSERT_EQ(again.size(), saved.size());
  for (size_t i = 0; i < saved.size(); ++i)
    EXPECT_EQ(std::memcmp(again[i].data(), saved[i].data(), saved[i].bytes()), 0) << "gradient " << i;
}

INSTANTIATE_TEST_SUITE_P(Gradients, GradientCaseTest, ::testing::ValuesIn(testing::gradientCases()),
                         [](const auto& one) { return one.param.op + "_" + one.param.name; });

TEST_F(GradientTest, EveryOpHasACaseOrAReason) {
  std::set<std::string> cases;
  for (const GradientCase& one : testing::gradientCases())
    cases.insert(one.op);
  for (mlir::RegisteredOperationName name : context.getRegisteredOperationsByDialect("moe")) {
    std::string op = name.stripDialect().str();
    EXPECT_EQ(cases.count(op) + kFlat.count(op) + kRefused.count(op), 1u)
        << op << " needs a case in tests/ir/gradients/Cases.cpp, or a place among the ops without gradient; not both";
  }
}

/// The instances of an op in its file of tests/ir/ops.
static std::vector<mlir::Operation*> instancesOf(const std::string& op, mlir::MLIRContext& context, mlir::OwningOpRef<mlir::ModuleOp>& module) {
  std::vector<mlir::Operation*> found;
  module = mlir::parseSourceFile<mlir::ModuleOp>(MOEC_SOURCE_DIR "/tests/ir/ops/" + op + ".mlir", &context);
  if (module)
    module->walk([&](mlir::Operation* one) {
      if (one->getName().getStringRef() == "moe." + op)
        found.push_back(one);
    });
  return found;
}

TEST_F(GradientTest, FlatOpsGiveNoneAndOthersAreRefused) {
  std::string text;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic& diagnostic) { text = diagnostic.str(); });
  std::set<std::string> declarations{"parameter", "prepared", "state", "write", "yield"};
  for (const std::set<std::string>* list : {&kFlat, &kRefused})
    for (const std::string& op : *list) {
      if (declarations.count(op))
        continue;
      mlir::OwningOpRef<mlir::ModuleOp> owner;
      std::vector<mlir::Operation*> instances = instancesOf(op, context, owner);
      ASSERT_FALSE(instances.empty()) << op;
      for (mlir::Operation* one : instances) {
        if (list == &kRefused && llvm::none_of(one->getResults(), [](mlir::Value value) { return ir::isDifferentiable(value); }))
          continue; // of integers
        mlir::OpBuilder builder(&context);
        builder.setInsertionPointAfter(one);
        llvm::SmallVector<mlir::Value> dOperands(one->getNumOperands());
        text.clear();
        bool worked = succeeded(ir::emitGradient(one, llvm::to_vector_of<mlir::Value>(one->getResults()), builder, dOperands));
        EXPECT_EQ(worked, list == &kFlat) << op;
        EXPECT_TRUE(llvm::none_of(dOperands, [](mlir::Value value) { return bool(value); })) << op;
        EXPECT_EQ(text, worked ? "" : "moe." + op + " has no gradient, and a loss depends on it: ops of gradients and of kernels do not stand in @loss");
      }
    }
}

TEST_F(GradientTest, OpsStandAtTheirForwardOpsPlace) {
  ASSERT_TRUE(prepare(R"(
    func.func @f(%x: tensor<3x4xf64>, %w: tensor<2x4xf64>) -> tensor<3x2xf64> {
      %a = moe.matmul %x, %w : tensor<3x4xf64>, tensor<2x4xf64> loc("layers.0.up")
      %y = moe.gelu %a : tensor<3x2xf64> loc("layers.0.activation")
      return %y : tensor<3x2xf64>
    })"));
  std::set<std::string> places;
  for (mlir::Operation* op = loss->getNextNode(); !op->hasTrait<mlir::OpTrait::IsTerminator>(); op = op->getNextNode())
    places.insert(ir::pathOf(op->getLoc()) + ": " + op->getName().stripDialect().str());
  for (const char* place : {"layers.0.up: transpose", "layers.0.up: matmul", "layers.0.activation: gelu_grad", "layers.0.activation: mul"})
    EXPECT_TRUE(places.count(place)) << place;
}

/// dy is 1 everywhere in what follows, so that numbers are the rules' own.
static std::vector<double> gradientAt(mlir::func::FuncOp gradient, Trial trial, const std::vector<std::vector<double>>& arguments, size_t argument,
                                      double dy = 1) {
  for (size_t i = 0; i < arguments.size(); ++i)
    trial.arguments[i] = Tensor::of(arguments[i], trial.arguments[i].shape());
  std::ranges::fill(trial.dy.as<double>(), dy);
  return testing::evaluateGradient(gradient, trial).at(argument).toDoubles();
}

class KinkTest : public GradientTest {
protected:
  using Numbers = std::vector<double>;
  Numbers at(const std::string& op, const std::string& rule, const Numbers& x, double dy = 1) {
    std::string type = fmt::format("tensor<{}xf64>", x.size());
    EXPECT_TRUE(prepare(fmt::format("func.func @f(%x: {0}) -> {0} {{ %y = moe.{1} %x {2} : {0} return %y : {0} }}", type, op, rule)));
    return gradientAt(gradient, trial, {x}, 0, dy);
  }
  /// Of both operands, one behind the other.
  Numbers at2(const std::string& op, const Numbers& a, const Numbers& b) {
    std::string type = fmt::format("tensor<{}xf64>", a.size());
    EXPECT_TRUE(prepare(fmt::format("func.func @f(%a: {0}, %b: {0}) -> {0} {{ %y = moe.{1} %a, %b : {0}, {0} return %y : {0} }}", type, op)));
    Numbers both = gradientAt(gradient, trial, {a, b}, 0), right = gradientAt(gradient, trial, {a, b}, 1);
    both.insert(both.end(), right.begin(), right.end());
    return both;
  }
};

TEST_F(KinkTest, ActivationsTakeTheLeftSideAtZero) {
  EXPECT_EQ(at("relu", "", {-1, 0, -0.0, 1}), (Numbers{0, 0, 0, 1}));
  EXPECT_EQ(at("leaky_relu", "slope 0.25", {-1, 0, 1}), (Numbers{0.25, 0.25, 1}));
  EXPECT_EQ(at("elu", "alpha 1.5", {0, 1}), (Numbers{1.5, 1}));
}

TEST_F(KinkTest, WhatIsMaskedIsNoNaN) {
  EXPECT_EQ(at("relu", "", {-1, 1}, INFINITY), (Numbers{0, INFINITY}));
  EXPECT_EQ(at("elu", "alpha 1.0", {1000}), (Numbers{1}));
}

TEST_F(KinkTest, TiesOfTwoTensorsAreHalved) {
  EXPECT_EQ(at2("max", {1, 2, 3}, {2, 2, 2}), (Numbers{0, 0.5, 1, 1, 0.5, 0}));
  EXPECT_EQ(at2("min", {1, 2, 3}, {2, 2, 2}), (Numbers{1, 0.5, 0, 0, 0.5, 1}));
}

TEST_F(KinkTest, AConstantBoundGivesTiesToTheOther) {
  for (const char* op : {"max", "min"}) {
    ASSERT_TRUE(prepare(fmt::format(R"(func.func @f(%x: tensor<3xf64>) -> tensor<3xf64> {{
      %c = moe.constant dense<2.0> : tensor<f64>
      %b = moe.broadcast %c : tensor<f64> -> tensor<3xf64>
      %y = moe.{} %b, %x : tensor<3xf64>, tensor<3xf64>
      return %y : tensor<3xf64>
    }})",
                                    op)));
    EXPECT_EQ(gradientAt(gradient, trial, {{1, 2, 3}}, 0), op == std::string("max") ? (Numbers{0, 1, 1}) : (Numbers{1, 1, 0}));
  }
}

TEST_F(KinkTest, MaximaShareEvenly) {
  ASSERT_TRUE(prepare(R"(func.func @f(%x: tensor<2x4xf64>) -> tensor<2xf64> {
    %y = moe.reduce max %x axis 1 : tensor<2x4xf64>
    return %y : tensor<2xf64>
  })"));
  EXPECT_EQ(gradientAt(gradient, trial, {{1, 3, 2, 3, 5, 5, 5, 5}}, 0), (Numbers{0, 0.5, 0, 0.5, 0.25, 0.25, 0.25, 0.25}));
}

// Each way to make a rule wrong is found by one of the cases at least.
TEST_F(GradientTest, WrongRulesAreFound) {
  std::map<std::string, int> found; // by op and change
  int mutants = 0;
  for (const GradientCase& one : testing::gradientCases()) {
    ASSERT_TRUE(prepare(testing::moduleText(one)));
    std::vector<std::vector<double>> expected = testing::differences(trial);
    for (mlir::Operation* op = loss->getNextNode(); !op->hasTrait<mlir::OpTrait::IsTerminator>(); op = op->getNextNode()) {
      if (ir::pathOf(op->getLoc()) == testing::kLossPlace)
        continue; // of mul and reduce, which have cases of their own
      for (const testing::Mutation& mutation : testing::mutationsOf(op)) {
        mlir::func::FuncOp wrong = gradient.clone();
        testing::apply(mutation, testing::sameOp(op, gradient, wrong));
        bool differs = true;
        try {
          differs = !testing::disagreement(testing::evaluateGradient(wrong, trial), expected, trial).empty();
        } catch (const Error&) { // a size of none: found, too
        }
        wrong->erase();
        found[one.op + ": " + mutation.text] += differs;
        ++mutants;
      }
    }
  }
  for (const auto& [change, times] : found)
    EXPECT_GT(times, 0) << change << " is not found by any case";
  RecordProperty("mutants", mutants);
  fmt::print("{} mutants, {} kinds\n", mutants, found.size());
}

} // namespace moec
