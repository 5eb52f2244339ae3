// Every class of error in a model file, with its place and its whole message. Places are marked in the text: the error
// stands at the character behind `@`, and the text is built without it; a place that a message names is marked by `~`, and
// `~` in the message stands for it, in order.

#include "models/BuildModel.h"
#include "models/Kind.h"

#include <gtest/gtest.h>

using namespace moec;
using namespace moec::models;

namespace {

struct Case {
  const char* name;
  std::string text;                  // without the outer object: members behind "name"
  std::vector<std::string> messages; // one for each `@`, in order of places
};

std::ostream& operator<<(std::ostream& stream, const Case& c) { return stream << c.name; }

const std::string kX = R"("inputs": {"x": {"shape": ["batch", 8]}}, )";
const std::string kImage = R"("inputs": {"x": {"shape": ["batch", 3, 32, 32]}}, )";
const std::string kTokens = R"("inputs": {"x": {"shape": ["batch", 5, 8]}}, )";

class ModelErrors : public testing::TestWithParam<Case> {};

TEST_P(ModelErrors, SayWhatIsWrongAndWhere) {
  std::string marked = "{\"name\": \"m\",\n" + GetParam().text + "}", text, expected;
  int line = 1, column = 1;
  size_t message = 0;
  std::vector<std::string> places;
  for (char c : marked) {
    if (c == '@') {
      ASSERT_LT(message, GetParam().messages.size());
      expected += "model.json:" + std::to_string(line) + ":" + std::to_string(column) + ": error: " + GetParam().messages[message++] + "\n";
      continue;
    }
    if (c == '~') {
      places.push_back(std::to_string(line) + ":" + std::to_string(column));
      continue;
    }
    text += c;
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n';
  }
  ASSERT_EQ(message, GetParam().messages.size());
  for (const std::string& place : places) {
    size_t mark = expected.find('~');
    ASSERT_NE(mark, std::string::npos);
    expected.replace(mark, 1, place);
  }
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  EXPECT_FALSE(buildModel("model.json", text, {}, &context, diagnostics));
  EXPECT_EQ(diagnostics.text(), expected);
}

const std::string kBlocks =
    "activation, attention, blend, class_token, concat, dense_experts, dropout, dynamic_soft_moe, embedding, gated_mlp, layer_norm, linear, mixed_linear, mlp, "
    "moe, patch_embedding, pool, position_embedding, relative_bias, repeat, reshape, residual, rms_norm, scale, "
    "sequence, shift, slice, soft_moe, softmax, transpose, variance";

std::string moe(const std::string& gate, const std::string& experts) {
  return R"("model": {"kind": "moe", "gate": )" + gate + R"(, "experts": )" + experts + "}";
}
const std::string kExperts = R"({"kind": "mlp", "count": 4, "hidden": 8})";

/// What messages say that a kind knows.
std::string keysOf(Family family, const std::string& kind) {
  std::string keys;
  for (const Parameter& parameter : findKind(family, kind)->parameters)
    keys += parameter.name + ", ";
  return keys + (family == Family::Block ? "kind, name, from, note" : "kind, note");
}
const std::string kMlpKeys = keysOf(Family::Block, "mlp"), kMoeKeys = keysOf(Family::Block, "moe");
const std::string kMlpExpertKeys = keysOf(Family::Expert, "mlp"), kGShardKeys = keysOf(Family::Gate, "gshard");

const Case kCases[] = {
    // words
    {"UnknownGate",
     kX + moe(R"({"kind": @"topk2"})", kExperts),
     {R"(unknown gate "topk2"; did you mean "top_2"? known: cosine, dc, deepspeed, dense, expert_choice, faster, gshard, hash, hierarchical, noisy_top_k, random_expert, sigmoid, swipe, switch, top_2, top_k, top_n, zero)"}},
    {"UnknownPolicy",
     kX + moe(R"({"kind": "top_2", "policy": @"some"})", kExperts),
     {R"(unknown policy "some"; did you mean "none"? known: all, none, threshold, random)"}},
    {"PolicyOfOneMode",
     kX + moe(R"({"kind": "top_2", "policy": @{"eval": "all"}})", kExperts),
     {R"("policy" of "top_2" is an object; expected one of all, none, threshold, random, or {"train": .., "eval": ..})"}},
    {"AThresholdForEachOtherChoice",
     kX + moe(R"({"kind": "top_n", "top_k": 3, "threshold": {"train": [0.1, 0.2], "eval": @[0.2]}})", kExperts),
     {R"(a list of "threshold" has a number for each choice behind the first: 2 with "top_k" 3, and this one has 1)"}},
    {"AThresholdThatIsNoNumber",
     kX + moe(R"({"kind": "top_n", "top_k": 3, "threshold": [0.1, @"x"]})", kExperts),
     {R"("threshold" of "top_n" has the string "x" in it; expected a number from 0 to 1, a list of such, or {"train": .., "eval": ..})"}},
    {"OuterDividesExperts", kX + moe(R"({"kind": "hierarchical", "outer": @3})", kExperts), {R"("outer" must divide the experts, and 3 is no divisor of 4)"}},
    {"UnknownBlock", kX + R"("model": [{"kind": @"lnear", "out": 3}])", {R"(unknown block "lnear"; did you mean "linear"? known: )" + kBlocks}},
    {"UnknownBlockFarFromAll", kX + R"("model": [{"kind": @"xyzzyxyzzyxyzzy"}])", {R"(unknown block "xyzzyxyzzyxyzzy"; known: )" + kBlocks}},
    {"UnknownExpert",
     kX + moe(R"({"kind": "top_k"})", R"({"kind": @"mpl", "count": 4})"),
     {R"(unknown expert "mpl"; did you mean "mlp"? known: gated_mlp, linear, mlp)"}},
    {"BlockAsExpert", kX + moe(R"({"kind": "top_k"})", R"({"kind": @"attention", "count": 4})"), {R"("attention" is a kind of block; expected an expert)"}},
    {"GroupsOfExpertsOfDifferentWidths",
     kX + moe(R"({"kind": "top_k"})", R"([{"kind": "mlp", "count": 2, "hidden": 8}, @{"kind": "linear", "count": 1, "out": 5}])"),
     {"these experts make 5 of each token, those before them 8; the widths must agree"}},
    {"GroupWithoutACount",
     kX + moe(R"({"kind": "top_k"})", R"([{"kind": "mlp", "count": 2, "hidden": 8}, @{"kind": "linear"}])"),
     {R"("linear" needs "count": an integer from 1 to 65536)"}},
    {"SharedExpertOfAnotherWidth",
     kX + R"("model": {"kind": "moe", "gate": {"kind": "top_k"}, "experts": )" + kExperts + R"(, "shared": @{"kind": "linear", "out": 5}})",
     {"the shared expert makes [batch, 5], the others [batch, 8]; the shapes must agree"}},
    {"SharedExpertThatAttends",
     kX + R"("model": {"kind": "moe", "gate": {"kind": "top_k"}, "experts": )" + kExperts + R"(, "shared": {"kind": @"attention", "heads": 1}})",
     {R"("attention" cannot stand inside an expert; these can: activation, dropout, gated_mlp, layer_norm, linear, mlp, repeat, residual, rms_norm, scale, sequence)"}},
    {"GateOfNoSharedExpert",
     kX + R"("model": {"kind": "moe", "gate": {"kind": "top_k"}, "experts": )" + kExperts + R"(, "shared_gate": @true})",
     {R"("shared_gate" goes with "shared", the expert that it weights)"}},
    {"WrongFamily", kX + R"("model": [{"kind": @"gshard"}])", {R"("gshard" is a kind of gate; expected a block)"}},
    {"UnknownLoss",
     kX + R"("model": [{"kind": "linear", "out": 2}], "loss": {"kind": @"crossentropy"})",
     {R"(unknown loss "crossentropy"; did you mean "cross_entropy"? known: cross_entropy, mse)"}},
    {"LossOfClassesThatOnlyACallKnows",
     R"("inputs": {"x": {"shape": ["batch", "classes"]}, "label": {"shape": ["batch"], "dtype": "i64", "for": "loss"}},
     "model": [{"kind": "scale", "name": "y"}], "loss": @{"kind": "cross_entropy", "scores": "y", "labels": "label"})",
     {R"("cross_entropy" takes a number of classes that the model knows, and gets f32[batch, classes])"}},
    {"NoKind", kX + R"("model": [@{"out": 3}])", {R"(this object has no "kind"; expected a block)"}},
    {"KindIsNoWord", kX + R"("model": [{"kind": @4}])", {R"("kind" is a word, not 4)"}},
    {"BlockIsNoObject", kX + R"("model": [@4])", {R"(expected a block (an object with a "kind"), not 4)"}},
    {"EmptyList", kX + R"("model": @[])", {"a list of blocks is not empty"}},
    // keys and values
    {"UnknownKey",
     kX + R"("model": [{"kind": "linear", "out": 3, @"biass": true}])",
     {R"("linear" has no parameter "biass"; did you mean "bias"? known: out, bias, init, weight, kind, name, from, note)"}},
    {"MissingParameter", kX + R"("model": [@{"kind": "linear"}])", {R"("linear" needs "out": an integer from 1 to 16777216)"}},
    {"WrongType",
     kX + R"("model": [{"kind": "linear", "out": @"four"}])",
     {R"("out" of "linear" is the string "four"; expected an integer from 1 to 16777216)"}},
    {"DoubleForInteger", kX + R"("model": [{"kind": "linear", "out": @3.5}])", {R"("out" of "linear" is 3.5; expected an integer from 1 to 16777216)"}},
    {"OutOfRange", kX + R"("model": [{"kind": "linear", "out": @0}])", {R"("out" of "linear" is 0; expected an integer from 1 to 16777216)"}},
    {"NumberOutOfRange", kX + R"("model": [{"kind": "dropout", "p": @1.5}])", {R"("p" of "dropout" is 1.5; expected a number from 0 to 0.999)"}},
    {"UnknownWord",
     kX + R"("model": [{"kind": "activation", "function": @"rellu"}])",
     {R"(unknown function "rellu"; did you mean "relu"? known: relu, gelu, gelu_tanh, tanh, sigmoid, silu, quick_gelu, leaky_relu, softplus, elu, identity)"}},
    {"GShardTakesTwo", kX + moe(R"({"kind": "gshard", "top_k": @3})", kExperts), {R"("top_k" of "gshard" is 3; expected an integer from 2 to 2)"}},
    {"Capacity",
     kX + moe(R"({"kind": "gshard", "capacity": @{"train": 1.2}})", kExperts),
     {R"("capacity" of "gshard" is an object; expected a number from 0 to 1000000, or {"train": .., "eval": ..})"}},
    {"Inits",
     kX + R"("model": [{"kind": "linear", "out": 2, "init": {"weight": @"orthogonl"}}])",
     {R"("init" of "linear" has the string "orthogonl" in it; expected an object with "weight" or "bias", each a number, one of default, zeros, ones, uniform_fan_in, uniform_fan_out, uniform, normal, truncated_normal, kaiming_uniform, kaiming_normal, xavier_uniform, xavier_normal, orthogonal, or an object with one of the words from uniform on and a number from 0, as {"normal": 0.02})"}},
    {"SeveralErrors",
     kX + "\"model\": [\n {\"kind\": @\"liner\"},\n {\"kind\": \"linear\", \"out\": @-1},\n {\"kind\": \"mlp\", "
          "@\"hiden\": 3}]",
     {R"(unknown block "liner"; did you mean "linear"? known: )" + kBlocks, R"("out" of "linear" is -1; expected an integer from 1 to 16777216)",
      R"("mlp" has no parameter "hiden"; did you mean "hidden"? known: hidden, widths, out, activation, output_activation, bias, dropout, layer_norm, output_layer_norm, residual, init, kind, name, from, note)"}},
    {"InsideAWrongBlock",
     kX + R"("model": [{"kind": "repeat", "times": @0, "body": {"kind": @"liner"}}])",
     {R"("times" of "repeat" is 0; expected an integer from 1 to 10000)", R"(unknown block "liner"; did you mean "linear"? known: )" + kBlocks}},
    // words of other packages
    {"ExpertsOfAnotherPackage",
     kX + moe(R"({"kind": "top_k"})", R"({"kind": "mlp", @"num_experts": 4, "hidden": 8})"),
     {R"("mlp" has no parameter "num_experts"; did you mean "count"? known: )" + kMlpExpertKeys}},
    {"ExpertsOfTheLayer",
     kX + R"("model": {"kind": "moe", @"num_experts": 4, "gate": {"kind": "top_k"}, "experts": {"kind": "mlp", "hidden": 8}})",
     {R"("moe" has no parameter "num_experts"; did you mean "count" inside "experts"? known: )" + kMoeKeys}},
    {"ExpertsOfTheGate",
     kX + moe(R"({"kind": "gshard", @"num_expert": 4})", kExperts),
     {R"("gshard" has no parameter "num_expert"; the number of experts is the "count" of a moe's "experts"; known: )" + kGShardKeys}},
    {"ChoicesOfTheLayer",
     kX + R"("model": {"kind": "moe", @"topk": 2, "gate": {"kind": "top_k"}, "experts": )" + kExperts + "}",
     {R"("moe" has no parameter "topk"; did you mean "top_k" inside "gate"? known: )" + kMoeKeys}},
    {"WidthsOfAnotherPackage",
     kX + R"("model": {"kind": "mlp", @"d_model": 8, @"hidden_size": 16})",
     {R"("mlp" has no parameter "d_model"; the width is that of the input; known: )" + kMlpKeys,
      R"("mlp" has no parameter "hidden_size"; did you mean "hidden"? known: )" + kMlpKeys}},
    {"KindOfAnotherPackage",
     kX + R"("model": {"kind": @"FeedForward", "hidden": 16})",
     {R"(unknown block "FeedForward"; did you mean "mlp"? known: )" + kBlocks}},
    {"NoBiasesInAttention",
     kTokens + R"("model": {"kind": "attention", "heads": 2, "bias": @false})",
     {R"("bias" of "attention" is false; expected the name of an input or of a block; whether queries, keys and values have biases says "qkv_bias", and "out_bias" whether the projection has one)"}},
    // the file's top
    {"UnknownTopKey",
     kX + R"("model": {"kind": "linear", "out": 1}, @"blcks": {})",
     {R"("model" has no parameter "blcks"; did you mean "blocks"? known: name, dtype, inputs, let, blocks, model, outputs, loss, optimizer, moefy, check, note)"}},
    {"Dtype", kX + R"("dtype": @"f16", "model": {"kind": "linear", "out": 1})", {R"(unknown dtype "f16"; did you mean "bf16"? known: f32, f64, bf16)"}},
    {"InputWithoutShape",
     R"("inputs": {"x": @{}}, "model": {"kind": "linear", "out": 1})",
     {R"("input" needs "shape": a list of one to eight sizes: integers from 1, or names such as "batch")"}},
    {"ShapeOfZero",
     R"("inputs": {"x": {"shape": ["batch", @0]}}, "model": {"kind": "linear", "out": 1})",
     {R"("shape" of "input" has 0 in it; expected a list of one to eight sizes: integers from 1, or names such as "batch")"}},
    {"ReservedSymbol",
     R"("inputs": {"x": {"shape": [@"min", 8]}}, "model": {"kind": "linear", "out": 1})",
     {R"("shape" of "input" has the string "min" in it; expected a list of one to eight sizes: integers from 1, or names such as "batch")"}},
    {"HugeInput",
     R"("inputs": {"x": {"shape": @[2000000000, 2000000000]}}, "model": {"kind": "linear", "out": 1})",
     {R"(the input "x" is larger than 2^40 elements)"}},
    {"OnlyLossInputs",
     R"("inputs": @{"x": {"shape": [8], "for": "loss"}}, "model": {"kind": "linear", "out": 1})",
     {"a model needs an input that is not for the loss only"}},
    {"PhotoChannels",
     R"("inputs": {"x": {"shape": [1, 3, 4, 4], "photo": {"mean": @[0.5]}}}, "model": {"kind": "linear", "out": 1})",
     {R"("mean" has 1 numbers for 3 channels)"}},
    {"UnknownOutput", kX + R"("model": {"kind": "linear", "out": 1, "name": "y"}, "outputs": [@"z"])", {R"(unknown value "z"; known: y)"}},
    {"OutputIsInput", kX + R"("model": {"kind": "linear", "out": 1}, "outputs": [@"x"])", {R"(the output "x" is an input)"}},
    {"OutputTwice", kX + R"("model": {"kind": "linear", "out": 1, "name": "y"}, "outputs": ["y", @"y"])", {R"(the output "y" is named twice)"}},
    {"ComputesNothing", kX + R"("model": @[{"kind": "dropout"}])", {"the model computes nothing"}},
    {"UnknownCheck",
     kX + R"("model": {"kind": "linear", "out": 1}, "let": {"dim": 3}, "check": {@"dmi": 3})",
     {R"("check" overrides values of "let" and symbolic sizes, not "dmi"; did you mean "dim"? known: dim, batch)"}},
    {"CheckValue",
     kX + R"("model": {"kind": "linear", "out": 1}, "check": {"batch": @0})",
     {R"("batch" under "check" is an integer from 1 to 1000000, not 0)"}},
    {"MoefyNeedsExperts", kX + R"("model": {"kind": "mlp", "hidden": 1}, "moefy": @{"top_k": 2})", {R"("moefy" needs "experts": an integer from 1 to 65536)"}},
    {"MoefyOfNothing",
     kX + R"("model": {"kind": "linear", "out": 1}, "moefy": @{"experts": 4, "top_k": 2})",
     {R"("moefy" puts experts in the place of mlp blocks, and this model has none outside of experts)"}},
    {"LossValue",
     kX + R"("model": {"kind": "linear", "out": 1, "name": "y"}, "loss": {"kind": "mse", "prediction": "y", "target": @"t"})",
     {R"(unknown value "t"; known: x, y)"}},
    {"LossShape",
     kX + R"("model": {"kind": "linear", "out": 1, "name": "y"}, "loss": @{"kind": "mse", "prediction": "y", "target": "x"})",
     {R"("mse" of f32[batch, 1] takes a target of the same shape and dtype, [batch, 1], not f32[batch, 8])"}},
    // expressions
    {"UnknownName", kX + R"("let": {"dim": 4}, "model": {"kind": "linear", "out": @"$dmi"})", {R"(unknown name "dmi"; did you mean "dim"? known: dim)"}},
    {"NotDivisible",
     kX + R"j("let": {"dim": ~4}, "model": {"kind": "linear", "out": @"$(dim/3)"})j",
     {R"j(in "$(dim/3)": 4 is not divisible by 3; "dim" is defined at ~)j"}},
    {"LetCycle", kX + R"("let": {"a": "$b", "b": @"$a"}, "model": {"kind": "linear", "out": 1})", {R"("a" is defined by itself: a -> b -> a)"}},
    {"ComputedOutOfRange",
     kX + R"j("let": {"dim": ~4}, "model": {"kind": "linear", "out": @"$(dim-4)"})j",
     {R"("out" of "linear" is 0; expected an integer from 1 to 16777216; "dim" is defined at ~)"}},
    {"NameOfANameOutOfRange",
     kX + R"("let": {"width": ~"$dim", "dim": ~0}, "model": {"kind": "linear", "out": @"$width"})",
     {R"("out" of "linear" is 0; expected an integer from 1 to 16777216; "width" is defined at ~, "dim" is defined at ~)"}},
    {"ParameterOfAnOwnBlockOutOfRange",
     kX +
         R"("blocks": {"own": {"parameters": {"width": 3}, "body": {"kind": "linear", "out": @"$width"}}}, "model": [{"kind": "own"}, {"kind": "own", "width": ~0}])",
     {R"("out" of "linear" is 0; expected an integer from 1 to 16777216; "width" is defined at ~)"}},
    {"OneWrongNameInSeveralPlaces",
     kX + R"("let": {"num_experts": ~"8"}, "model": [{"kind": "linear", "out": @"$num_experts"}, {"kind": "linear", "out": "$num_experts"}, )"
          R"({"kind": "linear", "out": "$num_experts"}])",
     {R"("out" of "linear" is the string "8"; expected an integer from 1 to 16777216; "num_experts" is defined at ~; also at 2:151, 2:194)"}},
    {"ChoicesByName",
     kX + R"("let": {"k": ~5}, )" + moe(R"({"kind": "top_k", "top_k": @"$k"})", kExperts),
     {R"("top_k" is 5 of 4 experts; "k" is defined at ~)"}},
    // own blocks
    {"OwnBlockUnknownParameter",
     kX + R"("blocks": {"own": {"parameters": {"width": 3}, "body": {"kind": "linear", "out": "$width"}}}, "model": {"kind": "own", @"wdth": 4})",
     {R"("own" has no parameter "wdth"; did you mean "width"? known: width, kind, name, from, note)"}},
    {"OwnBlockMissingParameter",
     kX + R"("blocks": {"own": {"parameters": {"width": null}, "body": {"kind": "linear", "out": "$width"}}}, "model": @{"kind": "own"})",
     {R"("own" needs "width", a parameter without a default)"}},
    {"OwnBlockWithoutBody",
     kX + R"("blocks": {"own": @{}}, "model": {"kind": "linear", "out": 1})",
     {R"(the block "own" needs a "kind" with its parameters, or "parameters" and a "body")"}},
    {"OwnBlockOfABuiltinName",
     kX + R"("blocks": {@"mlp": {"kind": "linear", "out": 1}}, "model": {"kind": "linear", "out": 1})",
     {R"("mlp" is a kind of block already; choose another name)"}},
    {"EndlessBody",
     kX + R"("blocks": {@"a": [{"kind": "b"}], "b": [{"kind": "a"}]}, "model": {"kind": "a"})",
     {R"(the block "a" is defined by itself: a -> b -> a)"}},
    {"EndlessAlias",
     kX + R"("blocks": {@"a": {"kind": "b"}, "b": {"kind": "a"}}, "model": {"kind": "a"})",
     {R"(the block "a" is defined by itself: a -> b -> a)"}},
    {"TooManyBlocks",
     kX +
         R"("blocks": {"a": [{"kind": "dropout"}, {"kind": "dropout"}]}, "model": {"kind": "repeat", "times": 10000, "body": {"kind": "repeat", "times": 10000, "body": @{"kind": "linear", "out": 8}}})",
     {"the model has more than 20000 blocks"}},
    {"AttentionInsideAnExpert",
     kX + R"("blocks": {"own": [{"kind": @"attention", "heads": 1}]}, )" + moe(R"({"kind": "top_k"})", R"({"kind": "own", "count": 2})"),
     {R"("attention" cannot stand inside an expert; these can: activation, dropout, gated_mlp, layer_norm, linear, mlp, repeat, residual, rms_norm, scale, sequence)"}},
    {"ExpertsWithoutCount",
     kX + R"("blocks": {"own": [{"kind": "linear", "out": 8}]}, )" + moe(R"({"kind": "top_k"})", R"(@{"kind": "own"})"),
     {R"(experts need "count": an integer from 1 to 65536)"}},
    // names and from
    {"NameTwice",
     kX + R"("model": [{"kind": "linear", "out": 1, "name": "a"}, {"kind": "linear", "out": 1, "name": @"a"}])",
     {R"(the name "a" is taken by the block at 2:90; a name is used once in a scope of names)"}},
    {"NameIsNoName",
     kX + R"("model": [{"kind": "linear", "out": 1, "name": @"a.b"}])",
     {R"("name" is a name (letters, digits and underscores), not the string "a.b")"}},
    {"UnknownFrom", kX + R"("model": [{"kind": "linear", "out": 1, "from": @"image"}])", {R"(unknown value "image"; known: x)"}},
    {"FromAKind",
     kX + R"("model": [{"kind": "softmax"}, {"kind": "linear", "out": 1, "from": @"softmax"}])",
     {R"(unknown value "softmax"; known: x; a block is known here by its "name", not by its kind)"}},
    {"FromInsideAResidual",
     kX + R"("model": [{"kind": "residual", "body": {"kind": "linear", "out": 8, "name": "in"}}, {"kind": "linear", "out": 1, "from": @"in"}])",
     {R"(unknown value "in"; known: x)"}},
    {"FromTooMany", kX + R"("model": [@{"kind": "linear", "out": 1, "from": ["x", "x"]}])", {R"("linear" takes 1 value; "from" names 2)"}},
    {"BlendTakesTwo", kX + R"("model": [@{"kind": "blend"}])", {R"("blend" takes 2 values; "from" names 0)"}},
    // shapes
    {"PatchDoesNotDivide",
     kImage + R"("model": [{"kind": "patch_embedding", "patch": @5, "dim": 8}])",
     {"the picture's height 32 is not divisible by the patch's 5"}},
    {"PatchWidthDoesNotDivide",
     kImage + R"("model": [{"kind": "patch_embedding", "patch": @[4, 5], "dim": 8}])",
     {"the picture's width 32 is not divisible by the patch's 5"}},
    {"HeadsDoNotDivide", kTokens + R"("model": [{"kind": "attention", "heads": @3}])", {R"(the width 8 is not divisible by 3 heads; give "head_dim")"}},
    {"KeyHeadsDoNotDivide",
     kTokens + R"("model": [{"kind": "attention", "heads": 4, "kv_heads": @3}])",
     {R"("kv_heads" is 3, which does not divide the 4 heads)"}},
    {"RotaryOfOddHeads",
     kTokens + R"("model": [{"kind": "attention", "heads": 2, "head_dim": 3, "rotary": @"halves"}])",
     {R"("rotary" turns pairs of columns, and the heads are 3 wide)"}},
    {"CausalAttentionToAnotherValue",
     R"("inputs": {"x": {"shape": ["batch", 5, 8]}, "y": {"shape": ["batch", 7, 8]}}, "model": [{"kind": "attention", )"
     R"("from": ["x", "y"], "heads": 2, "causal": @true}])",
     {R"("causal" is of tokens that attend to each other, and this attention reads another value)"}},
    {"UnknownBias", kTokens + R"("model": [{"kind": "attention", "heads": 2, "bias": @"distances"}])", {R"(unknown value "distances"; known: x)"}},
    {"BiasOfAnotherShape",
     kTokens + R"("model": [{"kind": "relative_bias", "name": "near", "heads": 3}, {"kind": "attention", "from": "x", )"
               R"("heads": 2, "bias": @"near"}])",
     {R"(a bias of these scores is f32[2, 5, 5], or f32[1, 5, 5] for all heads; "near" is f32[3, 5, 5])"}},
    {"OddBuckets", kTokens + R"("model": [{"kind": "relative_bias", "heads": 2, "buckets": @7}])", {"7 buckets in two directions: an even number is needed"}},
    {"BucketsOfOneDistance",
     kTokens + R"("model": [{"kind": "relative_bias", "heads": 2, "buckets": 32, "max_distance": @8}])",
     {R"(of 32 buckets in two directions 8 are of one distance each: at least 1 must be, and "max_distance" must be larger; it is 8)"}},
    {"SharedParameterOfAnotherShape",
     kX + R"("model": [{"kind": "linear", "out": 4}, {"kind": "linear", "out": 5, "weight": @"linear.weight"}])",
     {R"("linear.weight" is f32[4, 8]; "linear_2" needs f32[5, 4] for its "weight")"}},
    {"UnknownSharedParameter",
     kX + R"("model": [{"kind": "linear", "out": 8}, {"kind": "linear", "out": 8, "weight": @"linaer.weight"}])",
     {R"(unknown parameter "linaer.weight"; did you mean "linear.weight"? known: linear.weight)"}},
    {"SharedParameterBehind",
     kX + R"("model": [{"kind": "linear", "out": 8, "weight": @"linear_2.weight"}, {"kind": "linear", "out": 8}])",
     {R"(unknown parameter "linear_2.weight"; no block before this one makes a f32[8, 8])"}},
    {"InitOfASharedParameter",
     kX + R"("model": [{"kind": "linear", "out": 8}, {"kind": "linear", "out": 8, "weight": "linear.weight", "init": @{"weight": 0}}])",
     {R"("init" of a weight that another block makes: leave it to that block)"}},
    {"ShiftedIn",
     R"("inputs": {"x": {"shape": ["batch", 8], "dtype": "i64"}}, "model": [{"kind": "shift", "start": 5}, )"
     R"(@{"kind": "embedding", "vocabulary": 5, "dim": 3}])",
     {"among its ids is the constant 5; ids lie below 5"}},
    {"ShiftOfAVector", R"("inputs": {"x": {"shape": [8]}}, "model": @{"kind": "shift"})", {R"("shift" takes (batch, tokens, ..), and gets [8])"}},
    {"ConcatOfOtherRows",
     R"("inputs": {"x": {"shape": ["batch", 8]}, "y": {"shape": [4, 8]}}, "model": @{"kind": "concat", "from": ["x", "y"]})",
     {R"("concat" along axis 1 joins values of one dtype that differ in that axis only, and gets f32[batch, 8] and f32[4, 8])"}},
    {"ConcatAxis", kX + R"("model": {"kind": "concat", "from": ["x", "x"], "axis": @2})", {R"("axis" is 2; the values [batch, 8] have axes 0 to 1)"}},
    {"ConcatTakesTwo", kX + R"("model": @{"kind": "concat"})", {R"("concat" takes 2 to 64 values; "from" names 0)"}},
    {"SliceTooLong",
     kX + R"("model": {"kind": "slice", "axis": 1, "start": 3, "size": @6})",
     {"axis 1 of [batch, 8] has 8 elements; the slice takes 6 of them from 3"}},
    {"SliceAxis", kX + R"("model": {"kind": "slice", "axis": @2, "size": 1})", {R"("axis" is 2; the value [batch, 8] has axes 0 to 1)"}},
    {"ReshapeLosesElements",
     kX + R"("model": {"kind": "reshape", "shape": @["batch", 3, 2]})",
     {"[batch, 8] has 8*batch elements and [batch, 3, 2] has 6*batch; a reshape keeps them all"}},
    {"AttentionNeedsTokens",
     kX + R"("model": [@{"kind": "attention", "heads": 2}])",
     {R"("attention" takes (batch, tokens, width) of f32, and gets f32[batch, 8])"}},
    {"TooFewPositions", kTokens + R"("model": [{"kind": "position_embedding", "length": @4}])", {"there are 5 tokens and only 4 positions"}},
    {"ResidualShape",
     kX + R"("model": [@{"kind": "residual", "body": {"kind": "linear", "out": 3}}])",
     {"the body of this residual makes [batch, 3] of [batch, 8]; the shapes must agree"}},
    {"SymbolicWidth",
     R"("inputs": {"x": {"shape": [4, "n"]}}, "model": [@{"kind": "linear", "out": 3}])",
     {R"("linear" needs a last dimension that is a number, and gets [4, n])"}},
    {"SymbolicWidthAlone",
     R"("inputs": {"x": {"shape": ["batch"]}}, "model": [@{"kind": "linear", "out": 3}])",
     {R"("linear" needs a last dimension that is a number, and gets [batch]: one dimension, and it is symbolic; the width stands behind it, as in ["batch", 16])"}},
    {"LinearOnIds",
     R"("inputs": {"x": {"shape": [4, 8], "dtype": "i64"}}, "model": [@{"kind": "linear", "out": 3}])",
     {R"("linear" takes (.., width) of f32, and gets i64[4, 8])"}},
    {"EmbeddingOfFloats",
     kX + R"("model": [@{"kind": "embedding", "vocabulary": 5, "dim": 3}])",
     {R"("embedding" takes integers (an input with "dtype": "i64"), and gets f32[batch, 8])"}},
    {"HiddenOrWidths", kX + R"("model": [@{"kind": "mlp"}])", {R"("mlp" needs either "hidden" or "widths")"}},
    {"HiddenAndWidths", kX + R"("model": [@{"kind": "mlp", "hidden": 3, "widths": [3]}])", {R"("mlp" needs either "hidden" or "widths", not both)"}},
    {"MoreChoicesThanExperts", kX + moe(R"({"kind": "top_k", "top_k": @5})", kExperts), {R"("top_k" is 5 of 4 experts)"}},
    {"WorkersThatShareNoExperts", kX + moe(R"({"kind": "swipe", "workers": @3})", kExperts), {"3 workers cannot share 4 experts evenly"}},
    {"WorkersBeyondWhatKernelsCount",
     kX + moe(R"({"kind": "swipe", "workers": @4097})", kExperts),
     {R"("workers" of "swipe" is 4097; expected an integer from 1 to 4096)"}},
    {"WorkersOfUnequalRuns",
     R"("inputs": {"x": {"shape": [5, 8]}}, )" + moe(R"({"kind": "gshard", "workers": @2})", kExperts),
     {"5 tokens are no 2 equal runs"}},
    {"GroupsOfUnequalSizes", kX + moe(R"({"kind": "sigmoid", "groups": @3})", kExperts), {"4 experts are no 3 equal groups"}},
    {"MoreBestGroupsThanGroups", kX + moe(R"({"kind": "sigmoid", "groups": 2, "best_groups": @3})", kExperts), {R"("best_groups" is 3 of 2 groups)"}},
    {"GroupsOfOneHaveNoTwoBest",
     kX + moe(R"({"kind": "sigmoid", "groups": 4, "best_groups": 2, "group_score": @"top_2"})", kExperts),
     {R"(groups of one expert have no two best: "group_score" is max)"}},
    {"MoreChoicesThanTheBestGroupsHave",
     kX + moe(R"({"kind": "sigmoid", "groups": 2, "best_groups": 1, "top_k": @3})", kExperts),
     {R"("top_k" is 3 of the 2 experts of 1 groups)"}},
    {"IdsOfFloats",
     kX + moe(R"({"kind": "hash", "ids": @"x", "entries": 5})", kExperts),
     {R"("ids" are integers, one for each of batch tokens, not f32 [batch, 8])"}},
    {"NoCapacityToChoose",
     R"("inputs": {"x": {"shape": [4, 8]}}, )" +
         moe(R"({"kind": "expert_choice", "capacity": @0.5, "least_capacity": 0})", R"({"kind": "mlp", "count": 8, "hidden": 8})"),
     {R"(a capacity rate of 0.5 leaves no place in 8 experts for 4 tokens: all would be dropped; raise it, or "least_capacity")"}},
    {"NoCapacityToChooseHoweverManyTokens",
     kX + moe(R"({"kind": "expert_choice", "capacity": @0, "least_capacity": 0})", kExperts),
     {R"(a capacity rate of 0 leaves no place in 4 experts for batch tokens: all would be dropped; raise it, or "least_capacity")"}},
    {"DcWithoutPlaces", kX + moe(R"({"kind": "dc", "capacity": @0})", kExperts), {"a capacity rate of 0 leaves no place in any expert: all would be dropped"}},
    {"NodesOfOneExpert",
     kX + moe(R"({"kind": "faster", "workers": 4, "workers_per_node": @1})", kExperts),
     {"with 1 of 4 workers to a node one has a single expert of 4, and a token that stays on its node chooses two; give nodes more workers, or workers more "
      "experts"}},
    {"ALastNodeOfOneExpert",
     kX + moe(R"({"kind": "faster", "workers": 3, "workers_per_node": @2})", R"({"kind": "mlp", "count": 3, "hidden": 8})"),
     {"with 2 of 3 workers to a node one has a single expert of 3, and a token that stays on its node chooses two; give nodes more workers, or workers more "
      "experts"}},
    {"NoCapacity",
     R"("inputs": {"x": {"shape": [4, 8]}}, )" + moe(R"({"kind": "gshard", "capacity": @0.5})", R"({"kind": "mlp", "count": 8, "hidden": 8})"),
     {"a capacity rate of 0.5 leaves no place in 8 experts for 4 tokens with 2 choices: all would be dropped"}},
    {"CapacityOfZero",
     kX + moe(R"({"kind": "top_k", "capacity": @0})", kExperts),
     {"a capacity rate of 0 leaves no place in 4 experts for batch tokens with 2 choices: all would be dropped"}},
    {"NoSwitchCapacity",
     R"("inputs": {"x": {"shape": [4, 8]}}, )" +
         moe(R"({"kind": "switch", "capacity": @0.5, "least_capacity": 0})", R"({"kind": "mlp", "count": 8, "hidden": 8})"),
     {"a capacity rate of 0.5 leaves no place in 8 experts for 4 tokens: all would be dropped; raise it, or "
      "\"least_capacity\""}},
    {"SwitchWithTwoCapacities",
     kX + moe(R"({"kind": "switch", "capacity": 2, "expert_capacity": @64})", kExperts),
     {R"("expert_capacity" says how many tokens an expert takes, and so does "capacity", as a rate; give one of them)"}},
    {"SwitchHasOneChoice", kX + moe(R"({"kind": "switch", "top_k": @2})", kExperts), {R"("top_k" of "switch" is 2; expected an integer from 1 to 1)"}},
    {"MoreChoicesOfTopNThanExperts", kX + moe(R"({"kind": "top_n", "top_k": @5})", kExperts), {R"("top_k" is 5 of 4 experts)"}},
    {"TopNOfOne", kX + moe(R"({"kind": "top_n", "top_k": @1})", kExperts), {R"("top_k" of "top_n" is 1; expected an integer from 2 to 65536)"}},
    {"MoreChoicesOfZeroThanExperts", kX + moe(R"({"kind": "zero", "top_k": @5})", kExperts), {R"("top_k" is 5 of 4 experts)"}},
    {"NoisyChoicesThanExperts", kX + moe(R"({"kind": "noisy_top_k", "top_k": @5})", kExperts), {R"("top_k" is 5 of 4 experts)"}},
    {"CosineWithoutPlaces",
     R"("inputs": {"x": {"shape": [4, 8]}}, )" + moe(R"({"kind": "cosine", "projection": 3, "capacity": @0.5})", kExperts),
     {"a capacity rate of 0.5 leaves no place in 4 experts for 4 tokens: all would be dropped; raise it"}},
    {"DeepSpeedWithoutPlaces",
     kX + moe(R"({"kind": "deepspeed", "capacity": @0, "least_capacity": 0})", kExperts),
     {"a capacity rate of 0 leaves no place in 4 experts for batch tokens: all would be dropped; raise it, or "
      "\"least_capacity\""}},
    {"WorkersAndRows",
     R"("inputs": {"x": {"shape": ["batch", 4, 8]}}, )" + moe(R"({"kind": "gshard", "per": "row", "workers": @2})", kExperts),
     {"with per: row each row of the batch has a capacity of its own, and workers have none"}},
    {"SwitchWorkersAndRows",
     R"("inputs": {"x": {"shape": ["batch", 4, 8]}}, )" + moe(R"({"kind": "switch", "per": "row", "workers": @2})", kExperts),
     {"with per: row each row of the batch has a capacity of its own, and workers have none"}},
    {"OrthogonalExpertsSideBySide",
     R"("inputs": {"x": {"shape": ["batch", 8]}, "c": {"shape": ["batch", 4]}}, "model": {"kind": "mixed_linear", "from": ["x", "c"], "out": 3, )"
     R"("init": @{"weight": {"orthogonal": 2}}})",
     {R"("mixed_linear" keeps its experts side by side in one matrix, of which "orthogonal" would make one with orthogonal rows, not one of each expert; )"
      "take another word"}},
    {"DenseExpertsWithoutALayer",
     kX + R"("blocks": {"nothing": {"body": {"kind": "activation", "function": "relu"}}}, "model": {"kind": "moe", )"
          R"("gate": {"kind": "dense"}, "experts": @{"kind": "nothing", "count": 4}})",
     {"experts without a layer of their own have nothing to tell them apart"}},
    {"SlotsOfAnotherWidth",
     R"("inputs": {"x": {"shape": ["batch", 5, 8]}}, "model": {"kind": "soft_moe", "experts": @{"kind": "mlp", "count": 4, )"
     R"("hidden": 8, "out": 6}})",
     {"experts of \"soft_moe\" keep the shape: these make [4, batch, 6] of [4, batch, 8]"}},
    {"MaskOfOtherTokens",
     R"("inputs": {"x": {"shape": ["batch", 5, 8]}, "mask": {"shape": ["batch", 4]}}, "model": @{"kind": "soft_moe", )"
     R"("from": ["x", "mask"], "experts": {"kind": "mlp", "count": 4, "hidden": 8}})",
     {R"(the mask of "soft_moe" on [batch, 5, 8] is [batch, 4], not [batch, 5])"}},
    {"ThreeValuesForSlots",
     R"("inputs": {"x": {"shape": ["batch", 5, 8]}}, "model": @{"kind": "soft_moe", "from": ["x", "x", "x"], )"
     R"("experts": {"kind": "mlp", "count": 4, "hidden": 8}})",
     {R"("soft_moe" takes 1 to 2 values; "from" names 3)"}},
    {"AxesTwice", kX + R"("model": {"kind": "transpose", "axes": @[0, 0]})", {R"("axes" name each axis of [batch, 8] once, from 0 to 1)"}},
    {"InitOfTwoWords",
     kX + R"("model": {"kind": "linear", "out": 3, "init": {"weight": @{"orthogonal": 1, "normal": 1}}})",
     {R"("init" of "linear" has an object in it; expected an object with "weight" or "bias", each a number, one of default, )"
      R"(zeros, ones, uniform_fan_in, uniform_fan_out, uniform, normal, truncated_normal, kaiming_uniform, kaiming_normal, xavier_uniform, xavier_normal, )"
      R"(orthogonal, or an object with one of the words from uniform on and a number from 0, as {"normal": 0.02})"}},
    {"MaskOfFloats",
     kX + R"("model": {"kind": "moe", "gate": {"kind": "top_k"}, "experts": {"kind": "mlp", "count": 4, "hidden": 8}, "mask": @"x"})",
     {R"("x" is f32[batch, 8]; a mask has an integer for each of the batch tokens (an input with "dtype": "i64"))"}},
    {"MaskOfNothing",
     kX + R"("model": {"kind": "moe", "gate": {"kind": "top_k"}, "experts": {"kind": "mlp", "count": 4, "hidden": 8}, "mask": @"y"})",
     {R"(unknown value "y"; known: x)"}},
    {"SoftMoeOfAVector",
     R"("inputs": {"x": {"shape": [8]}}, "model": @{"kind": "soft_moe", "experts": {"kind": "mlp", "count": 4, "hidden": 8}})",
     {R"("soft_moe" takes (batch, tokens, width), one token each (batch, width), or pictures (batch, width, rows, columns), and gets [8])"}},
    {"VarianceOfRows", kX + R"("model": [@{"kind": "variance", "over": "experts"}])", {R"("variance" over experts takes the value of a dense_experts block)"}},
    {"BlendWeights",
     R"("inputs": {"x": {"shape": ["batch", 8]}, "w": {"shape": [3]}}, "model": [{"kind": "dense_experts", "name": "e", "experts": )" + kExperts +
         R"(}, @{"kind": "blend", "from": ["e", "w"]}])",
     {"the weights of a blend of [4, batch, 8] are [4] or [batch, 4], not [3]"}},
    {"HugeParameter",
     kX + R"("let": {"n": 16777216}, "model": [{"kind": "linear", "out": "$n"}, @{"kind": "linear", "out": "$n"}])",
     {R"(the parameter "linear_2.weight" of shape [16777216, 16777216] has more than 2^40 elements)"}},
};

