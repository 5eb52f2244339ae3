// Steps of the optimizers by the reference interpreter, in f64 against numbers worked by hand from PyTorch 2.15's
// formulas; norms, groups without decay, and bf16 with master weights.

#include "models/optimizers/Optimizers.h"
#include "ir/reference/Interpreter.h"
#include "tests/ir/TestModule.h"

#include "mlir/IR/Verifier.h"

#include <cmath>
#include <set>

using namespace moec;
using namespace moec::models;

namespace {

using Numbers = std::vector<double>;

class Optimizers : public IrTest {
protected:
  /// A module with these parameters of one element each (of `dtype`) and @step(gradients .., learning rate, number).
  /// Those in `bySign` have a sign_rate of 0.25.
  void make(const std::string& rule, const std::vector<std::string>& names, const std::string& dtype = "f64", const std::set<std::string>& bySign = {}) {
    std::string text = "module attributes {moe.optimizer = {" + rule + "}} {\n";
    for (const std::string& name : names)
      text += "moe.parameter @\"" + name + "\" : tensor<1x1x" + dtype + "> init <\"ones\", 0.0 : f64, 0.0 : f64>" +
              (bySign.contains(name) ? " sign_rate 0.25\n" : "\n");
    text += "func.func @step(";
    for (size_t i = 0; i < names.size(); ++i)
      text += "%g" + std::to_string(i) + ": tensor<1x1x" + dtype + ">, ";
    text += "%rate: tensor<f64>, %number: tensor<i64>) -> tensor<f64> {\n  return %rate : tensor<f64>\n}\n}";
    step_ = parse(text, "step");
    ASSERT_TRUE(step_);
    mlir::Operation* end = step_.getBody().front().getTerminator();
    mlir::OpBuilder builder(end);
    std::vector<ParameterGradient> gradients;
    for (auto parameter : module->getOps<ir::ParameterOp>())
      gradients.push_back({parameter, step_.getArgument(gradients.size())});
    auto norm = emitUpdates(*module, builder, gradients, step_.getArgument(names.size()), step_.getArgument(names.size() + 1));
    ASSERT_TRUE(succeeded(norm));
    end->setOperand(0, *norm);
    ASSERT_TRUE(succeeded(mlir::verify(*module)));
    call_ = {};
    for (auto parameter : module->getOps<ir::ParameterOp>())
      call_.state[parameter.getSymName().str()] = filled(parameter.getType(), 1);
    for (auto state : module->getOps<ir::StateOp>())
      call_.state[state.getSymName().str()] =
          state.getFrom() ? call_.state.at(state.getFrom()->str()).cast(reference::dtypeOf(state.getType())) : filled(state.getType(), 0);
    number_ = 0;
  }

  static Tensor filled(mlir::Type type, double value) {
    Tensor tensor(DType::F64, reference::shapeOf(type, {}));
    for (double& element : tensor.as<double>())
      element = value;
    return tensor.cast(reference::dtypeOf(type));
  }

  /// One more step; gives the norm.
  double step(const Numbers& gradients, double rate) {
    std::vector<Tensor> arguments;
    for (auto [index, gradient] : llvm::enumerate(gradients))
      arguments.push_back(filled(step_.getArgumentTypes()[index], gradient));
    arguments.push_back(Tensor::of<double>({rate}, {}));
    arguments.push_back(Tensor::of<int64_t>({++number_}, {}));
    return reference::evaluate(step_, arguments, call_).at(0).toDoubles().at(0);
  }
  double value(const std::string& name) { return call_.state.at(name).toDoubles().at(0); }

