// Models of the zoo in bf16: every launch and the outputs against the reference; where no choice can flip, the outputs are near those of the same weights in
// f32.

#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/e2e/Goldens.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

namespace moec::test {

namespace {

struct Model {
  const char* name;
  bool hasChoices;
};
void PrintTo(const Model& one, std::ostream* stream) { *stream << one.name; }

class BFloat16 : public testing::TestWithParam<std::tuple<Model, GoldenDevice>> {
protected:
  /// Nothing, and the test skipped, where CUDA needs what there is not.
  std::optional<Program> compiled(const char* dtype) {
    try {
      return compile(patchedModel(std::string(std::get<0>(GetParam()).name) + ".json", std::string(R"({"dtype": ")") + dtype + "\"}"),
                     {.targets = {std::get<1>(GetParam()).target}, .checkSizes = true, .kernelCache = sharedKernels()});
    } catch (const Error& error) {
      if (std::string(error.what()).starts_with("CUDA targets need NVRTC"))
        skip_ = error.what();
      else
        throw;
    }
    return std::nullopt;
  }
  std::string skip_;
};

TensorMap as(DType dtype, TensorMap tensors) {
  for (auto& [name, tensor] : tensors)
    if (isFloat(tensor.dtype()))
      tensor = tensor.cast(dtype);
  return tensors;
}

} // namespace

TEST_P(BFloat16, AgreesWithTheReferenceAndIsNearF32) {
  std::optional<Program> program = compiled("bf16");
  if (!program)
    GTEST_SKIP() << "[SKIP] " << skip_;
  const std::string& device = std::get<1>(GetParam()).device;
  const Plan& plan = program->data().plans.front();
  for (const ParameterInfo& parameter : plan.parameters)
    if (parameter.name.find("gate.") == std::string::npos) // routers stay f32
      EXPECT_EQ(parameter.dtype, DType::BF16) << parameter.name;
  TensorMap weights = initialWeights(plan, 1), inputs = generatedInputs(plan, 2);
  CheckReport report = check(*program, openDevice(device), openDevice("reference"), weights, inputs);
  EXPECT_TRUE(report.passed()) << report.describeFailures();

  if (std::get<0>(GetParam()).hasChoices)
    return;
  Session narrow(*program, device);
  narrow.load(weights);
  Session wide(*compiled("f32"), device);
  wide.load(as(DType::F32, weights));
  TensorMap outputs = narrow.run(inputs), expected = wide.run(as(DType::F32, inputs));
  for (const OutputInfo& output : plan.outputs) {
    EXPECT_EQ(outputs.at(output.name).dtype(), output.dtype);
    // A rounding in each of some ten layers one behind the other.
    EXPECT_LE(test::relativeError(outputs.at(output.name), expected.at(output.name)), 3 * tolerance(DType::BF16)) << output.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, BFloat16,
                         testing::Combine(testing::Values(Model{"vit-moe", true}, Model{"switch-lm", true}, Model{"hierarchical", true},
                                                          Model{"lucidrains-moe", true}, Model{"gating-lm", false}, Model{"soft-moe", false},
                                                          Model{"mann", false}),
                                          testing::ValuesIn(devicesNamed(MOEC_BFLOAT16_DEVICES))),
                         [](const auto& info) {
                           std::string name = std::string(std::get<0>(info.param).name) + "_" + std::get<1>(info.param).device;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

} // namespace moec::test
