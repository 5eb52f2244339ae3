// What a model file becomes: parameters, their names and beginnings, @forward's arguments, results and ops.

#include "models/BuildModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

using namespace moec;
using namespace moec::models;

namespace {

class BuildModel : public testing::Test {
protected:
  mlir::ModuleOp build(const std::string& text, const ImportOptions& options = {}) {
    Diagnostics diagnostics;
    module_ = buildModel("model.json", text, options, &context_, diagnostics);
    EXPECT_TRUE(module_) << diagnostics.text();
    return *module_;
  }
  mlir::ModuleOp zoo(const std::string& name, const ImportOptions& options = {}) {
    std::ifstream file(std::string(MOEC_SOURCE_DIR) + "/models/zoo/" + name + ".json");
    std::stringstream text;
    text << file.rdbuf();
    return build(text.str(), options);
  }
  std::string error(const std::string& text, const ImportOptions& options = {}) {
    Diagnostics diagnostics;
    EXPECT_FALSE(buildModel("model.json", text, options, &context_, diagnostics));
    return diagnostics.text();
  }

  /// name -> shape
  std::map<std::string, std::vector<int64_t>> parameters() {
    std::map<std::string, std::vector<int64_t>> result;
    for (auto parameter : module_->getOps<ir::ParameterOp>())
      result[parameter.getSymName().str()] = mlir::cast<mlir::RankedTensorType>(parameter.getType()).getShape().vec();
    return result;
  }
  int64_t elements() {
    int64_t sum = 0;
    for (const auto& [name, shape] : parameters()) {
      int64_t product = 1;
      for (int64_t size : shape)
        product *= size;
      sum += product;
    }
    return sum;
  }
  mlir::func::FuncOp forward() { return module_->lookupSymbol<mlir::func::FuncOp>("forward"); }
  /// The module's text without locations; runs of spaces are one.
  std::string text() {
    std::string result;
    llvm::raw_string_ostream stream(result);
    module_->print(stream);
    auto isRun = [](char a, char b) { return a == ' ' && b == ' '; };
    result.erase(std::unique(result.begin(), result.end(), isRun), result.end());
    return result;
  }
  /// Do the pieces stand in the text in this order?
  void expectInOrder(const std::vector<std::string>& pieces) {
    std::string all = text();
    size_t at = 0;
    for (const std::string& piece : pieces) {
      size_t found = all.find(piece, at);
      ASSERT_NE(found, std::string::npos) << "missing, or not in this order: " << piece << "\n" << all;
      at = found + piece.size();
    }
  }