  mlir::func::FuncOp step_;
  reference::Call call_;
  int64_t number_ = 0;
};

constexpr double kNear = 1e-14; // f64, of numbers near 1

std::string sgd(const std::string& momentum, const std::string& dampening, const std::string& nesterov, const std::string& decay = "0.0",
                const std::string& rest = "") {
  return "kind = \"sgd\", momentum = " + momentum + " : f64, dampening = " + dampening + " : f64, nesterov = " + nesterov + ", weight_decay = " + decay +
         " : f64" + rest;
}
std::string adam(const std::string& kind, const std::string& beta, const std::string& decay, const std::string& rest = "") {
  return "kind = \"" + kind + "\", betas = [" + beta + " : f64, 0.999 : f64], eps = 1.0e-8 : f64, weight_decay = " + decay + " : f64" + rest;
}

TEST_F(Optimizers, Sgd) {
  make(sgd("0.0", "0.0", "false"), {"p"});
  EXPECT_EQ(step({0.5}, 0.1), 0.5);
  EXPECT_NEAR(value("p"), 0.95, kNear);
  EXPECT_FALSE(module->lookupSymbol("p.momentum"));
  make(sgd("0.0", "0.0", "false", "0.1"), {"p"}); // 0.5 + 0.1 * 1
  step({0.5}, 0.1);
  EXPECT_NEAR(value("p"), 0.94, kNear);
}

TEST_F(Optimizers, SgdWithMomentum) {
  make(sgd("0.9", "0.0", "false"), {"p"});
  step({0.5}, 0.1);
  EXPECT_NEAR(value("p"), 0.95, kNear);
  step({0.5}, 0.1); // buffer 0.9 * 0.5 + 0.5
  EXPECT_NEAR(value("p.momentum"), 0.95, kNear);
  EXPECT_NEAR(value("p"), 0.855, kNear);
  make(sgd("0.9", "0.5", "false"), {"p"});
  step({0.5}, 0.1); // the first gradient enters whole
  EXPECT_NEAR(value("p"), 0.95, kNear);
  step({0.5}, 0.1); // 0.9 * 0.5 + 0.5 * 0.5
  EXPECT_NEAR(value("p"), 0.88, kNear);
  make(sgd("0.9", "0.0", "true"), {"p"});
  step({0.5}, 0.1); // 0.5 + 0.9 * 0.5
  EXPECT_NEAR(value("p"), 0.905, kNear);
  step({0.5}, 0.1); // 0.5 + 0.9 * 0.95
  EXPECT_NEAR(value("p"), 0.7695, kNear);
}

TEST_F(Optimizers, Adam) {
  make(adam("adam", "0.9", "0.0"), {"p"});
  step({0.5}, 0.1);
  EXPECT_NEAR(value("p"), 1 - 0.1 * 0.5 / (0.5 + 1e-8), kNear);
  EXPECT_NEAR(value("p.exp_avg"), 0.05, kNear);
  EXPECT_NEAR(value("p.exp_avg_sq"), 0.00025, kNear);
  double before = value("p");
  step({-0.25}, 0.1);
  EXPECT_NEAR(value("p.exp_avg"), 0.02, kNear);
  EXPECT_NEAR(value("p.exp_avg_sq"), 0.00031225, kNear);
  EXPECT_NEAR(value("p"), before - 0.1 * (0.02 / 0.19) / (std::sqrt(0.00031225 / 0.001999) + 1e-8), kNear);
  make(adam("adam", "0.25", "0.0"), {"p"}); // the mean is nearer to the gradient
  step({0.5}, 0.1);
  EXPECT_NEAR(value("p.exp_avg"), 0.375, kNear);
}

TEST_F(Optimizers, WeightDecayOfAdamAndOfAdamW) {
  make(adam("adam", "0.9", "0.5"), {"p"}); // 0.5 + 0.5 * 1: the step of a first gradient is the learning rate
  step({0.5}, 0.1);
  EXPECT_NEAR(value("p.exp_avg"), 0.1, kNear);
  EXPECT_NEAR(value("p"), 0.9, 1e-8);
  make(adam("adamw", "0.9", "0.5"), {"p"}); // 1 - 0.1 * 0.5, and the step
  step({0.5}, 0.1);
  EXPECT_NEAR(value("p.exp_avg"), 0.05, kNear);
  EXPECT_NEAR(value("p"), 0.85, 1e-8);
}

TEST_F(Optimizers, Lion) {
  make("kind = \"lion\", betas = [0.9 : f64, 0.99 : f64], weight_decay = 0.5 : f64", {"p", "q"});
  step({0.5, 0}, 0.1); // 1 - 0.1 * 0.5, and the step; the sign of 0 is 0
  EXPECT_NEAR(value("p"), 0.85, kNear);
  EXPECT_NEAR(value("q"), 0.95, kNear);
  EXPECT_NEAR(value("p.exp_avg"), 0.005, kNear);
  step({-0.04, 0}, 0.1); // 0.9 * 0.005 - 0.1 * 0.04 is more than 0: up to 0.04 the mean wins
  EXPECT_NEAR(value("p"), 0.85 * 0.95 - 0.1, kNear);
  EXPECT_NEAR(value("p.exp_avg"), 0.99 * 0.005 - 0.01 * 0.04, kNear);
  step({-0.5, 0}, 0.1);
  EXPECT_NEAR(value("p"), (0.85 * 0.95 - 0.1) * 0.95 + 0.1, kNear);
}

TEST_F(Optimizers, Adafactor) {
  auto rule = [](const std::string& rest) {
    return "kind = \"adafactor\", beta2_decay = -0.8 : f64, eps2 = 1.0e-3 : f64, d = 1.0 : f64, weight_decay = 0.0 : f64" + rest;
  };
  make(rule(""), {"p"});
  step({0.5}, 0.1); // the first gradient's squares enter whole: it counts 1, times 0.1 of the parameter's size
  EXPECT_NEAR(value("p.row_var"), 0.25, kNear);
  EXPECT_NEAR(value("p.col_var"), 0.25, kNear);
  EXPECT_NEAR(value("p"), 0.9, kNear);
  step({0.25}, 2.0); // no more than 1 / sqrt(2); of a matrix with one element the mean of rows takes the columns' part away
  double enters = std::pow(2.0, -0.8), squares = 0.25 + enters * (0.0625 - 0.25);
  EXPECT_NEAR(value("p.row_var"), squares, kNear);
  EXPECT_NEAR(value("p"), 0.9 - 0.9 / std::sqrt(2.0) * 0.25 / std::sqrt(squares), kNear);
  make(rule(", eps1 = 0.75 : f64"), {"p"});
  step({0.5}, 0.1); // 0.25 * 0.25 / 0.75 is less than 0.75^2
  EXPECT_NEAR(value("p"), 1 - 0.1 * 0.5 / 0.75, kNear);
}

// As master weights, of f32; the parameter moves as without.
TEST_F(Optimizers, AveragesOfParameters) {
  make(sgd("0.0", "0.0", "false", "0.0", ", ema = 0.75 : f64"), {"p"}, "bf16");
  auto average = module->lookupSymbol<ir::StateOp>("p.average");
  ASSERT_TRUE(average);
  EXPECT_EQ(*average.getFrom(), "p");
  step({1}, 1.0 / 1024);
  EXPECT_EQ(value("p.average"), 1 - 0.25 / 1024);
  EXPECT_EQ(value("p.master"), 1 - 1.0 / 1024);
  step({1}, 1.0 / 1024);
  EXPECT_EQ(value("p.average"), 1 - (0.75 * 0.25 + 0.25 * 2) / 1024);
  make(sgd("0.0", "0.0", "false", "0.0", ", ema = 0.0 : f64"), {"p"});
  EXPECT_FALSE(module->lookupSymbol("p.average"));
}

TEST_F(Optimizers, NoDecay) {
  make(sgd("0.0", "0.0", "false", "0.5", ", no_decay = [\"bias\", \"*.norm*.weight\"]"),
       {"up.bias", "rebias", "a.norm_2.weight", "bias", "a.weight", "norm.weight"});
  step({0, 0, 0, 0, 0, 0}, 0.1);
  for (const char* name : {"up.bias", "a.norm_2.weight", "bias"})
    EXPECT_EQ(value(name), 1) << name;
  for (const char* name : {"rebias", "a.weight", "norm.weight"})
    EXPECT_NEAR(value(name), 0.95, kNear) << name;
}

TEST_F(Optimizers, ClippingKeepsTheDirection) {
  make(sgd("0.0", "0.0", "false", "0.0", ", clip_norm = 1.0 : f64"), {"p", "q"});
  EXPECT_EQ(step({3, -4}, 0.1), 5); // before clipping
  EXPECT_NEAR(value("p"), 1 - 0.3 / (5 + 1e-6), kNear);
  EXPECT_NEAR(value("q"), 1 + 0.4 / (5 + 1e-6), kNear);
  make(sgd("0.0", "0.0", "false", "0.0", ", clip_norm = 6.0 : f64"), {"p", "q"});
  step({3, -4}, 0.1);
  EXPECT_NEAR(value("p"), 0.7, kNear); // smaller gradients stay
}

// Steps of 1/1024 are lost in bf16, whose numbers below 1 are 1/256 apart; four of them are not.
// Whatever the rule: no norm, no clipping, no decay, no state, and the learning rate means nothing to it.
TEST_F(Optimizers, SignsAloneMoveAParameterWithASignRate) {
  for (const std::string& rule : {sgd("0.9", "0.0", "false", "0.1", ", clip_norm = 0.5 : f64"), adam("adamw", "0.9", "0.1", ", clip_norm = 0.5 : f64")}) {
    make(rule, {"p", "b"}, "f64", {"b"});
    EXPECT_EQ(step({0.25, 7}, 0.1), 0.25) << rule;
    double p = value("p");
    EXPECT_EQ(value("b"), 0.75) << rule;
    step({0.25, -1e-9}, 0.1);
    EXPECT_EQ(value("b"), 1) << rule;
    step({0.25, 0}, 0.1);
    EXPECT_EQ(value("b"), 1) << rule;
    EXPECT_FALSE(module->lookupSymbol("b.momentum") || module->lookupSymbol("b.exp_avg")) << rule;
    make(rule, {"p"});
    step({0.25}, 0.1);
    EXPECT_EQ(value("p"), p) << rule;
  }
}

TEST_F(Optimizers, MasterWeightsOfBf16) {
  make(sgd("0.0", "0.0", "false"), {"p"}, "bf16");
  auto master = module->lookupSymbol<ir::StateOp>("p.master");
  ASSERT_TRUE(master);
  EXPECT_EQ(*master.getFrom(), "p");
  for (int i = 0; i < 4; ++i)
    step({1}, 1.0 / 1024);
  EXPECT_EQ(value("p.master"), 1 - 4.0 / 1024);
  EXPECT_EQ(value("p"), 1 - 1.0 / 256);
  step({1}, 1.0 / 4096);
  EXPECT_EQ(value("p"), 1 - 1.0 / 256);
  EXPECT_EQ(value("p.master"), 1 - 1.0 / 256 - 1.0 / 4096);
}

TEST_F(Optimizers, AModuleWithoutARuleIsAnError) {
  std::string said;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic& diagnostic) { said = diagnostic.str(); });
  step_ = parse("func.func @step(%rate: tensor<f64>, %n: tensor<i64>) -> tensor<f64> {\n  return %rate : tensor<f64>\n}", "step");
  mlir::OpBuilder builder(step_.getBody().front().getTerminator());
  EXPECT_TRUE(failed(emitUpdates(*module, builder, {}, step_.getArgument(0), step_.getArgument(1))));
  EXPECT_EQ(said, "the module has no moe.optimizer: no rule by which parameters change");
  (*module)->setAttr("moe.optimizer", builder.getDictionaryAttr({builder.getNamedAttr("kind", builder.getStringAttr("none"))}));
  EXPECT_TRUE(failed(emitUpdates(*module, builder, {}, step_.getArgument(0), step_.getArgument(1))));
  EXPECT_EQ(said, "moe.optimizer names the kind \"none\", which is no optimizer's");
}

} // namespace
