// The model as it trains: @loss, its losses and draws, evaluated by the reference interpreter against numbers worked by
// hand.

#include "ir/reference/Interpreter.h"
#include "models/BuildModel.h"
#include "runtime/core/Tolerance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace moec;
using namespace moec::models;

namespace {

using Numbers = std::vector<double>;
const double ln2 = std::log(2.0), ln3 = std::log(3.0);

class Train : public testing::Test {
protected:
  mlir::ModuleOp build(const std::string& text, ImportOptions options = {.train = true}) {
    Diagnostics diagnostics;
    module_ = buildModel("model.json", text, options, &context_, diagnostics);
    EXPECT_TRUE(module_) << diagnostics.text();
    return *module_;
  }
  std::string error(const std::string& text, bool train = true) {
    Diagnostics diagnostics;
    EXPECT_FALSE(buildModel("model.json", text, {.train = train}, &context_, diagnostics));
    return diagnostics.text();
  }
  mlir::func::FuncOp function() {
    auto loss = module_->lookupSymbol<mlir::func::FuncOp>("loss");
    return loss ? loss : module_->lookupSymbol<mlir::func::FuncOp>("forward");
  }

  /// The results by name. Sizes follow from `sizes`; inputs and parameters that are not among `given` are zeros.
  std::map<std::string, Numbers> evaluate(const std::map<std::string, Numbers>& given, const Bindings& sizes = {}) {
    reference::Call call;
    call.bindings = sizes;
    auto tensor = [&](const std::string& name, mlir::Type type) {
      Tensor result(DType::F64, reference::shapeOf(type, call.bindings));
      auto found = given.find(name);
      if (found != given.end() && static_cast<int64_t>(found->second.size()) == result.elements())
        std::copy(found->second.begin(), found->second.end(), result.as<double>().begin());
      else if (found != given.end())
        ADD_FAILURE() << name << " has " << result.elements() << " elements";
      if (DType dtype = reference::dtypeOf(type); dtype != DType::I64)
        return result.cast(dtype);
      Tensor integers(DType::I64, result.shape());
      for (int64_t i = 0; i < result.elements(); ++i)
        integers.as<int64_t>()[i] = static_cast<int64_t>(result.as<double>()[i]);
      return integers;
    };
    for (auto parameter : module_->getOps<ir::ParameterOp>())
      call.state[parameter.getSymName().str()] = tensor(parameter.getSymName().str(), parameter.getType());
    std::vector<Tensor> arguments;
    for (auto [index, argument] : llvm::enumerate(function().getArguments()))
      arguments.push_back(tensor(function().getArgAttrOfType<mlir::StringAttr>(index, "moe.input").str(), argument.getType()));
    std::vector<Tensor> results = reference::evaluate(function(), arguments, call);
    std::map<std::string, Numbers> named;
    for (auto [index, result] : llvm::enumerate(results))
      named[function().getResultAttrOfType<mlir::StringAttr>(index, "moe.output").str()] = result.toDoubles();
    return named;
  }
  double loss(const std::map<std::string, Numbers>& given, const Bindings& sizes = {}) { return evaluate(given, sizes).at("loss").at(0); }
  std::string text() {
    std::string result;
    llvm::raw_string_ostream stream(result);
    module_->print(stream);
    return result;
  }