INSTANTIATE_TEST_SUITE_P(All, ModelErrors, testing::ValuesIn(kCases), [](const auto& info) { return std::string(info.param.name); });

std::string errors(const std::string& text, const ImportOptions& options) {
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  EXPECT_FALSE(buildModel("vit.json", text, options, &context, diagnostics));
  return diagnostics.text();
}
const std::string kMlp = R"({"name": "m", "inputs": {"x": {"shape": ["batch", 8]}}, "let": {"dim": 3}, "model": {"kind": "mlp", "hidden": 4}})";

TEST(OptionErrors, MoefyNamesWhatIsMissing) {
  auto moefy = [](const std::string& flag) { return errors(kMlp, {.let = {}, .moefy = flag}); };
  std::string gates;
  for (const Kind* kind : gateKinds())
    if (kind->find("top_k"))
      gates += (gates.empty() ? "" : ", ") + kind->name;
  EXPECT_EQ(moefy("top_k=2"), "vit.json: error: \"moefy\" needs \"experts\": an integer from 1 to 65536\n");
  EXPECT_EQ(moefy("experts=4"), "vit.json: error: \"moefy\" needs \"top_k\": an integer from 1 to 65536\n");
  EXPECT_EQ(moefy("experts=4,top_k=2,gate=gshrd"), "vit.json: error: unknown gate \"gshrd\"; did you mean \"gshard\"? "
                                                   "known: " +
                                                       gates + "\n");
  EXPECT_EQ(moefy("experts=4,topk=2"), "vit.json: error: \"moefy\" has no parameter \"topk\"; did you mean \"top_k\"? "
                                       "known: experts, top_k, gate, hidden, note\n");
  EXPECT_EQ(moefy("experts"), "vit.json: error: moefy: expected NAME=VALUE, not \"experts\"\n");
  EXPECT_EQ(moefy("experts=4,experts=5"), "vit.json: error: moefy: \"experts\" is given twice\n");
}