  mlir::MLIRContext context_;
  mlir::OwningOpRef<mlir::ModuleOp> module_;
};

using Shape = std::vector<int64_t>;

std::string model(const std::string& inputs, const std::string& blocks, const std::string& rest = "") {
  return R"({"name": "m", "inputs": )" + inputs + R"(, "model": )" + blocks + rest + "}";
}
const std::string kRows = R"({"x": {"shape": ["batch", 8]}})";
const std::string kTokens = R"({"x": {"shape": ["batch", 5, 8]}})";

// 41,546 and 54,482: the parameter counts of the vit-pytorch model and of its FastMoE form.
TEST_F(BuildModel, VitHasItsParameters) {
  zoo("vit");
  EXPECT_EQ(elements(), 41546);
  auto all = parameters();
  EXPECT_EQ(all.size(), 34u);
  EXPECT_EQ(all["patch_embedding.norm_in.weight"], Shape{48});
  EXPECT_EQ(all["patch_embedding.projection.weight"], (Shape{32, 48}));
  EXPECT_EQ(all["patch_embedding.norm_out.bias"], Shape{32});
  EXPECT_EQ(all["class_token.weight"], Shape{32});
  EXPECT_EQ(all["position_embedding.weight"], (Shape{65, 32}));
  EXPECT_EQ(all["layers.0.layer_norm.weight"], Shape{32});
  EXPECT_EQ(all["layers.0.attention.qkv.weight"], (Shape{384, 32}));
  EXPECT_FALSE(all.contains("layers.0.attention.qkv.bias"));
  EXPECT_EQ(all["layers.1.attention.out.weight"], (Shape{32, 128}));
  EXPECT_EQ(all["layers.1.attention.out.bias"], Shape{32});
  EXPECT_EQ(all["layers.1.layer_norm_2.bias"], Shape{32});
  EXPECT_EQ(all["layers.1.mlp.up.weight"], (Shape{32, 32}));
  EXPECT_EQ(all["layers.1.mlp.down.bias"], Shape{32});
  EXPECT_EQ(all["layer_norm.weight"], Shape{32});
  EXPECT_EQ(all["scores.weight"], (Shape{10, 32}));
}

TEST_F(BuildModel, VitMoeHasItsParameters) {
  zoo("vit-moe");
  EXPECT_EQ(elements(), 54482);
  auto all = parameters();
  EXPECT_EQ(all["layers.0.moe.gate.weight"], (Shape{4, 32}));
  EXPECT_EQ(all["layers.0.moe.gate.bias"], Shape{4});
  EXPECT_EQ(all["layers.1.moe.experts.up.weight"], (Shape{4, 32, 32}));
  EXPECT_EQ(all["layers.1.moe.experts.down.bias"], (Shape{4, 32}));
}

// 8,000 pieces, width 256, 6 layers of 527,104, 32 experts 256-512-256, a linear head: 15.7 M.
TEST_F(BuildModel, SwitchLmHasItsParameters) {
  zoo("switch-lm");
  EXPECT_EQ(elements(), 15695680);
  auto all = parameters();
  EXPECT_EQ(all["embedding.weight"], (Shape{8000, 256}));
  EXPECT_EQ(all["position_embedding.weight"], (Shape{30, 256}));
  EXPECT_EQ(all["layers.5.attention.qkv.weight"], (Shape{768, 256}));
  EXPECT_EQ(all["layers.5.attention.qkv.bias"], Shape{768});
  EXPECT_EQ(all["layers.5.mlp.up.weight"], (Shape{512, 256}));
  EXPECT_EQ(all["layers.5.layer_norm_2.weight"], Shape{256});
  EXPECT_EQ(all["moe.gate.weight"], (Shape{32, 256}));
  EXPECT_FALSE(all.contains("moe.gate.bias"));
  EXPECT_EQ(all["moe.experts.up.weight"], (Shape{32, 512, 256}));
  EXPECT_EQ(all["moe.experts.down.weight"], (Shape{32, 256, 512}));
  EXPECT_EQ(all["scores.weight"], (Shape{8000, 256}));
}

// 7,680 positions + 2,048,000 embeddings + 3,162,624 layers, then: a gate of 8,224, experts 256-512-512 of 394,240, a
// head of 262,656 + 4,104,000; the same without gate and first layer of the head; one layer of 131,584 for each expert.
TEST_F(BuildModel, TheOtherLanguageModelsHaveTheirs) {
  zoo("gating-lm");
  EXPECT_EQ(elements(), 5218304 + 8224 + 32 * 394240 + 262656 + 4104000);
  EXPECT_EQ(parameters()["moe.gate.bias"], Shape{32});
  EXPECT_EQ(parameters()["linear.weight"], (Shape{512, 512}));
  zoo("random-lm");
  EXPECT_EQ(elements(), 5218304 + 32 * 394240 + 4104000);
  zoo("blended-lm");
  EXPECT_EQ(elements(), 5218304 + 8224 + 32 * 131584 + 4104000);
  EXPECT_EQ(parameters()["moe.experts.layers.0.weight"], (Shape{32, 512, 256}));
}

// The blog's have no positions, and their layers take the batch for the sequence.
TEST_F(BuildModel, TheBlogsLanguageModelsAttendOverTheBatch) {
  zoo("switch-lm-blog");
  EXPECT_EQ(elements(), 5218304 - 7680 + 8224 + 32 * 131584 + 4104000);
  expectInOrder({"moe.embedding", "moe.transpose", "[1, 0, 2]", "moe.attention", "moe.transpose", "[1, 0, 2]", "moe.softmax"});
  EXPECT_EQ(text().find("causal"), std::string::npos);
  zoo("gating-lm-blog");
  EXPECT_EQ(elements(), 5218304 - 7680 + 8224 + 32 * 394240 + 262656 + 4104000);
}

// Norms stand behind the sums, attention looks back only, and the best expert takes its share of the tokens.
TEST_F(BuildModel, SwitchLmIsCausalAndPostNorm) {
  zoo("switch-lm");
  expectInOrder({"moe.embedding", "moe.attention", "causal", "moe.add", "moe.layer_norm", "moe.relu", "moe.add", "moe.layer_norm", "moe.attention", "causal",
                 "moe.softmax", "moe.select", "k 1", "moe.assign", "experts 32 token_major capacity \"max(1,trunc(2*(batch*sequence)/32))\"", "moe.dispatch",
                 "moe.combine"});
  auto limits = (*module_)->getAttrOfType<mlir::DictionaryAttr>("moe.at_most");
  EXPECT_EQ(limits.getAs<mlir::IntegerAttr>("sequence").getInt(), 30);
  EXPECT_EQ(forward().getArgAttrOfType<mlir::IntegerAttr>(0, "moe.below").getInt(), 8000);
}

TEST_F(BuildModel, MannHasNoWeightsOfASample) {
  zoo("mann");
  // The gate 60-256-256-256-4, then 4 experts of 60-256, 256-256 and 256-20.
  EXPECT_EQ(elements(), (15616 + 2 * 65792 + 1028) + 4 * (15616 + 65792 + 5140));
  for (mlir::Operation& op : forward().getBody().front())
    for (mlir::Value value : op.getResults()) {
      ir::Sizes sizes = ir::sizesOf(value);
      EXPECT_LE(llvm::count_if(sizes, [](const Size& size) { return size.isConstant() && *size.constant() >= 20; }), mlir::isa<ir::ReadOp>(op) ? 2 : 1)
          << ir::describe(sizes);
    }
}

TEST_F(BuildModel, SoftMoeMixesWithoutCountingTokens) {
  zoo("soft-moe");
  EXPECT_EQ(elements(), 16 * 128 + 8 * 2 * (128 * 128 + 3 * 128));
  EXPECT_EQ(parameters()["y.slots"], (Shape{16, 128}));
  EXPECT_EQ(parameters()["y.experts.down.layer_norm.bias"], (Shape{8, 128}));
  expectInOrder({"init <\"orthogonal\", 1.000000e-02", "moe.broadcast", "moe.attention", "heads 1 scale 1.000000e+00", "moe.matmul", "moe.layer_norm",
                 "moe.relu", "moe.matmul", "moe.layer_norm", "moe.relu", "moe.attention"});
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(forward().getResultTypes()[0]))), "[batch, tokens, 128]");
}

