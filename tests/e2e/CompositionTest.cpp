// Models that put blocks and words together as no file of the zoo does: every launch and the outputs against the reference.

#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <fstream>

namespace moec::test {

namespace {

struct Composition {
  const char* name;
  const char* text; // of the model
};
void PrintTo(const Composition& one, std::ostream* stream) { *stream << one.name; }

const std::string kMoe = R"({"kind": "moe", "name": "m", "gate": {"kind": "top_k"}, "experts": {"kind": "mlp", "count": 4, "hidden": 32}})";

const Composition kCompositions[] = {
    {"mixtureOverTimeIsTheOutput", R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [MOE]})"},
    {"mixtureOverTimeWithItsResidual", R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "residual", "body": [MOE]}]})"},
    {"mixtureOverTimeIsOneOutputOfTwo",
     R"({"name": "m", "inputs": {"x": {"shape": [3, 5, 16]}}, "outputs": ["m", "y"], "model": [MOE, {"kind": "linear", "out": 3, "name": "y"}]})"},
    {"normsAndResidualsInChosenExperts",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "gshard", "capacity": {"train": 1.2, "eval": 0.7}},
      "experts": {"kind": "mlp", "count": 4, "widths": [32, 32, 16], "layer_norm": true, "output_layer_norm": true, "residual": true, "activation": "relu"}}]})"},
    {"ownBlocksWithNormsAndResidualsAsExperts",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "blocks": {"pre_norm": {"body": [{"kind": "residual", "body": [{"kind": "layer_norm"},
      {"kind": "linear", "out": 24}, {"kind": "activation", "function": "gelu"}, {"kind": "linear", "out": 16}]}, {"kind": "layer_norm"}]}},
      "model": [{"kind": "residual", "body": [{"kind": "moe", "gate": {"kind": "top_k", "top_k": 3}, "experts": {"kind": "pre_norm", "count": 5}}]}]})"},
    {"expertsOfANormAlone", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 16]}}, "blocks": {"norm": {"body": [{"kind": "layer_norm"}]}},
      "model": [{"kind": "moe", "gate": {"kind": "top_k"}, "experts": {"kind": "norm", "count": 5}}]})"},
    {"ownBlocksWithRmsNormsAsExperts",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "blocks": {"normed": {"body": [{"kind": "residual", "body": [{"kind": "rms_norm"},
      {"kind": "linear", "out": 24}, {"kind": "rms_norm"}, {"kind": "activation", "function": "silu"}, {"kind": "linear", "out": 16}]}, {"kind": "scale", "by": 0.5, "width_power": 0.5}]}},
      "model": [{"kind": "moe", "gate": {"kind": "top_k", "top_k": 3}, "experts": {"kind": "normed", "count": 5}}]})"},
    {"elementsMove",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}, "z": {"shape": ["batch", "time", 3]}}, "outputs": ["joined", "y"], "model": [
      {"kind": "concat", "from": ["x", "z", "x"], "name": "joined"}, {"kind": "shift", "start": 2}, {"kind": "slice", "axis": 2, "start": 13, "size": 12},
      {"kind": "linear", "out": 8}, {"kind": "reshape", "shape": ["batch", 2, "time", 4]}, {"kind": "slice", "axis": 2, "start": 1, "name": "y"}]})"},
    {"attentionToAnotherValue",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}, "memory": {"shape": ["batch", 9, 12]}, "near": {"shape": [1, "time", 9]}}, "model": [
      {"kind": "attention", "from": ["x", "memory"], "heads": 6, "kv_heads": 2, "head_dim": 4, "rotary": "interleaved", "bias": "near", "scale": 0.8},
      {"kind": "rms_norm", "eps": 0.1}, {"kind": "attention", "heads": 4, "kv_heads": 1, "rotary": "halves", "rotary_base": 100, "causal": true}]})"},
    {"biasOfDistancesAndASharedWeight", R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [
      {"kind": "linear", "out": 24, "name": "up"}, {"kind": "relative_bias", "name": "distances", "heads": 3, "buckets": 6, "max_distance": 4},
      {"kind": "attention", "from": "up", "heads": 3, "bias": "distances"}, {"kind": "linear", "out": 24}, {"kind": "linear", "out": 24, "weight": "linear.weight", "bias": false}]})"},
    {"gatedExpertsWithASharedOne",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "residual", "body": [{"kind": "moe", "gate": {"kind": "top_k", "top_k": 2},
      "experts": {"kind": "gated_mlp", "count": 4, "hidden": 24, "bias": true, "multiplier": true}, "shared": {"kind": "gated_mlp", "hidden": 20, "activation": "gelu"}, "shared_gate": true}]}]})"},
    {"gatedExpertsOfADenseGate", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "dense"},
      "experts": {"kind": "gated_mlp", "count": 3, "hidden": 24, "bias": true, "multiplier": true}}]})"},
    {"expertsOfSeveralKinds",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "blocks": {"own": {"body": [{"kind": "layer_norm"}, {"kind": "linear", "out": 16}]}},
      "model": [{"kind": "moe", "gate": {"kind": "gshard", "capacity": {"train": 1.2, "eval": 0.8}}, "experts": [{"kind": "mlp", "count": 2, "hidden": 24}, {"kind": "linear", "count": 1},
      {"kind": "mlp", "count": 3, "hidden": 40, "layer_norm": true}, {"kind": "own", "count": 1}]}]})"},
    {"expertsOfSeveralKindsUnderADenseGate",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "dense"}, "experts": [{"kind": "mlp", "count": 2, "hidden": 24},
      {"kind": "linear", "count": 1}, {"kind": "gated_mlp", "count": 3, "hidden": 40}], "shared": [{"kind": "layer_norm"}, {"kind": "linear", "out": 16}]}]})"},
    {"activationsOfTwoBranchesInExpertsOfSeveralKinds",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "top_k"}, "experts": [
      {"kind": "mlp", "count": 2, "hidden": 24, "activation": "quick_gelu", "output_activation": "quick_gelu"},
      {"kind": "gated_mlp", "count": 2, "hidden": 20, "activation": "quick_gelu", "limit": 0.7, "up_offset": 1}]}]})"},
    {"whatTwoProductsReadInChosenExperts",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "blocks": {"own": {"body": [{"kind": "linear", "out": 24, "name": "h"},
      {"kind": "activation", "function": "gelu", "name": "g"}, {"kind": "linear", "from": "h", "out": 16, "name": "a"},
      {"kind": "residual", "from": "a", "body": [{"kind": "linear", "from": "g", "out": 16}]}]}},
      "model": [{"kind": "moe", "gate": {"kind": "gshard", "capacity": {"train": 1.2, "eval": 0.5}}, "experts": {"kind": "own", "count": 5}}]})"},
    {"gatedBehindALinearOneInOwnExperts",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", 16]}}, "blocks": {"own": {"body": [{"kind": "linear", "out": 24}, {"kind": "gated_mlp", "hidden": 20}]}},
      "model": [{"kind": "moe", "gate": {"kind": "top_k", "top_k": 2}, "experts": {"kind": "own", "count": 4}}]})"},
    {"bf16ExpertsOfSeveralKinds",
     R"({"name": "m", "dtype": "bf16", "inputs": {"x": {"shape": ["batch", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "top_k", "top_k": 2},
      "experts": [{"kind": "mlp", "count": 2, "hidden": 33, "layer_norm": true, "residual": true}, {"kind": "gated_mlp", "count": 3, "hidden": 17}], "shared": {"kind": "mlp", "hidden": 9}}]})"},
    {"oneExpertOfTop2",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "top_2", "policy": "all"},
      "experts": {"kind": "mlp", "count": 1, "hidden": 12}}]})"},
    {"oneExpertOfSwitch",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "switch"}, "experts": {"kind": "mlp", "count": 1, "hidden": 12}}]})"},
    {"oneExpertOfTopK",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "top_k", "top_k": 1}, "experts": {"kind": "mlp", "count": 1, "hidden": 12}}]})"},
    {"oneGroupOfExperts",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "hierarchical", "outer": 1},
      "experts": {"kind": "mlp", "count": 3, "hidden": 12}}]})"},
    {"groupsOfOneExpert",
     R"({"name": "m", "dtype": "bf16", "inputs": {"x": {"shape": ["batch", "time", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "hierarchical", "outer": 3},
      "experts": {"kind": "mlp", "count": 3, "hidden": 12}}]})"},
    {"weightsOfAllAreNormalized",
     R"({"name": "m", "inputs": {"x": {"shape": ["batch", 16]}}, "model": [{"kind": "moe", "gate": {"kind": "top_k", "top_k": 3, "softmax": "all", "normalize": true, "capacity": 1.5},
      "experts": {"kind": "mlp", "count": 4, "hidden": 32}}]})"},
};

