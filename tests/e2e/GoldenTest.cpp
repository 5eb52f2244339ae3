// Every golden of a whole model: the zoo file with the golden's changes, its weights, inputs and draws, against what the original package gave.

#include "runtime/core/KernelAbi.h"
#include "runtime/core/Philox.h"
#include "runtime/core/Tolerance.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace moec::test {

namespace {

std::vector<std::string> goldenFiles() {
  std::vector<std::string> files;
  for (auto& entry : std::filesystem::directory_iterator(sourceDir() / "tests/goldens")) {
    std::map<std::string, std::string> metadata;
    if (entry.path().extension() == ".safetensors")
      readSafeTensors(entry.path(), &metadata);
    if (metadata.contains("model"))
      files.push_back(entry.path().filename().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// The tensors under a prefix, without it.
TensorMap part(const TensorMap& all, const std::string& prefix) {
  TensorMap some;
  for (auto& [name, tensor] : all)
    if (name.starts_with(prefix))
      some[name.substr(prefix.size())] = tensor;
  return some;
}

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

/// (T, K) indices as the goldens store them: the expert of each choice, -1 where dropped.
std::vector<int32_t> chosenExperts(const Tensor& routing, int64_t experts) {
  auto data = routing.as<int32_t>();
  int64_t rows = (static_cast<int64_t>(data.size()) - experts - 1) / 2;
  RoutingLayout layout{experts, rows};
  std::vector<int32_t> chosen(rows, -1);
  for (int32_t expert = 0; expert < experts; ++expert)
    for (int32_t place = data[expert]; place < data[expert + 1]; ++place)
      chosen[data[layout.rowList() + place]] = expert;
  return chosen;
}

class Golden : public testing::TestWithParam<std::string> {};

/// Runs the launches one after the other; keeps each layer's routing as soon as it is made, for its memory is used again.
TensorMap runWithRoutings(Session& session, const TensorMap& inputs, std::map<std::string, Tensor>& routings) {
  const Plan& plan = session.plan();
  Executable& executable = session.executable();
  executable.bind(session.bindings(inputs));
  for (const InputInfo& input : plan.inputs)
    if (input.buffer >= 0)
      executable.write(input.buffer, inputs.find(input.name)->second);
  for (size_t i = 0; i < plan.forward.size(); ++i) {
    executable.launch(LaunchList::Forward, static_cast<int>(i), {});
    for (int output : plan.forward[i].outputs)
      if (plan.buffers[output].isRouting)
        routings[plan.forward[i].label] = executable.read(output);
  }
  TensorMap outputs;
  for (const OutputInfo& output : plan.outputs)
    outputs[output.name] = executable.read(output.buffer);
  return outputs;
}

} // namespace

TEST_P(Golden, Agrees) {
  auto path = sourceDir() / "tests/goldens" / GetParam();
  std::map<std::string, std::string> metadata;
  TensorMap all = readSafeTensors(path, &metadata);
  TensorMap draws = part(all, "draws/");

  CompileOptions options;
  options.targets = {"cpu"};
  options.drawsAsInputs = !draws.empty();
  Program program = compile(patchedModel(metadata["model"] + ".json", metadata.contains("overrides") ? metadata["overrides"] : "{}"), options);
  Session session(program, "cpu");
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
  std::map<std::string, Tensor> routings;
  TensorMap stepped = runWithRoutings(session, inputs, routings);
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
    auto made = std::ranges::find_if(routings, [&](const auto& entry) { return entry.first.starts_with(layer); });
    ASSERT_NE(made, routings.end()) << "no routing of '" << layer << "'";
    int64_t experts = 0;
    for (const BufferInfo& buffer : session.plan().buffers)
      if (buffer.isRouting)
        experts = buffer.experts;
    auto wanted = expected.as<int32_t>();
    EXPECT_EQ(chosenExperts(made->second, experts), std::vector<int32_t>(wanted.begin(), wanted.end())) << layer;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(goldenFiles()), [](auto& info) {
  std::string name = info.param.substr(0, info.param.rfind('.'));
  std::ranges::replace_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

} // namespace moec::test