TEST_F(BuildModel, MoefyTurnsVitIntoVitMoe) {
  zoo("vit-moe");
  auto expected = parameters();
  zoo("vit", {.let = {}, .moefy = "experts=4,top_k=2,gate=gshard,hidden=32"});
  EXPECT_EQ(parameters(), expected);
  EXPECT_EQ(elements(), 54482);
}

TEST_F(BuildModel, MoefyTakesTheSwitchGate) {
  zoo("vit", {.let = {}, .moefy = "experts=4,top_k=1,gate=switch"});
  EXPECT_EQ(parameters()["layers.1.moe.gate.weight"], (Shape{4, 32}));
  expectInOrder({"moe.select", "k 1", "moe.assign", "capacity \"max(1,trunc(2*(65*batch)/4))\""});
}

TEST_F(BuildModel, MoefyOfTheFileKeepsTheMlpsWidth) {
  build(model(kRows, R"([{"kind": "mlp", "hidden": 16, "name": "ff"}])", R"(, "moefy": {"experts": 3, "top_k": 1})"));
  auto all = parameters();
  EXPECT_EQ(all["ff.gate.weight"], (Shape{3, 8}));
  EXPECT_EQ(all["ff.experts.up.weight"], (Shape{3, 16, 8}));
}

TEST_F(BuildModel, MoefyLeavesExpertsAlone) {
  build(model(kRows, R"([{"kind": "mlp", "hidden": 4, "name": "dense"}, {"kind": "moe", "gate": {"kind": "top_k"}, "experts": {"kind": "own", "count": 2}}])",
              R"(, "blocks": {"own": {"body": [{"kind": "mlp", "hidden": 4}]}}, "moefy": {"experts": 3, "top_k": 1})"));
  EXPECT_EQ(parameters()["moe.experts.mlp.up.weight"], (Shape{2, 4, 8}));
  EXPECT_EQ(parameters()["dense.experts.up.weight"], (Shape{3, 4, 8}));
}