  mlir::MLIRContext context_;
  mlir::OwningOpRef<mlir::ModuleOp> module_;
};

ImportOptions withDraws() { return {.drawsAsInputs = true, .train = true}; }
constexpr double kNear = 1e-6; // of numbers near 1 in f32

std::string model(const std::string& inputs, const std::string& blocks, const std::string& rest) {
  return R"({"name": "m", "inputs": )" + inputs + R"(, "model": )" + blocks + ", " + rest + "}";
}

/// x (shape), y of `blocks`, and the mean square of y - target.
std::string squares(const std::string& shape, const std::string& blocks, const std::string& rest = "") {
  return model(R"({"x": {"shape": )" + shape + R"(}, "target": {"shape": )" + shape + R"(, "for": "loss"}})", blocks,
               R"("loss": {"kind": "mse", "prediction": "y", "target": "target"})" + rest);
}

// Softmax of (0, ln 2, ln 3) is (1, 2, 3) / 6; the third row does not count.
TEST_F(Train, CrossEntropy) {
  auto scores = [](const std::string& words) {
    return model(R"({"x": {"shape": [3, 3]}, "label": {"shape": [3], "dtype": "i64"}})", R"([{"kind": "scale", "name": "y"}])",
                 R"("loss": {"kind": "cross_entropy", "scores": "y", "labels": "label")" + words + "}");
  };
  std::map<std::string, Numbers> given{{"x", {0, ln2, ln3, 0, ln2, ln3, 9, 8, 7}}, {"label", {2, 0, -100}}};
  double plain = (ln2 + std::log(6.0)) / 2, even = std::log(6.0) * 2 / 3;
  build(scores(""));
  EXPECT_NEAR(loss(given), plain, kNear);
  build(scores(R"(, "label_smoothing": 0.3)"));
  EXPECT_NEAR(loss(given), 0.7 * plain + 0.3 * even, kNear);
  given["label"] = {2, 0, 0};
  build(scores(R"(, "ignore_index": 0)"));
  EXPECT_NEAR(loss(given), ln2, kNear);
}

TEST_F(Train, CrossEntropyOfAnyRank) {
  build(model(R"({"x": {"shape": ["batch", 2, 3]}, "label": {"shape": ["batch", 2], "dtype": "i64"}})", R"([{"kind": "scale", "name": "y"}])",
              R"("loss": {"kind": "cross_entropy", "scores": "y", "labels": "label"})"));
  EXPECT_NEAR(loss({{"x", {0, ln2, ln3, 0, ln2, ln3}}, {"label", {2, 1}}}, {{"batch", 1}}), (ln2 + ln3) / 2, kNear);
}

TEST_F(Train, LossOfBf16IsF32) {
  build(R"({"name": "m", "dtype": "bf16", "inputs": {"x": {"shape": [2, 1]}, "target": {"shape": [2, 1], "for": "loss"}},
            "model": [{"kind": "scale", "name": "y"}], "loss": {"kind": "mse", "prediction": "y", "target": "target"}})");
  EXPECT_EQ(reference::dtypeOf(function().getResultTypes()[0]), DType::F32);
  // 1.0078125 is the bf16 behind 1; its square is none.
  EXPECT_EQ(loss({{"x", {1.0078125, 1.0078125}}}), 1.0078125 * 1.0078125);
}

TEST_F(Train, MeanSquare) {
  build(squares("[2, 2]", R"([{"kind": "scale", "by": 2, "name": "y"}])"));
  EXPECT_EQ(loss({{"x", {1, 2, 3, 4}}, {"target", {2, 4, 5, 4}}}), (1 + 16) / 4.0);
}

/// Two layers of two experts on x, each token's best expert taken, whose gates have these words too.
std::string twoLayers(const std::string& first, const std::string& second) {
  auto layer = [](const std::string& name, const std::string& words) {
    return R"({"kind": "moe", "name": ")" + name + R"(", "from": "x", "gate": {"kind": "top_k", "top_k": 1, "bias": false)" + words +
           R"(}, "experts": {"kind": "linear", "count": 2, "bias": false}})";
  };
  return model(R"({"x": {"shape": [2, 1]}, "target": {"shape": [2, 1], "for": "loss"}, "mask": {"shape": [2]}})",
               "[" + layer("a", first) + ", " + layer("b", second) + R"(, {"kind": "scale", "name": "y"}])",
               R"("loss": {"kind": "mse", "prediction": "y", "target": "target"})");
}

// The first layer sends both tokens to expert 0 (2/3 and 4/5 of its softmax), the second both to expert 1 as surely: each is
// uneven, and both together are even.
TEST_F(Train, LossesOfAPoolAreOfAllItsLayers) {
  std::map<std::string, Numbers> given{{"x", {1, 2}}, {"a.gate.weight", {ln2, 0}}, {"b.gate.weight", {0, ln2}}, {"mask", {1, 0}}};
  const std::string losses = R"(, "balance_loss": 0.5, "z_loss": 0.25)";
  double sharp = std::log(5.0) * std::log(5.0), flat = ln3 * ln3;
  build(twoLayers(losses, losses));
  auto alone = evaluate(given);
  EXPECT_NEAR(alone.at("a.gate.balance_loss")[0], 2 / 3.0 + 4 / 5.0, kNear);
  EXPECT_NEAR(alone.at("b.gate.z_loss")[0], (flat + sharp) / 2, kNear);
  build(twoLayers(losses + R"(, "loss_pool": "all")", losses + R"(, "loss_pool": "all")"));
  auto joined = evaluate(given);
  EXPECT_NEAR(joined.at("all.balance_loss")[0], 1, kNear);
  EXPECT_NEAR(joined.at("all.z_loss")[0], (flat + sharp) / 2, kNear);
  EXPECT_NEAR(joined.at("loss")[0], 0.5 * 1 + 0.25 * (flat + sharp) / 2, kNear); // the experts are zeros
  EXPECT_FALSE(joined.contains("a.gate.balance_loss"));
  // Of the first token alone.
  build(twoLayers(losses + R"(, "loss_mask": "mask")", losses));
  auto masked = evaluate(given);
  EXPECT_NEAR(masked.at("a.gate.balance_loss")[0], 4 / 3.0, kNear);
  EXPECT_NEAR(masked.at("a.gate.z_loss")[0], flat, kNear);
}

