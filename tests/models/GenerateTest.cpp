// The model as it continues texts: @generate, its states, and what is refused with its place in the file.

#include "models/BuildModel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace moec;
using namespace moec::models;
using testing::HasSubstr;
using testing::StartsWith;

namespace {

/// A file of these blocks, each on a line of its own from line 3 on.
std::string fileOf(const std::string& blocks, const std::string& shape = R"(["batch", "sequence"])") {
  return R"({"name": "m", "inputs": {"tokens": {"shape": )" + shape + R"(, "dtype": "i64"}, "targets": {"shape": )" + shape +
         R"(, "dtype": "i64", "for": "loss"}},
"model": [{"kind": "embedding", "vocabulary": 11, "dim": 8},
)" + blocks +
         R"(
{"kind": "linear", "out": 11, "name": "scores"}],
"loss": {"kind": "cross_entropy", "scores": "scores", "labels": "targets"}})";
}

class Generate : public testing::Test {
protected:
  std::string build(const std::string& text, Generation sizes = {2, 16}) {
    Diagnostics diagnostics;
    module_ = buildModel("m.json", text, {.generate = sizes}, &context_, diagnostics);
    if (!module_)
      return diagnostics.text();
    std::string result;
    llvm::raw_string_ostream stream(result);
    module_->print(stream);
    return result;
  }

  mlir::MLIRContext context_;
  mlir::OwningOpRef<mlir::ModuleOp> module_;
};

} // namespace

TEST_F(Generate, KeepsKeysAndValuesOfEachAttention) {
  std::string text = build(fileOf(R"({"kind": "position_embedding", "length": 20},
{"kind": "repeat", "name": "layers", "times": 2, "body": [{"kind": "attention", "heads": 4, "kv_heads": 2, "rotary": "halves", "causal": true}]},)"));
  ASSERT_TRUE(module_) << text;
  EXPECT_THAT(text, HasSubstr("func.func @generate("));
  EXPECT_THAT(text, HasSubstr(R"(moe.input = "generate.position")"));
  EXPECT_THAT(text, HasSubstr("moe.below = 16 : i64")); // positions
  EXPECT_THAT(text, Not(HasSubstr("targets")));
  EXPECT_THAT(text, HasSubstr(R"(moe.state @layers.1.attention.keys : tensor<2x16x4xf32>)"));
  EXPECT_THAT(text, HasSubstr(R"(moe.state @layers.1.attention.values : tensor<2x16x4xf32>)"));
  for (const char* op : {"moe.slice_at", "moe.rotary", "moe.cached_attention", "moe.append", "moe.write @layers.0.attention.keys"})
    EXPECT_THAT(text, HasSubstr(op));
  EXPECT_THAT(text, Not(HasSubstr("moe.attention")));
  // Of the scores those of the last token.
  EXPECT_THAT(text, HasSubstr(R"(axis 1 from "sequence-1" size "1")"));
  auto function = module_->lookupSymbol<mlir::func::FuncOp>("generate");
  EXPECT_EQ(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(function.getResultTypes()[0])), (ir::Sizes{2, 11}));
}

TEST_F(Generate, DropsNobody) {
  std::string moe = R"({"kind": "moe", "gate": {"kind": "switch"}, "experts": {"kind": "mlp", "count": 4, "hidden": 8}},)";
  EXPECT_THAT(build(fileOf(moe)), Not(HasSubstr("capacity")));
}

TEST_F(Generate, RefusesWhatCannotContinueATextWhereItStands) {
  EXPECT_THAT(build(fileOf(R"({"kind": "attention", "heads": 2},)")),
              StartsWith("m.json:3:1: error: a model that continues texts attends to the tokens before, and this attention sees those behind too"));
  EXPECT_THAT(build(fileOf(R"({"kind": "attention", "heads": 2, "name": "a", "causal": true}, {"kind": "attention", "heads": 2, "from": ["a", "a"]},)")),
              StartsWith("m.json:3:65: error: a model that continues texts attends to its own tokens, and this attention reads another value"));
  EXPECT_THAT(build(fileOf(R"({"kind": "shift"},)")), StartsWith("m.json:3:1: error: a model with \"shift\" cannot continue texts"));
  EXPECT_THAT(build(fileOf(R"({"kind": "repeat", "times": 2, "body": [{"kind": "pool", "mode": "last"}]},)")),
              StartsWith("m.json:3:41: error: a model with \"pool\" cannot continue texts"));
  EXPECT_THAT(build(fileOf(R"({"kind": "slice", "axis": 1, "start": 1},)")),
              StartsWith("m.json:3:27: error: a model that continues texts cannot leave tokens out"));
  EXPECT_THAT(build(fileOf(R"({"kind": "linear", "out": 8, "name": "a"}, {"kind": "concat", "from": ["a", "a"], "axis": 1},)")),
              StartsWith("m.json:3:44: error: a model that continues texts cannot join tokens"));
  EXPECT_THAT(build(fileOf(R"({"kind": "position_embedding", "length": 15},)")),
              StartsWith("m.json:3:42: error: a context of 16 tokens is asked for, and there are only 15 positions"));
  EXPECT_THAT(build(fileOf(R"({"kind": "moe", "gate": {"kind": "gshard"}, "experts": {"kind": "mlp", "count": 4, "hidden": 8}},)")),
              StartsWith("m.json:3:25: error: \"moe.gate.random_routing\" draws for each token"));
  EXPECT_FALSE(module_);
  // By chance for the whole call: the same in every call.
  build(fileOf(R"({"kind": "moe", "gate": {"kind": "random_expert"}, "experts": {"kind": "mlp", "count": 4, "hidden": 8}},)"));
  EXPECT_TRUE(module_);
}

TEST_F(Generate, RefusesOtherInputsAndOutputs) {
  EXPECT_THAT(
      build(fileOf("", R"(["batch", 7])")),
      StartsWith("m.json:1:26: error: a model continues texts from tokens, i64[batch, sequence] where the sequence is any; \"tokens\" is i64[batch, 7]"));
  EXPECT_THAT(build(fileOf("", R"([3, "sequence"])")), StartsWith("m.json:1:26: error: \"tokens\" has 3 sequences, and 2 are to be continued"));
  EXPECT_THAT(
      build(R"({"name": "m", "inputs": {"x": {"shape": ["batch", "sequence", 8]}}, "model": [{"kind": "linear", "out": 3}]})"),
      StartsWith("m.json:1:26: error: a model continues texts from tokens, i64[batch, sequence] where the sequence is any; \"x\" is f32[batch, sequence, 8]"));
  EXPECT_THAT(
      build(
          R"({"name": "m", "inputs": {"x": {"shape": ["batch", "n"], "dtype": "i64"}, "y": {"shape": ["batch", "n"], "dtype": "i64"}}, "model": [{"kind": "embedding", "vocabulary": 3, "dim": 8}]})"),
      StartsWith("m.json:1:74: error: a model continues texts from its tokens alone, and \"y\" is a second input"));
}
