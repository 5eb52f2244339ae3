// Every golden of a gate by itself: its logits through a MoE layer whose gate projects by the identity.

#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Goldens.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace moec::test {

namespace {

class GateGolden : public testing::TestWithParam<std::string> {};

/// Programs are compiled for inference: a golden of a gate in training gives its training capacity to evaluation.
nlohmann::json gateOf(const std::map<std::string, std::string>& metadata) {
  auto gate = nlohmann::json::parse(metadata.at("gate"));
  if (metadata.at("mode") == "train" && gate.contains("capacity"))
    gate["capacity"] = gate["capacity"]["train"];
  return gate;
}

} // namespace

TEST_P(GateGolden, Agrees) {
  std::map<std::string, std::string> metadata;
  TensorMap all = readSafeTensors(sourceDir() / "tests/goldens" / GetParam(), &metadata);
  const Tensor& logits = all.at("inputs/logits");
  int64_t experts = logits.shape()[1];
  nlohmann::json model = {{"name", "gate"},
                          {"inputs", {{"x", {{"shape", {"tokens", experts}}}}}},
                          {"model", {{{"kind", "moe"}, {"gate", gateOf(metadata)}, {"experts", {{"kind", "mlp"}, {"count", experts}, {"hidden", 4}}}}}}};
  TemporaryFolder folder;
  auto path = folder.path() / "gate.json";
  std::ofstream(path) << model.dump();
  CompileOptions options;
  options.targets = {"cpu"};
  options.drawsAsInputs = true;
  Program program = compile(path, options);
  Session session(program, "cpu");
  session.init(0);
  TensorMap weights = session.weights();
  Tensor identity(DType::F32, {experts, experts});
  for (int64_t i = 0; i < experts; ++i)
    identity.as<float>()[i * experts + i] = 1;
  weights["moe.gate.weight"] = identity;
  weights["moe.gate.bias"] = Tensor(DType::F32, {experts});
  session.load(weights);

  TensorMap inputs = {{"x", logits}};
  if (auto draws = all.find("draws/random_routing"); draws != all.end())
    inputs["moe.gate.random_routing"] = draws->second;
  if (metadata.contains("capacity") && metadata["capacity"] == "0") {
    // FastMoE drops every token without a word; here it is an error that names the gate.
    EXPECT_THROW(session.run(inputs), Error);
    return;
  }
  session.run(inputs);
  GateResults gate = runGates(session, inputs).at("moe.gate");
  auto wanted = all.at("outputs/indices").as<int32_t>();
  EXPECT_EQ(chosenExperts(gate.routing, experts), std::vector<int32_t>(wanted.begin(), wanted.end()));
  EXPECT_LE(relativeError(gate.weights, all.at("outputs/weights")), tolerance(DType::F32));
}

INSTANTIATE_TEST_SUITE_P(All, GateGolden, testing::ValuesIn(goldenFiles("gate")), [](auto& info) { return testName(info.param); });

} // namespace moec::test