TEST_F(Train, GatesOfAPoolHaveOneCoefficient) {
  const std::string pool = R"(, "loss_pool": "all", "balance_loss": )";
  EXPECT_NE(error(twoLayers(pool + "0.5", pool + "0.25")).find(R"(the loss "all.balance_loss" has the coefficient 0.25 here and 0.5 at 1:)"),
            std::string::npos);
  std::string other = twoLayers(pool + "0.5", pool + "0.5");
  other.replace(other.rfind(R"("count": 2)"), 10, R"("count": 3)");
  EXPECT_NE(error(other).find(R"(the loss "all.balance_loss" is of [1, 3] here and of [1, 2] at 1:)"), std::string::npos);
  EXPECT_NE(error(twoLayers(pool + R"(0.5, "loss_mask": "nosuch")", "")).find(R"(unknown value "nosuch")"), std::string::npos);
}

// In inference the loss is checked and not there.
TEST_F(Train, InferenceHasNoLoss) {
  build(squares("[2, 2]", R"([{"kind": "dropout", "name": "d"}, {"kind": "scale", "name": "y"}])"), {});
  EXPECT_EQ(evaluate({{"x", {1, 2, 3, 4}}}).at("y"), (Numbers{1, 2, 3, 4}));
  EXPECT_FALSE(module_->lookupSymbol("loss"));
  EXPECT_FALSE((*module_)->hasAttr("moe.optimizer"));
  EXPECT_EQ(text().find("moe.random"), std::string::npos);
}

TEST_F(Train, DropoutScalesWhatStays) {
  build(squares("[1, 2]", R"([{"kind": "dropout", "p": 0.5, "name": "y"}])"), withDraws());
  EXPECT_EQ(loss({{"x", {1, 2}}, {"y", {0.25, 0.5}}, {"target", {0, 1}}}), (0 + 9) / 2.0);
  build(squares("[1, 2]", R"([{"kind": "dropout", "p": 0, "name": "d"}, {"kind": "scale", "name": "y"}])"));
  EXPECT_EQ(text().find("moe.random"), std::string::npos);
}

// x through up (2 relus of x and 2x), dropout, down (their sum).
TEST_F(Train, MlpsDropOutBetweenLayers) {
  std::string words = R"("hidden": 2, "activation": "relu", "bias": false, "dropout": 0.75)";
  std::map<std::string, Numbers> given{{"y.up.weight", {1, 2}}, {"y.down.weight", {1, 1}}, {"x", {1}}};
  build(squares("[1, 1]", R"([{"kind": "mlp", "name": "y", )" + words + "}]"), withDraws());
  given["y.up.dropout"] = {0.7, 0.75};
  EXPECT_EQ(loss(given), 8.0 * 8.0);
  // The same in an expert.
  build(squares("[1, 1]", R"([{"kind": "moe", "name": "y", "gate": {"kind": "top_k", "top_k": 1, "bias": false},
                               "experts": {"kind": "mlp", "count": 1, )" +
                              words + "}}]"),
        withDraws());
  given = {{"y.experts.up.weight", {1, 2}}, {"y.experts.down.weight", {1, 1}}, {"x", {1}}, {"y.experts.up.dropout", {0.75, 0.7}}};
  EXPECT_EQ(loss(given), 4.0 * 4.0);
}

/// Some numbers, the same each time.
Numbers some(size_t count, double scale = 1) {
  Numbers result;
  for (size_t i = 0; i < count; ++i)
    result.push_back(scale * std::sin(static_cast<double>(i * i + 3 * i + 1)));
  return result;
}