TEST_F(BuildModel, BatchedExpertsIsInDouble) {
  mlir::ModuleOp module = zoo("batched-experts");
  auto all = parameters();
  EXPECT_EQ(all["experts.layers.0.weight"], (Shape{4, 256, 60}));
  EXPECT_EQ(all["experts.layers.3.weight"], (Shape{4, 20, 256}));
  EXPECT_EQ(all["experts.layers.3.bias"], (Shape{4, 20}));
  EXPECT_EQ(all.size(), 8u);
  EXPECT_EQ(module->getAttrOfType<mlir::DictionaryAttr>("moe.check").getAs<mlir::IntegerAttr>("batch").getInt(), 3);
  expectInOrder({"init <\"orthogonal\", 1.000000e+00", "init <\"zeros\"", "moe.matmul", "tensor<4x256x60xf64>", "moe.relu", "moe.tanh", "moe.reduce mean",
                 "moe.reduce sum", "return"});
  auto results = forward().getResultTypes();
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(results[0]))), "[4, batch, 20]");
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(results[1]))), "[batch, 20]");
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(results[2]))), "[batch, 20]");
  EXPECT_EQ(forward().getResultAttrOfType<mlir::StringAttr>(1, "moe.output"), "spread");
}

TEST_F(BuildModel, InputsCarryWhatTheFileSays) {
  zoo("vit-moe");
  auto image = forward().getArgAttrDict(0), label = forward().getArgAttrDict(1);
  EXPECT_EQ(image.getAs<mlir::StringAttr>("moe.input"), "image");
  EXPECT_EQ(image.getAs<mlir::DictionaryAttr>("moe.photo").getAs<mlir::StringAttr>("resize"), "stretch");
  EXPECT_TRUE(label.get("moe.for_loss"));
  EXPECT_EQ(forward().getResultAttrOfType<mlir::StringAttr>(0, "moe.output"), "scores");
  EXPECT_EQ((*module_)->getAttrOfType<mlir::DictionaryAttr>("moe.loss").getAs<mlir::StringAttr>("labels"), "label");
}

// The published gate: choose, softmax over the two, assign by capacity, then drop second choices at random.
TEST_F(BuildModel, GShardGateIsComposed) {
  zoo("vit-moe");
  expectInOrder({"moe.select", "k 2", "moe.softmax", "moe.assign", "experts 4 token_major capacity \"floordiv(2*ceil(2.4*(65*batch)),4)\"",
                 "moe.random uniform \"layers.0.moe.gate.random_routing\"", "compare lt", "moe.drop", "moe.dispatch", "moe.grouped_matmul", "moe.expert_rows",
                 "moe.gelu", "moe.grouped_matmul", "moe.combine", "moe.random uniform \"layers.1.moe.gate.random_routing\""});
}

TEST_F(BuildModel, DrawsBecomeInputs) {
  zoo("vit-moe", {.let = {}, .moefy = {}, .useCheck = false, .drawsAsInputs = true});
  ASSERT_EQ(forward().getNumArguments(), 4u);
  EXPECT_EQ(forward().getArgAttrOfType<mlir::StringAttr>(2, "moe.input"), "layers.0.moe.gate.random_routing");
  EXPECT_TRUE(forward().getArgAttr(2, "moe.draw"));
  EXPECT_EQ(ir::describe(ir::sizesOf(forward().getArgument(3))), "[65*batch]");
  EXPECT_EQ(text().find("moe.random"), std::string::npos);
}

TEST_F(BuildModel, TopKGateHasNoCapacityUnlessGiven) {
  auto moe = [](const std::string& gate) {
    return model(kRows, R"([{"kind": "moe", "gate": )" + gate + R"(, "experts": {"kind": "mlp", "count": 4, "hidden": 4}}])");
  };
  build(moe(R"({"kind": "top_k"})"));
  EXPECT_EQ(text().find("capacity"), std::string::npos);
  expectInOrder({"moe.select", "moe.softmax"});
  build(moe(R"({"kind": "top_k", "softmax": "all", "normalize": true, "capacity": 1.5, "priority": "choice_major"})"));
  expectInOrder({"moe.softmax", "moe.select", "moe.reduce sum", "moe.div", "choice_major capacity \"floordiv(2*ceil(1.5*batch),4)\""});
  build(moe(R"({"kind": "top_k", "softmax": "all", "noise": 0.5})"));
  expectInOrder({"moe.random normal \"moe.gate.noise\"", "moe.softmax", "moe.select"});
}