class Compositions : public testing::TestWithParam<Composition> {};

} // namespace

TEST_P(Compositions, AgreeWithTheReference) {
  std::string text = GetParam().text;
  if (size_t at = text.find("MOE"); at != std::string::npos)
    text.replace(at, 3, kMoe);
  TemporaryFolder folder;
  auto model = folder.path() / "m.json";
  std::ofstream(model) << text;
  for (auto [target, device] : {std::pair("cpu", "cpu"), std::pair("cuda:sm_90a", "ptx-emulator:sm_90a")}) {
    std::optional<Program> program;
    try {
      program = compile(model, {.targets = {target}, .kernelCache = sharedKernels()});
    } catch (const Error& error) {
      if (std::string(error.what()).starts_with("CUDA targets need NVRTC"))
        GTEST_SKIP() << "[SKIP] " << error.what();
      throw;
    }
    const Plan& plan = program->data().plans.front();
    TensorMap inputs;
    for (const InputInfo& input : plan.inputs) {
      Shape shape;
      for (const Size& size : input.shape)
        shape.push_back(size.evaluate({{"batch", 3}, {"time", 5}}));
      inputs[input.name] = initialWeights({.parameters = {{.name = "x", .dtype = input.dtype, .shape = shape, .init = {Init::Kind::Normal, 0, 1}}}}, 2).at("x");
    }
    CheckReport report = check(*program, openDevice(device), openDevice("reference"), initialWeights(plan, 1), inputs);
    EXPECT_TRUE(report.passed()) << device << "\n" << report.describeFailures();
    Session session(*program, device);
    session.init(1);
    for (const OutputInfo& output : plan.outputs) {
      Tensor tensor = session.run(inputs).at(output.name);
      ASSERT_EQ(tensor.shape().size(), output.shape.size());
      for (size_t i = 0; i < output.shape.size(); ++i)
        EXPECT_EQ(tensor.shape()[i], output.shape[i].evaluate({{"batch", 3}, {"time", 5}}));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Compositions, testing::ValuesIn(kCompositions), [](const auto& info) { return std::string(info.param.name); });

} // namespace moec::test