// Where every draw keeps its weight, all weights are doubled: so is what stands in front of the projection.
TEST_F(Train, AttentionWithDropoutIsTheAttention) {
  for (const char* words : {R"("heads": 2)", R"("heads": 2, "causal": true)", R"("heads": 4, "kv_heads": 2, "causal": true)",
                            R"("heads": 2, "bias": "positions", "scale": 0.3)", R"("heads": 4, "kv_heads": 2, "bias": "positions")"}) {
    std::string heads = std::string(words).substr(9, 1);
    auto text = [&](const std::string& dropout) {
      return squares(R"(["batch", 5, 8])", R"([{"kind": "relative_bias", "name": "positions", "heads": )" + heads + R"(},
         {"kind": "attention", "from": "x", "name": "y", "out_bias": false, )" +
                                               words + dropout + "}]");
    };
    build(text(""));
    std::map<std::string, Numbers> given{{"x", some(80)}};
    for (auto parameter : module_->getOps<ir::ParameterOp>())
      given[parameter.getSymName().str()] = some(mlir::cast<mlir::RankedTensorType>(parameter.getType()).getNumElements(), 0.7);
    double plain = loss(given, {{"batch", 2}});
    build(text(R"(, "dropout": 0.5)"), withDraws());
    given["y.dropout"] = Numbers(static_cast<size_t>(2 * std::stoi(heads) * 25), 0.5);
    EXPECT_NEAR(loss(given, {{"batch", 2}}) / (4 * plain), 1, 1e-4) << words;
    EXPECT_TRUE((*function().getOps<ir::AttentionOp>().begin()).getDraws());
  }
}

// The first query sees the first key alone. Its weight is dropped, and nothing remains.
TEST_F(Train, AttentionDropsWeights) {
  build(squares("[1, 2, 1]", R"([{"kind": "attention", "heads": 1, "causal": true, "qkv_bias": false, "dropout": 0.5,
                                  "name": "y"}])"),
        withDraws());
  std::map<std::string, Numbers> given{{"x", {3, 3}}, {"y.qkv.weight", {0, 0, 1}}, {"y.dropout", {0.1, 0.9, 0.9, 0.9}}};
  EXPECT_NEAR(loss(given), (0 + 36) / 2.0, 1e-5);
  given["y.dropout"] = {0.9, 0.1, 0.1, 0.9};
  EXPECT_NEAR(loss(given), (36 + 9) / 2.0, 1e-5);
}

/// Four tokens of width 1, or of `shape`; experts that give 0, so that the loss is that of the gate.
std::string gated(const std::string& gate, int experts = 2, const std::string& shape = "[4, 1]") {
  return squares(shape, R"([{"kind": "moe", "name": "y", "gate": )" + gate + R"(, "experts": {"kind": "linear", "bias": false, "count": )" +
                            std::to_string(experts) + "}}]");
}
/// Logits (x, 0): the softmax of ln 3 is (3, 1) / 4, that of -ln 3 (1, 3) / 4.
std::map<std::string, Numbers> threeAndOne() { return {{"x", {ln3, ln3, ln3, -ln3}}, {"y.gate.weight", {1, 0}}}; }

// Shares (3, 1) / 4, probabilities (2.5, 1.5) / 4: 2 (3/4 * 2.5/4 + 1/4 * 1.5/4) = 1.125.
TEST_F(Train, SwitchBalances) {
  build(gated(R"({"kind": "switch", "jitter": 0, "balance_loss": 0.5, "z_loss": 0.25})"));
  auto results = evaluate(threeAndOne());
  double four = std::log(4.0), third = std::log(4.0 / 3), z = (3 * four * four + third * third) / 4;
  EXPECT_EQ(results.size(), 3u);
  EXPECT_NEAR(results.at("y.gate.balance_loss").at(0), 1.125, kNear);
  EXPECT_NEAR(results.at("y.gate.z_loss").at(0), z, kNear);
  EXPECT_NEAR(results.at("loss").at(0), 0.5 * 1.125 + 0.25 * z, kNear);
  // Rows of two tokens: 2 (1 * 3/4) and 2 (1/2 * 1/2 + 1/2 * 1/2).
  build(gated(R"({"kind": "switch", "jitter": 0, "balance_loss": 1, "per": "row"})", 2, "[2, 2, 1]"));
  EXPECT_NEAR(loss(threeAndOne()), (1.5 + 1) / 2, kNear);
  // Two places each: three tokens are kept, shares (2, 1) / 3, probabilities (2.5, 1.5) / 3.
  build(gated(R"({"kind": "switch", "jitter": 0, "balance_loss": 1, "balance_of": "kept", "capacity": {"train": 1, "eval": 9}})"));
  EXPECT_NEAR(loss(threeAndOne()), 2 * (2 * 2.5 + 1 * 1.5) / 9, kNear);
}