TEST_F(BuildModel, SwitchGateRoundsAsItIsTold) {
  auto moe = [](const std::string& gate) {
    return model(kRows, R"([{"kind": "moe", "gate": {"kind": "switch")" + gate + R"(}, "experts": {"kind": "mlp", "count": 4, "hidden": 4}}])");
  };
  build(moe(""));
  expectInOrder({"capacity \"max(1,trunc(2*batch/4))\""});
  build(moe(R"(, "capacity": {"train": 1.2, "eval": 2.4}, "rounding": "up", "least_capacity": 4, "bias": true)"));
  EXPECT_TRUE(parameters().contains("moe.gate.bias"));
  expectInOrder({"capacity \"max(4,ceil(2.4*batch/4))\""});
}

TEST_F(BuildModel, DenseGateSendsEverybodyEverywhere) {
  std::string text = model(kTokens, R"([{"kind": "moe", "gate": {"kind": "dense", "widths": [6, 5], "activation": "tanh"},
                    "experts": {"kind": "mlp", "count": 3, "hidden": 4, "out": 7}}])");
  build(text);
  auto all = parameters();
  EXPECT_EQ(all["moe.gate.layers.0.weight"], (Shape{6, 8}));
  EXPECT_EQ(all["moe.gate.layers.1.weight"], (Shape{5, 6}));
  EXPECT_EQ(all["moe.gate.weight"], (Shape{3, 5}));
  EXPECT_EQ(all["moe.experts.down.weight"], (Shape{3, 7, 4}));
  EXPECT_EQ(this->text().find("moe.assign"), std::string::npos);
  expectInOrder({"moe.tanh", "moe.tanh", "moe.softmax", "moe.gelu", "moe.reduce sum"});
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(forward().getResultTypes()[0]))), "[batch, 5, 7]");
  // The sum over the experts is the router's.
  build("{\"dtype\": \"bf16\", " + text.substr(1));
  expectInOrder({"moe.gate.weight : tensor<3x5xf32>", "moe.cast", "f32", "moe.reduce sum", "moe.cast", "bf16"});
}

TEST_F(BuildModel, RandomExpertDrawsOncePerCall) {
  zoo("random-lm", {.let = {}, .moefy = {}, .useCheck = false, .drawsAsInputs = true});
  mlir::func::FuncOp function = forward();
  ASSERT_EQ(function.getNumArguments(), 3u);
  EXPECT_EQ(function.getArgAttrOfType<mlir::StringAttr>(2, "moe.input"), "moe.gate.expert");
  EXPECT_EQ(ir::describe(ir::sizesOf(function.getArgument(2))), "[1, 32]");
}

TEST_F(BuildModel, RouterOfBf16IsF32) {
  build(R"({"name": "m", "dtype": "bf16", "inputs": {"x": {"shape": ["batch", 8]}},
            "model": [{"kind": "moe", "gate": {"kind": "gshard"}, "experts": {"kind": "mlp", "count": 4, "hidden": 4}}]})");
  expectInOrder({"moe.gate.weight : tensor<4x8xf32>", "moe.experts.up.weight : tensor<4x4x8xbf16>"});
}

TEST_F(BuildModel, LocationsNamePathAndPlace) {
  build("{\"name\": \"m\", \"inputs\": {\"x\": {\"shape\": [\"batch\", 8]}},\n \"model\": [{\"kind\": \"relu_first\"}],\n"
        " \"blocks\": {\"relu_first\": {\"body\": [\n  {\"kind\": \"activation\", \"function\": \"relu\"}, {\"kind\": "
        "\"linear\", \"out\": 3}]}}}");
  mlir::Operation* relu = &forward().getBody().front().front();
  EXPECT_EQ(ir::pathOf(relu->getLoc()), "relu_first.activation");
  auto place = mlir::cast<mlir::FileLineColLoc>(mlir::cast<mlir::NameLoc>(relu->getLoc()).getChildLoc());
  EXPECT_EQ(place.getFilename(), "model.json");
  EXPECT_EQ(place.getLine(), 4u);
  EXPECT_EQ(place.getColumn(), 3u);
  EXPECT_TRUE(parameters().contains("relu_first.linear.weight"));
}

