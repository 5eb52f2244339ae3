// Every golden of a whole model: the zoo file with the golden's changes, its weights, inputs and draws, against what the original package gave.

#include "runtime/core/Philox.h"
#include "runtime/core/Tolerance.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Goldens.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace moec::test {

namespace {

/// Weights that the golden describes by a rule (tests/goldens/README.md).
TensorMap ruledWeights(const Plan& plan, uint64_t seed) {
  TensorMap weights;
  for (const ParameterInfo& parameter : plan.parameters) {
    Tensor tensor(DType::F64, parameter.shape);
    auto values = tensor.as<double>();
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = 0.125 * (2.0 * uniformFloat(draw(seed, streamOf(parameter.name), 0, i)) - 1.0);
    weights[parameter.name] = tensor.cast(parameter.dtype);
  }
  return weights;
}

/// Experts that were chosen in layers whose gates leave no routing in memory, as a program with records of them has it.
TensorMap recordedChoices(const std::filesystem::path& model, CompileOptions options, const GoldenDevice& where, const TensorMap& weights,
                          const TensorMap& inputs) {
  options.record = true;
  Session session(compile(model, options), where.device);
  session.load(weights);
  TensorMap results = session.run(inputs), choices;
  for (auto& [name, tensor] : results)
    if (name.ends_with(".choices")) {
      Tensor kept = tensor.clone();
      if (auto mask = results.find(name.substr(0, name.size() - std::string_view("choices").size()) + "kept"); mask != results.end()) {
        std::vector<double> isKept = mask->second.toDoubles();
        for (size_t i = 0; i < isKept.size(); ++i)
          kept.as<int32_t>()[i] = isKept[i] == 0 ? -1 : kept.as<int32_t>()[i];
      }
      choices.emplace(name, kept);
    }
  return choices;
}

class Golden : public testing::TestWithParam<std::tuple<std::string, GoldenDevice>> {};

} // namespace

TEST_P(Golden, Agrees) {
  const auto& [file, where] = GetParam();
  if (std::string missing = missingFor(where); !missing.empty())
    GTEST_SKIP() << missing;
  auto path = sourceDir() / "tests/goldens" / file;
  std::map<std::string, std::string> metadata;
  TensorMap all = readSafeTensors(path, &metadata);
  TensorMap draws = part(all, "draws/");

  CompileOptions options;
  options.targets = {where.target};
  options.kernelCache = sharedKernels();
  options.drawsAsInputs = !draws.empty();
  auto model = patchedModel(metadata["model"] + ".json", metadata.contains("overrides") ? metadata["overrides"] : "{}");
  Program program = compile(model, options);
  Session session(program, where.device);
  TensorMap weights = part(all, "weights/");
  if (metadata.contains("weights_seed"))
    weights = ruledWeights(session.plan(), std::stoull(metadata["weights_seed"]));
  session.load(weights);
  TensorMap inputs = part(all, "inputs/");
  std::erase_if(inputs, [&](const auto& entry) {
    return std::ranges::none_of(session.plan().inputs, [&](const InputInfo& input) { return input.name == entry.first && !input.forLoss; });
  });
  inputs.insert(draws.begin(), draws.end());

  TensorMap outputs = session.run(inputs);
  if (where.device == "cpu")
    for (int threads : {1, 2}) {
      Session other(program, where.device, DeviceOptions{.threads = threads});
      other.load(weights);
      EXPECT_TRUE(bytesOf(other.run(inputs)) == bytesOf(outputs)) << threads << " threads give other bits";
    }
  std::map<std::string, GateResults> routings = runGates(session, inputs);
  TensorMap choices; // of layers in one launch
  if (std::ranges::any_of(session.plan().forward, [](const LaunchInfo& launch) { return launch.kind == "moe_layer"; }))
    choices = recordedChoices(model, options, where, weights, inputs);
  for (const OutputInfo& output : session.plan().outputs) {
    auto expected = all.find("outputs/" + output.name);
    ASSERT_NE(expected, all.end()) << "the golden holds no output '" << output.name << "'";
    EXPECT_LE(relativeError(outputs[output.name].reshaped(expected->second.shape()), expected->second), tolerance(output.dtype)) << output.name;
  }
  for (auto& [name, expected] : all) {
    constexpr std::string_view prefix = "routing/", suffix = "/indices";
    if (!name.starts_with(prefix) || !name.ends_with(suffix))
      continue;
    std::string layer = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
    auto wanted = expected.as<int32_t>();
    auto recorded = std::ranges::find_if(choices, [&](const auto& entry) { return entry.first.starts_with(layer); });
    if (recorded != choices.end()) {
      auto chosen = recorded->second.as<int32_t>();
      EXPECT_EQ(std::vector<int32_t>(chosen.begin(), chosen.end()), std::vector<int32_t>(wanted.begin(), wanted.end())) << layer;
      continue;
    }
    auto made = std::ranges::find_if(routings, [&](const auto& entry) { return entry.first.starts_with(layer); });
    ASSERT_NE(made, routings.end()) << "no routing of '" << layer << "'";
    EXPECT_EQ(chosenExperts(made->second.routing, made->second.experts), std::vector<int32_t>(wanted.begin(), wanted.end())) << layer;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::Combine(testing::ValuesIn(goldenFiles("model")), testing::ValuesIn(devicesNamed(MOEC_MODEL_DEVICES))),
                         [](auto& info) { return testName(std::get<0>(info.param), std::get<1>(info.param)); });

} // namespace moec::test
