#include "tests/e2e/Support.h"

#include "runtime/core/CpuTarget.h"
#include "runtime/core/Philox.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <stdlib.h>

namespace moec::test {

std::filesystem::path sourceDir() { return MOEC_SOURCE_DIR; }

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "moec-test-XXXXXX").string();
  if (!mkdtemp(name.data()))
    throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path patchedModel(const std::string& zooFile, const std::string& mergePatch) {
  static TemporaryFolder folder;
  static int count = 0;
  std::ifstream file(sourceDir() / "models/zoo" / zooFile);
  auto model = nlohmann::ordered_json::parse(file);
  model.merge_patch(nlohmann::ordered_json::parse(mergePatch));
  auto path = folder.path() / (std::to_string(count++) + "-" + std::filesystem::path(zooFile).filename().string());
  std::ofstream(path) << model.dump(2);
  return path;
}

std::string testTarget() {
  const char* only = std::getenv("MOEC_TEST_TARGET");
  return only ? only : "cpu";
}

namespace {

/// Skips every test where this machine does not run the target that MOEC_TEST_TARGET names.
class OnlyWhereItRuns : public ::testing::Environment {
  void SetUp() override {
    if (testTarget() == "cpu")
      return;
    if (auto missing = missingFeatures(testTarget()); !missing.empty())
      GTEST_SKIP() << fmt::format("[SKIP] {}: this machine lacks {}", testTarget(), fmt::join(missing, ", "));
  }
};
const ::testing::Environment* const environment = ::testing::AddGlobalTestEnvironment(new OnlyWhereItRuns);

} // namespace

std::vector<uint8_t> bytesOf(const TensorMap& outputs) {
  std::vector<uint8_t> bytes;
  for (const auto& [name, tensor] : outputs) {
    auto* data = static_cast<const uint8_t*>(tensor.data());
    bytes.insert(bytes.end(), data, data + tensor.bytes());
  }
  return bytes;
}

double relativeError(const Tensor& a, const Tensor& b) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (a.shape() != b.shape())
    return infinite;
  std::vector<double> x = a.toDoubles(), y = b.toDoubles();
  double error = 0, scale = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) != std::isnan(y[i]) || std::isinf(x[i]) != std::isinf(y[i]))
      return infinite;
    if (!std::isfinite(x[i]))
      continue;
    error = std::max(error, std::fabs(x[i] - y[i]));
    scale = std::max(scale, std::fabs(y[i]));
  }
  return error == 0 ? 0 : scale == 0 ? infinite : error / scale;
}

TensorMap generatedInputs(const Plan& plan, uint64_t seed) {
  Bindings bindings;
  for (auto& [name, value] : plan.checkSizes)
    bindings[name] = value;
  TensorMap inputs;
  for (const InputInfo& input : plan.inputs) {
    if (input.forLoss && plan.purpose != Purpose::Training)
      continue;
    Shape shape;
    for (const Size& size : input.shape)
      shape.push_back(size.evaluate(bindings));
    Tensor tensor(DType::F64, shape);
    auto values = tensor.as<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      auto words = draw(seed, streamOf(input.name), 0, i);
      values[i] = input.isDraw ? uniformFloat(words) : input.below ? std::floor(uniformDouble(words) * static_cast<double>(*input.below)) : normal(words);
    }
    inputs[input.name] = tensor.cast(input.dtype);
  }
  return inputs;
}

TensorMap modelInputs(const Plan& plan, int64_t classes) {
  Plan own = plan;
  std::erase_if(own.inputs, [](const InputInfo& input) { return input.name.starts_with("train."); });
  for (InputInfo& input : own.inputs)
    if (!input.below && input.dtype == DType::I64)
      input.below = classes;
  return generatedInputs(own, 3);
}

} // namespace moec::test