TEST_F(BuildModel, ContainersAddNothingToNames) {
  build(model(kRows,
              R"([{"kind": "linear", "out": 8}, {"kind": "residual", "body": [{"kind": "sequence", "body": {"kind": "linear", "out": 8}}]},
                         [{"kind": "linear", "out": 8}], {"kind": "repeat", "times": 2, "body": {"kind": "linear", "out": 8}}])"));
  std::vector<std::string> names;
  for (const auto& [name, shape] : parameters())
    if (name.ends_with("weight"))
      names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"linear.weight", "linear_2.weight", "linear_3.weight", "repeat.0.linear.weight", "repeat.1.linear.weight"}));
}

TEST_F(BuildModel, OwnBlocksTakeParameters) {
  build(model(kRows, R"j([{"kind": "wide", "factor": 3}, {"kind": "wide", "name": "last"}, {"kind": "head", "out": "$(base+1)"}])j",
              R"j(, "let": {"base": 4}, "blocks": {
                   "wide": {"parameters": {"factor": "$base"}, "body": [{"kind": "mlp", "hidden": "$(2*factor)"}]},
                   "head": {"kind": "linear", "parameters": {"out": null}, "out": "$out"}})j"));
  auto all = parameters();
  EXPECT_EQ(all["wide.mlp.up.weight"], (Shape{6, 8}));
  EXPECT_EQ(all["last.mlp.up.weight"], (Shape{8, 8}));
  EXPECT_EQ(all["linear.weight"], (Shape{5, 8}));
}

TEST_F(BuildModel, OwnBlockIsAnExpert) {
  build(model(kRows, R"([{"kind": "moe", "gate": {"kind": "top_k"}, "experts": {"kind": "deep", "count": 4}}])",
              R"(, "blocks": {"deep": {"body": [{"kind": "layer_norm"}, {"kind": "linear", "out": 16},
                   {"kind": "activation", "function": "leaky_relu"}, {"kind": "linear", "out": 8, "bias": false, "init": {"weight": "normal"}}]}})"));
  auto all = parameters();
  EXPECT_EQ(all["moe.experts.layer_norm.weight"], (Shape{4, 8}));
  EXPECT_EQ(all["moe.experts.linear.weight"], (Shape{4, 16, 8}));
  EXPECT_EQ(all["moe.experts.linear.bias"], (Shape{4, 16}));
  EXPECT_EQ(all["moe.experts.linear_2.weight"], (Shape{4, 8, 16}));
  expectInOrder({"init <\"normal\", 0.000000e+00 : f64, 1.000000e+00 : f64>"});
}

TEST_F(BuildModel, CheckOverridesLetOnlyWhenAsked) {
  std::string text = model(kRows, R"([{"kind": "linear", "out": "$width"}])", R"(, "let": {"width": 100}, "check": {"width": 4, "batch": 3})");
  build(text);
  EXPECT_EQ(parameters()["linear.weight"], (Shape{100, 8}));
  build(text, {.let = {}, .moefy = {}, .useCheck = true});
  EXPECT_EQ(parameters()["linear.weight"], (Shape{4, 8}));
  build(text, {.let = {{"width", 7}}, .moefy = {}, .useCheck = true});
  EXPECT_EQ(parameters()["linear.weight"], (Shape{7, 8}));
  auto check = (*module_)->getAttrOfType<mlir::DictionaryAttr>("moe.check");
  EXPECT_EQ(check.size(), 1u);
  EXPECT_EQ(check.getAs<mlir::IntegerAttr>("batch").getInt(), 3);
}