TEST(OptionErrors, LetNamesWhatIsUnknown) {
  EXPECT_EQ(errors(kMlp, {.let = {{"dmi", 4}}, .moefy = {}}), "vit.json: error: the model's \"let\" has no \"dmi\"; did you mean \"dim\"? known: dim\n");
}

// Files made to exhaust the reader end with an error, not with the process.
TEST(HostileFiles, EndWithAnError) {
  // Each block stands for two of the next: 2^40 blocks.
  std::string blocks;
  for (int i = 0; i < 40; ++i) {
    std::string next = i == 39 ? "dropout" : "b" + std::to_string(i + 1);
    blocks += (i ? ", " : "") + ("\"b" + std::to_string(i)) + "\": [{\"kind\": \"" + next + "\"}, {\"kind\": \"" + next + "\"}]";
  }
  std::string text = R"({"name": "m", "inputs": {"x": {"shape": [1, 8]}}, "blocks": {)" + blocks + R"(}, "model": {"kind": "b0"}})";
  EXPECT_NE(errors(text, {}).find("the model has more than 20000 blocks"), std::string::npos);
  // A chain of own blocks deeper than any stack.
  blocks.clear();
  for (int i = 0; i < 50000; ++i)
    blocks += (i ? ", " : "") + ("\"b" + std::to_string(i)) + "\": [{\"kind\": \"b" + std::to_string(i + 1) + "\"}]";
  text = R"({"name": "m", "inputs": {"x": {"shape": [1, 8]}}, "blocks": {)" + blocks + R"(, "b50000": [{"kind": "dropout"}]}, "model": {"kind": "b0"}})";
  EXPECT_NE(errors(text, {}).find("blocks are more than 256 levels deep"), std::string::npos);
}

} // namespace