// One expert, whose weight is 1: y is what the experts see.
TEST_F(Train, JitterReachesWhatItIsToldTo) {
  std::map<std::string, Numbers> given{{"x", {2}}, {"y.gate.weight", {1}}, {"y.experts.weight", {1}}, {"y.gate.jitter", {0}}};
  for (auto [place, expected] : {std::pair("tokens", 3.24), std::pair("router", 4.0), std::pair("logits", 4.0)}) {
    build(squares("[1, 1]", R"([{"kind": "moe", "name": "y", "gate": {"kind": "switch", "balance_loss": 0, "z_loss": 0,
                  "jitter": 0.1, "jitter_on": ")" +
                                std::string(place) + R"("}, "experts": {"kind": "linear", "bias": false, "count": 1}}])"),
          withDraws());
    auto results = evaluate(given);
    EXPECT_NEAR(results.at("loss").at(0), expected, 4 * kNear) << place;
    // The logit is its own log of the sum: 2 * 0.9, or 2, to which the jitter is added behind that loss.
    double logit = std::string(place) == "logits" ? 2.0 : 1.8;
    EXPECT_NEAR(results.at("y.gate.z_loss").at(0), logit * logit, 9 * kNear) << place;
  }
}

// One expert, whose logit 2 is its own log of the sum; the noise is 5.
TEST_F(Train, ZLossIsOfLogitsWithoutNoise) {
  std::map<std::string, Numbers> given{{"x", {2}}, {"y.gate.weight", {1}}, {"y.gate.noise", {5}}};
  for (const char* gate : {R"("top_k", "top_k": 1, "bias": false, "noise": 1)", R"("noisy_top_k", "top_k": 1)"}) {
    build(squares("[1, 1]", std::string(R"([{"kind": "moe", "name": "y", "gate": {"z_loss": 1, "kind": )") + gate +
                                R"(}, "experts": {"kind": "linear", "bias": false, "count": 1}}])"),
          withDraws());
    EXPECT_NEAR(evaluate(given).at("y.gate.z_loss").at(0), 4, 4 * kNear) << gate;
  }
}

// Rows of two tokens for expert 0 by (3, 1) / 4 each: 2 (1 * 3/4) of the first row. The second has no token that counts, and
// is 0 in the mean.
TEST_F(Train, ARowWithoutATokenCountsAsNothing) {
  auto masked = [](const std::string& more) {
    return model(
        R"({"x": {"shape": [2, 2, 1]}, "target": {"shape": [2, 2, 1], "for": "loss"}, "mask": {"shape": [2, 2]}})",
        R"([{"kind": "moe", "name": "y", "gate": {"kind": "switch", "jitter": 0, "per": "row", "balance_loss": 0.5, "z_loss": 0.25, "loss_mask": "mask")" +
            more + R"(}, "experts": {"kind": "linear", "bias": false, "count": 2}}])",
        R"("loss": {"kind": "mse", "prediction": "y", "target": "target"})");
  };
  std::map<std::string, Numbers> given{{"x", {ln3, ln3, ln3, ln3}}, {"y.gate.weight", {1, 0}}};
  double z = std::log(4.0) * std::log(4.0);
  for (auto [more, path] : {std::pair("", "y.gate"), std::pair(R"(, "loss_pool": "all")", "all")}) {
    build(masked(more));
    given["mask"] = {1, 1, 0, 0};
    auto results = evaluate(given);
    EXPECT_NEAR(results.at(std::string(path) + ".balance_loss")[0], 1.5 / 2, kNear) << path;
    EXPECT_NEAR(results.at(std::string(path) + ".z_loss")[0], z, kNear) << path;
    EXPECT_NEAR(results.at("loss")[0], 0.5 * 0.75 + 0.25 * z, kNear) << path;
    given["mask"] = {0, 0, 0, 0};
    EXPECT_EQ(loss(given), 0) << path;
  }
}

