// Models of the zoo whose words are right and whose sense is wrong: shapes that do not fit, references to nothing, names taken twice, cycles, sizes out of
// bounds. One change, one error; it stands at the change, or at the block that the change makes impossible.

#include "models/BuildModel.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

using namespace moec;
using namespace moec::models;

namespace {

struct Case {
  const char* file;
  const char* find;       // the first of this text ...
  const char* change;     // ... becomes this; `@` marks the error's place
  const char* place = ""; // or the error stands at the first of this text in the changed file
};

const Case kCases[] = {
    // shapes
    {"vit-moe", R"("patch": 4)", R"("patch": @5)"},
    {"vit-moe", R"("patch": 4)", R"("patch": @[4, 3])"},
    {"vit-moe", R"("patch": 4)", R"("patch": @64)"},
    {"vit-moe", R"("length": 65)", R"("length": @64)"},
    {"vit-moe", R"("heads": 2, "head_dim": 64)", R"("heads": @3)"},
    {"vit-moe", R"(["batch", 3, 32, 32])", R"(["batch", 3, 32])", R"({"resize")"},
    {"vit-moe", R"(["batch", 3, 32, 32])", R"(["batch", 3, "height", 32])", R"({"kind": "patch_embedding")"},
    {"vit-moe", R"(["batch", 3, 32, 32])", R"(["batch", 3, 30, 32])", R"(4, "dim")"},
    {"vit-moe", R"(["batch", 3, 32, 32])", R"(["batch", 4, 32, 32])", R"([0.5, 0.5, 0.5], "std")"}, // and not at "std" as well
    {"vit-moe", R"(["batch", 3, 32, 32], "photo")", R"(["batch", 3, 32, 32], "dtype": "f64", "photo")", R"({"kind": "patch_embedding")"},
    {"vit-moe", R"(["batch", 3, 32, 32])", R"(@[2147483648, 3, 32, 32])"},
    {"vit-moe", R"("mean": [0.5, 0.5, 0.5])", R"("mean": @[0.5, 0.5])"},
    {"vit-moe", R"("std": [0.5, 0.5, 0.5])", R"("std": @[0.5, 0, 0.5])"},
    {"vit-moe", R"({"kind": "pool", "mode": "class_token"},)", R"({"kind": "pool", "mode": "mean"}, @{"kind": "pool", "mode": "mean"},)"},
    {"vit-moe", R"({"kind": "pool", "mode": "class_token"},)", R"({"kind": "pool", "mode": "mean"}, @{"kind": "attention", "heads": 2},)"},
    {"vit-moe", R"({"kind": "pool", "mode": "class_token"},)", "", R"({"kind": "cross_entropy")"},
    {"vit-moe", R"({"kind": "residual", "body": [{"kind": "layer_norm"}, {"kind": "feed_forward"}]})",
     R"(@{"kind": "residual", "body": [{"kind": "layer_norm"}, {"kind": "linear", "out": 33}]})"},
    {"vit-moe", R"({"kind": "residual", "body": [{"kind": "layer_norm"}, {"kind": "feed_forward"}]})",
     R"(@{"kind": "residual", "body": {"kind": "pool", "mode": "mean"}})"},
    {"vit-moe", R"("hidden": 32, "activation")", R"("hidden": 32, "widths": [3], "activation")", R"({"kind": "mlp")"},
    {"vit-moe", R"("hidden": 32, "activation")", R"("activation")", R"({"kind": "mlp")"},
    {"vit-moe", R"("gate": {"kind": "gshard", "top_k": 2, "capacity": {"train": 1.2, "eval": 2.4}, "random_routing": true})",
     R"("gate": {"kind": "top_k", "top_k": @5})"},
    {"vit-moe", R"("count": 4)", R"("count": 1)", R"(2, "capacity")"},
    {"vit-moe", R"("shape": ["batch"], "dtype": "i64")", R"("shape": ["batch"], "dtype": "f32")", R"({"kind": "cross_entropy")"},
    {"vit-moe", R"("shape": ["batch"], "dtype": "i64")", R"("shape": ["other"], "dtype": "i64")", R"({"kind": "cross_entropy")"},
    {"vit-moe", R"("shape": ["batch"], "dtype": "i64")", R"("shape": ["batch", 10], "dtype": "i64")", R"({"kind": "cross_entropy")"},
    {"vit-moe", R"({"kind": "class_token"})", R"(@{"kind": "embedding", "vocabulary": 5, "dim": 32})"},
    {"vit-moe", R"({"kind": "class_token"})", R"({"kind": "transpose", "axes": @[0, 1, 1]})"},
    {"vit-moe", R"({"kind": "class_token"})", R"({"kind": "transpose", "axes": @[0, 1]})"},
    {"vit-moe", R"({"kind": "class_token"})", R"({"kind": "transpose", "axes": @[0, 1, 3]})"},
    {"vit-moe", R"({"kind": "class_token"})", R"(@{"kind": "variance", "over": "experts"})"},
    {"vit-moe", R"({"kind": "class_token"})", R"(@{"kind": "blend"})"},
    {"vit-moe", R"({"kind": "class_token"})", R"(@{"kind": "blend", "from": ["image", "label"]})"},
    {"vit-moe", R"("image": {)", R"("image": {"for": "loss", )", R"({
    "image")"},
    {"soft-moe", R"("slots": "$slots",)", R"("slots": "$slots", "from": @["x", "target", "x"],)", R"({"kind": "mixture", "name")"},
    {"soft-moe", R"("target": {"shape": ["batch", "tokens", 128])", R"("target": {"shape": ["batch", 128])", R"({"kind": "mse")"},
    {"soft-moe", R"("x": {"shape": ["batch", "tokens", 128]})", R"("x": {"shape": ["batch", 128]})", R"({"kind": "mse")"},
    {"soft-moe", R"("x": {"shape": ["batch", "tokens", 128]})", R"("x": {"shape": ["batch", "tokens", "width"]})", R"({"kind": "mixture", "name")"},
    {"soft-moe", R"("hidden": 128,)", R"("hidden": 128, "out": 64,)", R"({"kind": "mlp")"},
    {"batched-experts", R"("blend": {"shape": [4]})", R"("blend": {"shape": [5]})", R"({"kind": "blend")"},
    {"batched-experts", R"("blend": {"shape": [4]})", R"("blend": {"shape": [4], "dtype": "f32"})", R"({"kind": "blend")"},
    {"batched-experts", R"("blend": {"shape": [4]})", R"("blend": {"shape": ["batch", 3]})", R"({"kind": "blend")"},
    {"batched-experts", R"(256, 20])", R"(256, 21])", R"({"kind": "mse")"},
    {"batched-experts", R"("from": ["experts", "blend"])", R"("from": ["x", "blend"])", R"({"kind": "blend")"},
    {"batched-experts", R"("from": ["experts", "blend"])", R"("from": ["experts"])", R"({"kind": "blend")"},
    {"batched-experts", R"("from": ["experts", "blend"])", R"("from": ["experts", "blend", "x"])", R"({"kind": "blend")"},
    {"batched-experts", R"("from": "experts", "over": "experts")", R"("from": "x", "over": "experts")", R"({"kind": "variance")"},
    {"mann", R"("$hidden", "$experts"])", R"("$hidden", 5])", R"({"kind": "blend")"},
    {"mann", R"("name": "y", "out": 20)", R"("name": "y", "out": 21)", R"({"kind": "mse")"},
    {"switch-lm", R"("dtype": "i64"},)", R"("dtype": "f32"},)", R"({"kind": "embedding")"},
    {"switch-lm", R"("heads": "$heads")", R"("heads": @7)"},
    {"switch-lm", R"("targets": {"shape": ["batch", "sequence"])", R"("targets": {"shape": ["batch"])", R"({"kind": "cross_entropy")"},
    {"switch-lm", R"(["batch", "sequence"], "dtype": "i64"},)", R"([1, 1], "dtype": "i64"},)", R"({"kind": "cross_entropy")"},
    {"switch-lm", R"("jitter": 0.01)", R"("least_capacity": 0, "rounding": "down", "jitter": @2)"},
    {"switch-lm", R"("embedding": 256)", R"("embedding": 250)", R"("$heads")"},
    {"gating-lm", R"({"kind": "embedding", "vocabulary": "$vocabulary", "dim": "$embedding"},)", "", R"({"kind": "position_embedding")"},
    // references to nothing
    {"vit-moe", R"("name": "scores")", R"("name": "score")", R"("scores", "labels")"},
    {"vit-moe", R"(, "name": "scores")", "", R"("scores", "labels")"},
    {"vit-moe", R"("labels": "label")", R"("labels": @"lable")"},
    {"vit-moe", R"("label": {)", R"("labels": {)", R"("label"})"},
    {"vit-moe", R"("feed_forward": {)", R"("feed": {)", R"("feed_forward"})"},
    {"vit-moe", R"("let": {"dim": 32})", R"("let": {"dmi": 32})", R"("$dim"})"},
    {"vit-moe", R"("let": {"dim": 32},)", "", R"("$dim"})"},
    {"vit-moe", R"("check": {"batch": 3})", R"("check": {@"bacth": 3})"},
    {"mann", R"("name": "coefficients"})", R"("name": "weights"})", R"("coefficients"]})"},
    {"mann", R"("name": "experts", "experts")", R"("name": "expert", "experts")", R"("experts", "coefficients")"},
    {"mann", R"("outputs": ["y",)", R"("outputs": ["y", @"gates",)"},
    {"mann", R"("outputs": ["y",)", R"("outputs": ["y", @"x",)"},
    {"mann", R"("out": 20})", R"(@"ouut": 20})"},
    {"mann", R"("from": "x", "widths")", R"("from": @"y", "widths")"},
    {"mann", R"("from": "x", "out": "$hidden")", R"("from": "x", "out": @"$hiden")"},
    {"mann", R"("name": "second", "out": "$hidden")", R"("name": "second")", R"({"kind": "blended_linear", "name": "second")"},
    {"batched-experts", R"("prediction": "y")", R"("prediction": @"spraed")"},
    // names taken twice, and outside of where they count
    {"mann", R"("name": "second")", R"("name": @"first")"},
    {"mann", R"("name": "coefficients")", R"("name": @"gate")"},
    {"mann", R"("name": "second")", R"("name": @"x")"},
    {"mann", R"(["y", "coefficients"])", R"(["y", @"y"])"},
    {"vit-moe", R"("loss": {"kind": "cross_entropy", "scores": "scores")", R"("loss": {"kind": "cross_entropy", "scores": @"layers_")"},
    // cycles
    {"vit-moe", R"("experts": {"kind": "mlp", "count": 4, "hidden": 32, "activation": "gelu"})", R"("experts": {"kind": "feed_forward", "count": 4})",
     R"("moe",)"},
    {"vit-moe", R"("let": {"dim": 32})", R"("let": {"dim": "$a", "a": @"$dim"})"},
    {"vit-moe", R"("let": {"dim": 32})", R"j("let": {"dim": "$(2*a)", "a": "$b", "b": @"$(dim/2)"})j"},
    {"mann", R"({"kind": "blend", "from": ["experts", "coefficients"]})", R"({"kind": "blended_linear", "out": 3})", R"("blended_linear": {)"},
    // sizes
    {"switch-lm", R"("experts": 32})", R"("experts": 0})", R"("$experts")"},
    {"switch-lm", R"("experts": 32})", R"("experts": 65537})", R"("$experts")"},
    {"switch-lm", R"("layers": 6)", R"("layers": 10001)", R"("$layers")"},
    {"switch-lm", R"("layers": 6)", R"("layers": 2.5)", R"("$layers")"},
    {"switch-lm", R"("layers": 6)", R"("layers": "six")", R"("$layers")"},
    {"switch-lm", R"("layers": 6)", R"("layers": [6])", R"("$layers")"},
    {"switch-lm", R"("layers": 6)", R"("layers": @9223372036854775808)"},
    {"switch-lm", R"("layers": 6)", R"("layers": @1e400)"},
    {"switch-lm", R"("layers": 6)", R"("layers": @-9223372036854775809)"},
    {"switch-lm", R"("layers": 6)", R"j("layers": @"$(4611686018427387904*2)")j"},
    {"switch-lm", R"("layers": 6)", R"j("layers": @"$(7/2)")j"},
    {"switch-lm", R"("layers": 6)", R"("layers": @06)"},
    {"switch-lm", R"("layers": 6)", R"("layers": @+6)"},
    {"switch-lm", R"("layers": 6)", R"("layers": @.5)"},
    // where things may stand
    {"vit-moe", R"("experts": {"kind": "mlp", "count": 4, "hidden": 32, "activation": "gelu"})",
     R"("experts": {"kind": @"attention", "count": 4, "heads": 2})"},
    {"vit-moe", R"("gate": {"kind": "gshard")", R"("gate": {"kind": @"feed_forward")"},
    {"vit-moe", R"("model": [)", R"("model": [@[], )"},
    {"vit-moe", R"("model": [)", R"("model": [{"kind": "sequence", "body": @[]}, )"},
    {"vit-moe", R"("dtype": "i64", "for": "loss")", R"("dtype": "i64", "for": @"training")"},
};

std::string zoo(const std::string& name) {
  std::ifstream file(std::string(MOEC_SOURCE_DIR) + "/models/zoo/" + name + ".json", std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class WrongSense : public testing::TestWithParam<Case> {};

TEST_P(WrongSense, IsOneErrorAtItsPlace) {
  const Case& c = GetParam();
  std::string text = zoo(c.file), change = c.change;
  size_t at = text.find(c.find);
  ASSERT_NE(at, std::string::npos);
  size_t place = change.find('@');
  if (place != std::string::npos)
    change.erase(place, 1);
  text.replace(at, std::string(c.find).size(), change);
  place = *c.place ? text.find(c.place) : at + place;
  ASSERT_LT(place, text.size());
  Position expected{1, 1};
  for (size_t i = 0; i < place; ++i)
    expected = text[i] == '\n' ? Position{expected.line + 1, 1} : Position{expected.line, expected.column + 1};
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  Diagnostics diagnostics;
  EXPECT_FALSE(buildModel("model.json", text, {}, &context, diagnostics));
  ASSERT_EQ(diagnostics.entries().size(), 1u) << diagnostics.text();
  EXPECT_EQ(diagnostics.entries()[0].position, expected) << "expected at " << expected.line << ":" << expected.column << "\n" << diagnostics.text();
}

INSTANTIATE_TEST_SUITE_P(Zoo, WrongSense, testing::ValuesIn(kCases), [](const auto& info) {
  std::string name = std::string(info.param.file) + "_" + std::to_string(info.index);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

} // namespace