TEST_F(BuildModel, EmbeddingLimitsItsIds) {
  build(model(R"({"ids": {"shape": ["batch", "sequence"], "dtype": "i64"}})",
              R"([{"kind": "embedding", "vocabulary": 65, "dim": 8}, {"kind": "position_embedding", "length": 30},
                  {"kind": "attention", "heads": 2, "causal": true}])"));
  EXPECT_EQ(forward().getArgAttrOfType<mlir::IntegerAttr>(0, "moe.below").getInt(), 65);
  EXPECT_EQ((*module_)->getAttrOfType<mlir::DictionaryAttr>("moe.at_most").getAs<mlir::IntegerAttr>("sequence").getInt(), 30);
  expectInOrder({"moe.slice", "axis 0 from \"0\" size \"sequence\"", "moe.attention", "causal"});
}

TEST_F(BuildModel, SmallerPicturesUseTheFirstPositions) {
  build(model(R"({"x": {"shape": ["batch", 3, 8, 12]}})",
              R"([{"kind": "patch_embedding", "patch": [4, 6], "dim": 16}, {"kind": "class_token"}, {"kind": "position_embedding", "length": 65}])"));
  EXPECT_EQ(parameters()["patch_embedding.projection.weight"], (Shape{16, 72}));
  expectInOrder({"-> tensor<?x3x2x4x2x6xf32", "moe.transpose", "[0, 2, 4, 3, 5, 1]", "from \"0\" size \"5\""});
}

TEST_F(BuildModel, OneHeadAsWideAsTheModelHasNoProjection) {
  build(model(kTokens, R"([{"kind": "attention", "heads": 1}])"));
  EXPECT_FALSE(parameters().contains("attention.out.weight"));
  build(model(kTokens, R"([{"kind": "attention", "heads": 1, "head_dim": 4}])"));
  EXPECT_TRUE(parameters().contains("attention.out.weight"));
}

// 6 layers of the encoder and 12 of the decoder: attention of 8 heads of 64, a table of 32 distances for each stack, and every second and every fourth
// feed-forward of 32 experts. The embedding is the decoder's and the head's too, and is counted once.
TEST_F(BuildModel, HfSwitchHasItsParameters) {
  zoo("hf-switch");
  int64_t attention = 4 * 256 * 512 + 256, dense = 2 * 256 * 2048 + 256, sparse = 32 * (dense - 256) + 32 * 256 + 256;
  EXPECT_EQ(elements(), 32128 * 256 + 2 * (32 * 8 + 256) + 6 * attention + 3 * (dense + sparse) + 12 * 2 * attention + 9 * dense + 3 * sparse);
  auto all = parameters();
  EXPECT_EQ(all["shared.weight"], (Shape{32128, 256}));
  EXPECT_FALSE(all.contains("scores.weight"));
  EXPECT_FALSE(all.contains("decoder_embedding.weight"));
  EXPECT_EQ(all["encoder_bias.weight"], (Shape{32, 8}));
  EXPECT_EQ(all["encoder.2.sparse_encoder_layer.sparse.moe.experts.up.weight"], (Shape{32, 2048, 256}));
  EXPECT_EQ(all["decoder.0.dense_decoder_layer_3.cross_attention.attention.kv.weight"], (Shape{1024, 256}));
  EXPECT_EQ(all["decoder.2.sparse_decoder_layer.sparse.moe.gate.weight"], (Shape{32, 256}));
  EXPECT_EQ(all["decoder_norm.weight"], Shape{256});
  for (unsigned input : {0u, 1u}) // the shifted targets are ids too
    EXPECT_EQ(forward().getArgAttrOfType<mlir::IntegerAttr>(input, "moe.below").getInt(), 32128);
}

TEST_F(BuildModel, AttentionToAnotherValue) {
  build(model(R"({"x": {"shape": ["batch", 5, 8]}, "memory": {"shape": ["batch", "n", 6]}})",
              R"([{"kind": "attention", "from": ["x", "memory"], "heads": 4, "kv_heads": 2, "head_dim": 4, "scale": 0.5}])"));
  EXPECT_EQ(parameters()["attention.q.weight"], (Shape{16, 8}));
  EXPECT_EQ(parameters()["attention.kv.weight"], (Shape{16, 6}));
  EXPECT_EQ(parameters()["attention.out.weight"], (Shape{8, 16}));
  auto attention = *forward().getOps<ir::AttentionOp>().begin();
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::Value(attention.getQ()))), "[batch, 5, 16]");
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::Value(attention.getK()))), "[batch, n, 8]");
  EXPECT_EQ(*attention.getKvHeads(), 2);
  EXPECT_EQ(attention.getScale().convertToDouble(), 0.5);
}