// Two places, which the first worker's tokens take: 2 (1 * 3/4) for it, and nothing for the second.
TEST_F(Train, AWorkerThatKeepsNobodyCountsAsNothing) {
  build(gated(R"({"kind": "switch", "jitter": 0, "balance_loss": 1, "balance_of": "kept", "workers": 2, "capacity": {"train": 1, "eval": 9}})"));
  EXPECT_NEAR(loss({{"x", {ln3, ln3, ln3, ln3}}, {"y.gate.weight", {1, 0}}}), 1.5 / 2, kNear);
}

// A slot of each of two experts on one token; both experts give what they get. Draws of 0 and 1/e are noise of -log(-log(1e-20))
// and 0 on products of 0.
TEST_F(Train, NoiseOfADrawOfZeroIsFinite) {
  ImportOptions options = withDraws();
  options.statistics = true;
  build(squares("[1, 1, 1]", R"([{"kind": "soft_moe", "name": "y", "noise": 1, "experts": {"kind": "linear", "bias": false, "count": 2}}])"), options);
  auto results = evaluate({{"x", {3}}, {"y.experts.weight", {1, 1}}, {"y.noise", {0, std::exp(-1.0)}}});
  EXPECT_NEAR(results.at("loss")[0], 9, 9 * kNear);
  double least = 1 / std::log(1e20); // exp of that noise
  EXPECT_NEAR(results.at("y.load")[0], least / (1 + least), kNear);
  EXPECT_NEAR(results.at("y.load")[1], 1 / (1 + least), kNear);
}

// Tokens are 1 when they are normalised, and the vectors of the experts' slots +-ln(3)/2: a token takes 3/4 of the first
// expert. Two slots each, the second of a run of one token and one that is padding.
TEST_F(Train, DynamicSoftMixturesTellTheirLoad) {
  ImportOptions options{.train = true, .statistics = true};
  std::map<std::string, Numbers> given{
      {"x", {2, 3, 5}}, {"mask", {1, 1, 0}}, {"y.norm.weight", {1}}, {"y.to_slots.weight", {1, -1}}, {"y.slot_norm.weight", {ln3 / 2}}};
  auto load = [&](const std::string& from) {
    build(model(R"({"x": {"shape": [1, 3, 1]}, "target": {"shape": [1, 3, 1], "for": "loss"}, "mask": {"shape": [1, 3]}})",
                R"([{"kind": "dynamic_soft_moe", "name": "y", "from": )" + from + R"(, "experts": {"kind": "linear", "bias": false, "count": 2}}])",
                R"("loss": {"kind": "mse", "prediction": "y", "target": "target"})"),
          options);
    return evaluate(given).at("y.load");
  };
  Numbers all = load(R"("x")"), masked = load(R"(["x", "mask"])");
  EXPECT_NEAR(all[0], 3 * 0.75, 2 * kNear);
  EXPECT_NEAR(all[1], 3 * 0.25, 2 * kNear);
  // Two tokens take slots of their own run alone, the third is the mean over all.
  EXPECT_NEAR(masked[0], 2 * 0.75 + 0.5, 2 * kNear);
  EXPECT_NEAR(masked[1], 2 * 0.25 + 0.5, 2 * kNear);
}

TEST_F(Train, GShardReportsItsBalance) {
  std::string gate = R"({"kind": "gshard", "bias": false, "random_routing": false)";
  build(gated(gate + "}"));
  auto results = evaluate(threeAndOne());
  EXPECT_NEAR(results.at("y.gate.balance_loss").at(0), 1.125, kNear);
  EXPECT_EQ(results.at("loss").at(0), 0);
  build(gated(gate + R"(, "balance_loss": 0.01})"));
  EXPECT_NEAR(loss(threeAndOne()), 0.01125, kNear);
}

// The mean over the rows of the batch: of (1.5, 1) as above.
TEST_F(Train, Top2BalancesEachRow) {
  build(gated(R"({"kind": "top_2", "balance_loss": 0.5})", 2, "[2, 2, 1]"));
  auto results = evaluate(threeAndOne());
  EXPECT_NEAR(results.at("y.gate.balance_loss").at(0), 1.25, kNear);
  EXPECT_NEAR(results.at("loss").at(0), 0.625, kNear);
}

