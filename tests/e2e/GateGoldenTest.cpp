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

class GateGolden : public testing::TestWithParam<std::tuple<std::string, GoldenDevice>> {};

/// Programs are compiled for inference: a golden of a gate in training gives what it has for training to evaluation.
nlohmann::json gateOf(const std::map<std::string, std::string>& metadata) {
  auto gate = nlohmann::json::parse(metadata.at("gate"));
  for (auto& [key, value] : gate.items())
    if (value.is_object() && metadata.at("mode") == "train")
      value = nlohmann::json(value["train"]);
  return gate;
}

/// The place of each (token, choice) among the rows that its expert takes from its group, -1 where it was dropped.
std::vector<int32_t> placesInGroups(const Tensor& routing, int64_t experts, int64_t rowsOfGroup) {
  auto data = routing.as<int32_t>();
  int64_t rows = (static_cast<int64_t>(data.size()) - experts - 1) / 2;
  std::vector<int32_t> places(rows, -1);
  for (int64_t expert = 0; expert < experts; ++expert) {
    std::map<int64_t, int32_t> taken; // by group
    int64_t group = 0;
    for (int32_t slot = data[expert]; slot < data[expert + 1]; ++slot) {
      int32_t row = data[experts + 1 + slot];
      EXPECT_GE(row / rowsOfGroup, group) << "the groups of expert " << expert << " are not in order";
      group = row / rowsOfGroup;
      places[row] = taken[group]++;
    }
  }
  return places;
}

} // namespace

TEST_P(GateGolden, Agrees) {
  const auto& [file, where] = GetParam();
  if (std::string missing = missingFor(where); !missing.empty())
    GTEST_SKIP() << missing;
  std::map<std::string, std::string> metadata;
  TensorMap all = readSafeTensors(sourceDir() / "tests/goldens" / file, &metadata);
  const Tensor& logits = all.at("inputs/logits");
  int64_t experts = logits.shape().back();
  nlohmann::json shape = {"tokens", experts};
  if (logits.shape().size() == 3)
    shape.insert(shape.begin(), "batch");
  // On a CPU too large for one launch with their gate, whose results are read here.
  int64_t hidden = where.target.starts_with("cpu") ? (1 << 16) / (experts * experts) + 1 : 4;
  nlohmann::json model = {{"name", "gate"},
                          {"inputs", {{"x", {{"shape", shape}}}}},
                          {"model", {{{"kind", "moe"}, {"gate", gateOf(metadata)}, {"experts", {{"kind", "mlp"}, {"count", experts}, {"hidden", hidden}}}}}}};
  TemporaryFolder folder;
  auto path = folder.path() / "gate.json";
  std::ofstream(path) << model.dump();
  CompileOptions options;
  options.targets = {where.target};
  options.kernelCache = sharedKernels();
  options.drawsAsInputs = true;
  Program program = compile(path, options);
  Session session(program, where.device);
  session.init(0);
  TensorMap weights = session.weights();
  Tensor identity(DType::F32, {experts, experts});
  for (int64_t i = 0; i < experts; ++i)
    identity.as<float>()[i * experts + i] = 1;
  weights["moe.gate.weight"] = identity;
  if (weights.contains("moe.gate.bias"))
    weights["moe.gate.bias"] = Tensor(DType::F32, {experts});
  session.load(weights);

  TensorMap inputs = {{"x", logits}};
  for (auto& [name, draws] : part(all, "draws/"))
    inputs["moe.gate." + name] = draws;
  if (metadata.contains("capacity") && metadata["capacity"] == "0") {
    // FastMoE drops every token without a word; here it is an error that names the gate.
    EXPECT_THROW(session.run(inputs), Error);
    return;
  }
  session.run(inputs);
  GateResults gate = runGates(session, inputs).at("moe.gate");
  auto wanted = all.at("outputs/indices").as<int32_t>();
  EXPECT_EQ(chosenExperts(gate.routing, experts), std::vector<int32_t>(wanted.begin(), wanted.end()));
  if (auto places = all.find("outputs/places"); places != all.end()) {
    auto expected = places->second.as<int32_t>();
    int64_t rowsOfGroup = static_cast<int64_t>(wanted.size()) / logits.shape()[0];
    EXPECT_EQ(placesInGroups(gate.routing, experts, rowsOfGroup), std::vector<int32_t>(expected.begin(), expected.end()));
  }
  EXPECT_LE(relativeError(gate.weights, all.at("outputs/weights")), tolerance(DType::F32));
}

INSTANTIATE_TEST_SUITE_P(All, GateGolden, testing::Combine(testing::ValuesIn(goldenFiles("gate")), testing::ValuesIn(devicesNamed(MOEC_GATE_DEVICES))),
                         [](auto& info) { return testName(std::get<0>(info.param), std::get<1>(info.param)); });

} // namespace moec::test