TEST_F(BuildModel, ALayerMayUseTheWeightOfAnother) {
  build(model(kRows, R"([{"kind": "linear", "out": 8}, {"kind": "linear", "out": 8, "weight": "linear.weight"}])"));
  EXPECT_FALSE(parameters().contains("linear_2.weight"));
  EXPECT_TRUE(parameters().contains("linear_2.bias"));
  EXPECT_EQ(llvm::count_if(forward().getOps<ir::ReadOp>(), [](ir::ReadOp read) { return read.getState() == "linear.weight"; }), 2);
}

TEST_F(BuildModel, BlocksThatMoveElements) {
  auto shape = [&] { return ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(forward().getResultTypes()[0]))); };
  const std::string inputs = R"({"x": {"shape": ["batch", "n", 6]}, "y": {"shape": ["batch", "n", 2]}})";
  build(model(inputs, R"([{"kind": "concat", "from": ["x", "y"]}, {"kind": "shift", "start": 3}])"));
  EXPECT_EQ(shape(), "[batch, n, 8]");
  expectInOrder(
      {"moe.concat", "axis 2", "moe.constant dense<3.000000e+00>", "moe.broadcast", "moe.concat", "axis 1", "moe.slice", "axis 1 from \"0\" size \"n\""});
  build(model(inputs, R"([{"kind": "slice", "axis": 1, "start": 2}, {"kind": "slice", "axis": 2, "start": 1, "size": 4}])"));
  EXPECT_EQ(shape(), "[batch, n-2, 4]");
  build(model(inputs, R"([{"kind": "reshape", "shape": ["n", 2, "batch", 3]}, {"kind": "scale", "by": 2, "width_power": -1}])"));
  EXPECT_EQ(shape(), "[n, 2, batch, 3]");
  expectInOrder({"moe.constant dense<0.666666"});
}

TEST_F(BuildModel, MoeProjectsAndWidens) {
  build(model(kTokens, R"([{"kind": "moe", "gate": {"kind": "top_k"}, "experts": {"kind": "mlp", "count": 2, "hidden": 4, "out": 6}, "out": 3}])"));
  EXPECT_EQ(parameters()["moe.experts.down.weight"], (Shape{2, 6, 4}));
  EXPECT_EQ(parameters()["moe.out.weight"], (Shape{3, 6}));
  EXPECT_EQ(ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(forward().getResultTypes()[0]))), "[batch, 5, 3]");
}

TEST_F(BuildModel, ParametersBeginAsPyTorchs) {
  build(model(kTokens, R"([{"kind": "class_token"}, {"kind": "linear", "out": 2}, {"kind": "layer_norm"}])"));
  expectInOrder({"@class_token.weight", "<\"normal\", 0.000000e+00 : f64, 1.000000e+00 : f64>", "@linear.weight",
                 "<\"uniform\", -0.35355339059327373 : f64, 0.35355339059327373 : f64>", "@linear.bias", "<\"uniform\", -0.35355339059327373",
                 "@layer_norm.weight", "<\"ones\"", "@layer_norm.bias", "<\"zeros\""});
}

// Everything in the file at once: no kind may be left out when it is listed.
TEST_F(BuildModel, NotesAreIgnoredAnywhere) {
  build(
      R"({"note": "a", "name": "m", "inputs": {"note": "b", "x": {"note": "c", "shape": [4, 8]}}, "blocks": {"note": "d"},
            "model": [{"kind": "moe", "note": "e", "gate": {"kind": "top_k", "note": "f"},
                       "experts": {"kind": "mlp", "note": "g", "count": 2, "hidden": 4}}]})");
}

TEST_F(BuildModel, CapacityOfZeroIsAnErrorOnlyWhereItIsKnown) {
  std::string blocks = R"([{"kind": "moe", "gate": {"kind": "gshard"}, "experts": {"kind": "mlp", "count": 64, "hidden": 4}}])";
  EXPECT_EQ(error(model(R"({"x": {"shape": [4, 8]}})", blocks)),
            "model.json:1:85: error: a capacity rate of 2.4 leaves no place in 64 experts for 4 tokens with 2 choices: "
            "all would be dropped\n");
  build(model(kRows, blocks));
}

} // namespace