// The first group has three tokens of importance 1, all for its expert 0 with (3, 1) / 4; the second has one, for its
// expert 0 with (3, 1) / 4. Each has four places: 4 * mean of (3/4 * 9/16, 0, 1/4 * 3/16, 0).
TEST_F(Train, HierarchicalBalancesBothLevels) {
  build(gated(R"({"kind": "hierarchical", "outer": 2, "policy": "all", "balance_loss": 1})", 4, "[1, 4, 1]"));
  auto given = threeAndOne();
  given["y.gate.outer.weight"] = {1, 0};
  given["y.gate.inner.weight"] = {1, 0, 0, 1};
  given.erase("y.gate.weight");
  auto results = evaluate(given);
  EXPECT_NEAR(results.at("y.gate.outer.balance_loss").at(0), 1.125, kNear);
  EXPECT_NEAR(results.at("y.gate.inner.balance_loss").at(0), 27.0 / 64 + 3.0 / 64, kNear);
  EXPECT_NEAR(results.at("loss").at(0), 1.125 + 30.0 / 64, 2 * kNear);
}

// Groups of 3 places: the first takes the first choices of three tokens, the other one that of the last and two second ones. ln 4 and ln(4/3) are the
// logarithms of the sums in both levels, and a group takes no place for what is dropped.
TEST_F(Train, BothLevelsHaveAZLoss) {
  build(gated(
      R"({"kind": "hierarchical", "outer": 2, "policy": "all", "balance_loss": 0, "z_loss": 0.5, "least_capacity": 1, "capacity": {"train": 1.5, "eval": 9}})",
      4, "[1, 4, 1]"));
  auto given = threeAndOne();
  given["y.gate.outer.weight"] = {1, 0};
  given["y.gate.inner.weight"] = {1, 0, 0, 1};
  given.erase("y.gate.weight");
  auto results = evaluate(given);
  double four = std::log(4.0) * std::log(4.0), third = std::log(4.0 / 3) * std::log(4.0 / 3);
  EXPECT_NEAR(results.at("y.gate.outer.z_loss").at(0), (3 * four + third) / 4, kNear);
  EXPECT_NEAR(results.at("y.gate.inner.z_loss").at(0), (5 * four + third) / 6, kNear);
  EXPECT_NEAR(results.at("loss").at(0), 0.5 * ((3 * four + third) / 4 + (5 * four + third) / 6), 2 * kNear);
}

// The same routing: infinities in the gate of the second group are counted for the three rows that came to it, of two logits each one.
TEST_F(Train, LogitsOfTheInnerLevelAreCountedWhereTheyAreNoNumbers) {
  build(gated(R"({"kind": "hierarchical", "outer": 2, "policy": "all", "balance_loss": 0, "least_capacity": 1, "capacity": {"train": 1.5, "eval": 9}})", 4,
              "[1, 4, 1]"),
        {.train = true, .statistics = true});
  auto given = threeAndOne();
  given["y.gate.outer.weight"] = {1, 0};
  given["y.gate.inner.weight"] = {1, 0, std::numeric_limits<double>::infinity(), 1};
  given.erase("y.gate.weight");
  auto results = evaluate(given);
  EXPECT_EQ(results.at("y.gate.outer.non_finite").at(0), 0);
  EXPECT_EQ(results.at("y.gate.non_finite").at(0), 3);
  given["y.gate.inner.weight"] = {1, 0, 0, 1};
  given["y.gate.outer.weight"] = {std::numeric_limits<double>::quiet_NaN(), 0};
  EXPECT_EQ(evaluate(given).at("y.gate.outer.non_finite").at(0), 4);
}

// Capacities, policies and thresholds are those of training.
TEST_F(Train, WordsByModeAreThoseOfTraining) {
  std::string gate = R"({"kind": "top_2", "policy": {"train": "threshold", "eval": "all"}, "least_capacity": 1,
                         "threshold": {"train": 0.3, "eval": 0.1}, "capacity": {"train": 1.5, "eval": 9}})";
  build(gated(gate));
  EXPECT_NE(text().find("capacity \"3\""), std::string::npos);
  EXPECT_NE(text().find("dense<3.000000e-01>"), std::string::npos);
  build(gated(gate), {});
  EXPECT_NE(text().find("capacity \"4\""), std::string::npos);
  EXPECT_EQ(text().find("dense<1.000000e-01>"), std::string::npos);
}

