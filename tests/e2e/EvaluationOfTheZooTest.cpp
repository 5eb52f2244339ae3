// Plans for evaluation of every model of the zoo, with statistics, on the CPU against the reference.

#include "runtime/Compile.h"
#include "runtime/Weights.h"
#include "runtime/core/Tolerance.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace moec::test {

namespace {

std::vector<std::string> zoo() {
  std::vector<std::string> names;
  for (auto& entry : std::filesystem::directory_iterator(sourceDir() / "models/zoo"))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string testName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

} // namespace

class EvaluationOfTheZoo : public testing::TestWithParam<std::string> {};

TEST_P(EvaluationOfTheZoo, AgreesWithTheReference) {
  CompileOptions options;
  options.targets = {"cpu:x86-64-v3"};
  options.checkSizes = options.evaluate = options.statistics = true;
  Program program = compile(sourceDir() / "models/zoo" / (GetParam() + ".json"), options);
  Plan plan = *program.plan("cpu:x86-64-v3", Purpose::Evaluation);
  TensorMap weights = initialWeights(plan, 2);
  for (InputInfo& input : plan.inputs)
    if (!input.below && input.dtype == DType::I64)
      input.below = 10;
  CheckReport report = check(program, openDevice("cpu"), openDevice("reference"), weights, generatedInputs(plan, 3), {}, tolerance, Purpose::Evaluation);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

INSTANTIATE_TEST_SUITE_P(All, EvaluationOfTheZoo, testing::ValuesIn(zoo()), testName);

} // namespace moec::test
