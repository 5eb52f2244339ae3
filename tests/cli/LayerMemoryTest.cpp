// What a layer keeps beside its weights is within a fifth of what its semantics need (docs/BENCH.md, Memory), for a call and for a step of training. A call of
// a layer in one launch keeps less than half. And it grows with the number of tokens, not with its square. Counted from plans: nothing runs.

#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/MemoryForecast.h"
#include "runtime/Compile.h"
#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

#include <fstream>

using namespace moec;
using namespace moec::cli;
using namespace moec::test;

namespace {

/// A layer's shapes; of the model in `file`, or of a block of it.
struct Layer {
  const char *name, *file, *block;
  Bindings sizes;
  int64_t tokens, width, hidden, experts, choices;
  int64_t products; // of the width by the hidden width: 2 of gated experts
  double mostOfStep = 1.2, mostOfCall = 1.2;

  int64_t rows() const { return tokens * choices; }
  /// The routing, and a weight for each choice.
  int64_t tables() const { return 4 * (2 * rows() + experts + 1) + 4 * rows(); }
  /// x and y, the tables, and of every choice the hidden row and the result that the token's sum reads.
  int64_t ofCall() const { return 4 * (2 * tokens * width + rows() * (hidden + width)) + tables(); }
  /// x, the target and the gradient of y, the tables, the rows in front of the activation (their gradients take their place), and all weights' gradients.
  int64_t ofStep() const { return 4 * (3 * tokens * width + products * rows() * hidden + experts * (products + 1) * hidden * width) + tables(); }
};

void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.name; }

const std::string kPeers = MOEC_SOURCE "/bench/peers/models/", kZoo = MOEC_SOURCE "/models/zoo/";

const Layer kLayers[] = {
    {"s1", "s1", nullptr, {{"tokens", 4096}}, 4096, 512, 2048, 16, 2, 1},
    // Gradients of weights are in no memory.
    {"s2_t1", "s2", nullptr, {{"tokens", 1}}, 1, 2048, 1024, 64, 8, 2, 0.4},
    {"s2_t512", "s2", nullptr, {{"tokens", 512}}, 512, 2048, 1024, 64, 8, 2, 0.5},
    {"s2_t4096", "s2", nullptr, {{"tokens", 4096}}, 4096, 2048, 1024, 64, 8, 2, 0.95},
    {"s3", "s3", nullptr, {{"tokens", 512}}, 512, 1024, 3584, 8, 2, 2, 0.6},
    // One launch each way. Hidden rows are as narrow as x: rows behind the activation or results would each be as large as what must be kept.
    {"s4", "s4", nullptr, {{"tokens", 4160}}, 4160, 32, 32, 4, 2, 1, 1.2, 0.5},
    {"lucidrains", "lucidrains-moe", "mixture", {{"batch", 4}, {"tokens", 1024}}, 4096, 512, 2048, 16, 2, 1},
    {"switch_lm", "switch-lm", "mixture", {{"batch", 64}, {"tokens", 30}}, 1920, 256, 512, 32, 1, 1, 0.8},
    {"vit_moe", "vit-moe", "feed_forward", {{"batch", 64}, {"tokens", 65}}, 4160, 32, 32, 4, 2, 1, 1.2, 0.5},
};

/// The model of the layer alone: results (batch, tokens, width) or (tokens, width), and the mean squared error as a loss.
std::filesystem::path modelOf(const Layer& layer) {
  if (!layer.block)
    return kPeers + layer.file + ".json";
  nlohmann::json zoo = nlohmann::json::parse(std::ifstream(kZoo + layer.file + ".json")), shape = {"batch", "tokens", layer.width};
  nlohmann::json model = {{"name", layer.name},
                          {"inputs", {{"x", {{"shape", shape}}}, {"target", {{"shape", shape}, {"for", "loss"}}}}},
                          {"let", zoo.value("let", nlohmann::json::object())},
                          {"blocks", {{layer.block, zoo["blocks"][layer.block]}}},
                          {"model", {{{"kind", layer.block}, {"name", "y"}}}},
                          {"loss", {{"kind", "mse"}, {"prediction", "y"}, {"target", "target"}}},
                          {"check", layer.sizes}};
  auto file = std::filesystem::path(testing::TempDir()) / fmt::format("moec-layer-{}-{}.json", layer.name, ::getpid());
  std::ofstream(file) << model;
  return file;
}

Program compileLayer(const Layer& layer, bool train) {
  std::filesystem::path model = modelOf(layer);
  Program program = compile(model, {.targets = {"cpu:x86-64-v3"}, .train = train, .kernelCache = sharedKernels()});
  if (layer.block)
    std::filesystem::remove(model);
  return program;
}

/// The arena, and what the call is given and gives.
int64_t bytesBesideWeights(const Program& program, Purpose purpose, const Bindings& sizes) {
  MemoryForecast memory = forecastMemory(program, *program.plan("cpu:x86-64-v3", purpose), sizes, 1);
  return memory.arena + memory.inputs + memory.outputs;
}

class LayerMemory : public testing::TestWithParam<Layer> {};

TEST_P(LayerMemory, IsNearWhatSemanticsNeed) {
  const Layer& layer = GetParam();
  Program program = compileLayer(layer, true);
  double call = static_cast<double>(bytesBesideWeights(program, Purpose::Inference, layer.sizes)) / static_cast<double>(layer.ofCall());
  double step = static_cast<double>(bytesBesideWeights(program, Purpose::Training, layer.sizes)) / static_cast<double>(layer.ofStep());
  std::printf("| %s | %.1f | %.2f | %.1f | %.2f |\n", layer.name, static_cast<double>(layer.ofCall()) / (1 << 20), call,
              static_cast<double>(layer.ofStep()) / (1 << 20), step);
  EXPECT_LE(call, layer.mostOfCall);
  EXPECT_LE(step, layer.mostOfStep);
}

/// Of weights that calls read, one form alone is kept.
TEST_P(LayerMemory, HoldsWeightsOnce) {
  const Layer& layer = GetParam();
  Program program = compileLayer(layer, true);
  const Plan& plan = *program.plan("cpu:x86-64-v3");
  int64_t weights = 0;
  for (const ParameterInfo& parameter : plan.parameters)
    weights += bytesOf(plan.buffers[static_cast<size_t>(parameter.buffer)], {});
  MemoryForecast memory = forecastMemory(program, plan, layer.sizes, 1);
  int64_t filled = 4 * 32 * layer.width; // the gate's panel, up to whole vectors
  EXPECT_LE(memory.weights + memory.packed, weights + filled);
}

INSTANTIATE_TEST_SUITE_P(Layers, LayerMemory, testing::ValuesIn(kLayers), [](const auto& info) { return info.param.name; });

TEST(LayerMemoryGrows, WithTheTokensNotWithTheirSquare) {
  Program program = compile(kZoo + "lucidrains-moe.json", {.targets = {"cpu:x86-64-v3"}, .train = true, .kernelCache = sharedKernels()});
  for (Purpose purpose : {Purpose::Inference, Purpose::Training}) {
    auto bytes = [&](int64_t tokens) { return bytesBesideWeights(program, purpose, {{"batch", 1}, {"tokens", tokens}}); };
    for (int64_t tokens : {1024, 2048, 4096, 8192})
      EXPECT_LE(bytes(2 * tokens), 2 * bytes(tokens)) << name(purpose) << ", " << tokens << " tokens";
  }
}

} // namespace