TEST_F(Train, OptimizerBecomesWords) {
  std::string blocks = R"([{"kind": "linear", "out": 2, "name": "y"}])";
  auto rule = [&] { return (*module_)->getAttrOfType<mlir::DictionaryAttr>("moe.optimizer"); };
  build(squares("[1, 2]", blocks));
  EXPECT_EQ(rule().getAs<mlir::StringAttr>("kind"), "adam");
  EXPECT_EQ(mlir::cast<mlir::FloatAttr>(rule().getAs<mlir::ArrayAttr>("betas")[1]).getValueAsDouble(), 0.999);
  EXPECT_FALSE(rule().get("clip_norm"));
  build(squares("[1, 2]", blocks, R"(, "optimizer": {"kind": "adamw", "weight_decay": 0.5, "no_decay": ["bias", "*.w*t"], "clip_norm": 2})"));
  EXPECT_EQ(rule().getAs<mlir::StringAttr>("kind"), "adamw");
  EXPECT_EQ(rule().getAs<mlir::FloatAttr>("weight_decay").getValueAsDouble(), 0.5);
  EXPECT_EQ(rule().getAs<mlir::FloatAttr>("clip_norm").getValueAsDouble(), 2);
  EXPECT_EQ(rule().getAs<mlir::ArrayAttr>("no_decay").size(), 2u);
}

TEST_F(Train, NothingToTrainOnIsAnError) {
  EXPECT_EQ(error(R"({"name": "m", "inputs": {"x": {"shape": [2, 2]}}, "model": [{"kind": "scale"}]})"),
            "model.json:1:1: error: a model is trained on its loss, and this one has none: \"model\" needs \"loss\"\n");
}

TEST_F(Train, RulesOfOptimizersAreCheckedInBothModes) {
  auto with = [](const std::string& words) { return squares("[1, 2]", R"([{"kind": "linear", "out": 2, "name": "y"}])", R"(, "optimizer": {)" + words + "}"); };
  for (bool train : {false, true}) {
    EXPECT_NE(error(with(R"("kind": "adam", "betas": [0.9])"), train).find("\"betas\" are two numbers, not 1"), std::string::npos);
    EXPECT_NE(error(with(R"("kind": "adam", "betas": [0.9, 1])"), train).find("\"betas\" are below 1"), std::string::npos);
    EXPECT_NE(error(with(R"("kind": "sgd", "nesterov": true)"), train).find("\"nesterov\" needs a \"momentum\" over 0"), std::string::npos);
    EXPECT_NE(error(with(R"("kind": "sgd", "momentum": 0.5, "dampening": 0.5, "nesterov": true)"), train).find("\"nesterov\""), std::string::npos);
    EXPECT_NE(error(with(R"("kind": "sgd", "no_decay": ["bias", "wight"])"), train).find("no parameter's name is or ends with \"wight\""), std::string::npos);
    EXPECT_NE(error(with(R"("kind": "rmsprop")"), train).find("unknown optimizer \"rmsprop\""), std::string::npos);
    EXPECT_NE(error(with(R"("kind": "mse")"), train).find("\"mse\" is a kind of loss; expected an optimizer"), std::string::npos);
  }
}

// Each model of the zoo, small: its losses are numbers, and the total is larger than each counted part.
TEST_F(Train, TheZooHasLosses) {
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(MOEC_SOURCE_DIR) + "/models/zoo")) {
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    SCOPED_TRACE(entry.path().stem().string());
    build(text.str(), {.useCheck = true, .train = true});
    ++models;
    Bindings sizes;
    for (mlir::NamedAttribute size : (*module_)->getAttrOfType<mlir::DictionaryAttr>("moe.check"))
      sizes[size.getName().str()] = mlir::cast<mlir::IntegerAttr>(size.getValue()).getInt();
    std::map<std::string, Numbers> given;
    for (auto parameter : module_->getOps<ir::ParameterOp>())
      given[parameter.getSymName().str()] = some(mlir::cast<mlir::RankedTensorType>(parameter.getType()).getNumElements(), 0.1);
    for (auto [index, argument] : llvm::enumerate(function().getArguments()))
      if (auto type = mlir::cast<mlir::RankedTensorType>(argument.getType()); mlir::isa<mlir::FloatType>(type.getElementType())) {
        size_t elements = 1;
        for (int64_t size : reference::shapeOf(type, sizes))
          elements *= static_cast<size_t>(size);
        given[function().getArgAttrOfType<mlir::StringAttr>(index, "moe.input").str()] = some(elements);
      }
    auto results = evaluate(given, sizes);
    for (const auto& [name, value] : results) {
      ASSERT_EQ(value.size(), 1u) << name;
      EXPECT_TRUE(std::isfinite(value[0])) << name;
      EXPECT_GT(value[0], 0) << name;
    }
  }
  EXPECT_EQ(models, 17);
}

} // namespace
