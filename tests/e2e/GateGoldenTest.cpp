// Every golden of a gate by itself: its logits through a MoE layer whose gate projects by the identity.

#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Goldens.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
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

/// A MoE layer with the gate, experts of `hidden`; with a record its launches are apart.
Program layerOf(const nlohmann::json& gate, const Shape& logits, const GoldenDevice& where, int64_t hidden, bool record = false) {
  int64_t experts = logits.back();
  nlohmann::json shape = {"tokens", experts};
  if (logits.size() == 3)
    shape.insert(shape.begin(), "batch");
  nlohmann::json model = {{"name", "gate"},
                          {"inputs", {{"x", {{"shape", shape}}}}},
                          {"model", {{{"kind", "moe"}, {"gate", gate}, {"experts", {{"kind", "mlp"}, {"count", experts}, {"hidden", hidden}}}}}}};
  TemporaryFolder folder;
  auto path = folder.path() / "gate.json";
  std::ofstream(path) << model.dump();
  CompileOptions options;
  options.targets = {where.target};
  options.kernelCache = sharedKernels();
  options.drawsAsInputs = true;
  options.record = record;
  return compile(path, options);
}

/// Weights of experts by seed 0; the gate projects by the identity.
void load(Session& session, int64_t experts) {
  session.init(0);
  TensorMap weights = session.weights();
  Tensor identity(DType::F32, {experts, experts});
  for (int64_t i = 0; i < experts; ++i)
    identity.as<float>()[i * experts + i] = 1;
  weights["moe.gate.weight"] = identity;
  if (weights.contains("moe.gate.bias"))
    weights["moe.gate.bias"] = Tensor(DType::F32, {experts});
  session.load(weights);
}

TensorMap inputsOf(const TensorMap& golden) {
  TensorMap inputs = {{"x", golden.at("inputs/logits")}};
  for (auto& [name, draws] : part(golden, "draws/"))
    inputs["moe.gate." + name] = draws;
  return inputs;
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

class GateGoldenInOneLaunch : public GateGolden {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GateGoldenInOneLaunch);

/// Gates without capacities.
std::vector<std::string> goldensInOneLaunch() {
  std::vector<std::string> files = goldenFiles("gate");
  std::erase_if(files, [](const std::string& file) { return file.find("top_k") == std::string::npos; });
  return files;
}

std::vector<GoldenDevice> cpusOf(std::vector<GoldenDevice> devices) {
  std::erase_if(devices, [](const GoldenDevice& where) { return where.device != "cpu"; });
  return devices;
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
  // On a CPU too large for one launch with their gate, whose results are read here.
  Program program = layerOf(gateOf(metadata), logits.shape(), where, where.target.starts_with("cpu") ? (1 << 16) / (experts * experts) + 1 : 4);
  Session session(program, where.device);
  load(session, experts);
  TensorMap inputs = inputsOf(all);
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

/// Layers that are one launch on a CPU have the bits of their parts, whose gate Agrees.
TEST_P(GateGoldenInOneLaunch, HasTheBitsOfItsParts) {
  const auto& [file, where] = GetParam();
  if (std::string missing = missingFor(where); !missing.empty())
    GTEST_SKIP() << missing;
  std::map<std::string, std::string> metadata;
  TensorMap all = readSafeTensors(sourceDir() / "tests/goldens" / file, &metadata);
  Shape logits = all.at("inputs/logits").shape();
  Program layer = layerOf(gateOf(metadata), logits, where, 4);
  ASSERT_EQ(layer.data().plans.front().forward.size(), 1u);
  ASSERT_EQ(layer.data().plans.front().forward.front().kind, "moe_layer");
  Program parts = layerOf(gateOf(metadata), logits, where, 4, /*record=*/true);
  auto y = [&](const Program& program) {
    Session session(program, where.device);
    load(session, logits.back());
    return session.run(inputsOf(all)).at(layer.data().plans.front().outputs.front().name).clone();
  };
  Tensor got = y(layer), wanted = y(parts);
  ASSERT_EQ(got.bytes(), wanted.bytes());
  EXPECT_EQ(std::memcmp(got.data(), wanted.data(), got.bytes()), 0);
}

INSTANTIATE_TEST_SUITE_P(All, GateGolden, testing::Combine(testing::ValuesIn(goldenFiles("gate")), testing::ValuesIn(devicesNamed(MOEC_GATE_DEVICES))),
                         [](auto& info) { return testName(std::get<0>(info.param), std::get<1>(info.param)); });

INSTANTIATE_TEST_SUITE_P(All, GateGoldenInOneLaunch,
                         testing::Combine(testing::ValuesIn(goldensInOneLaunch()), testing::ValuesIn(cpusOf(devicesNamed(MOEC_GATE_DEVICES)))),
                         [](auto& info) { return testName(std::get<0>(info.param), std::get<1>(info.param)); });

} // namespace moec::test
