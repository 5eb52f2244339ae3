// Gradients of the zoo's models as compiled programs give them, and twenty steps of training, against PyTorch (tests/goldens/README.md).

#include "runtime/Training.h"
#include "runtime/core/Tolerance.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Goldens.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

namespace moec::test {

namespace {

struct Golden {
  std::map<std::string, std::string> metadata;
  TensorMap all;

  explicit Golden(const std::string& file) : all(readSafeTensors(sourceDir() / "tests/goldens" / file, &metadata)) {}

  Program compiled(const std::string& key, CompileOptions options) const {
    options.targets = {testTarget()};
    options.kernelCache = sharedKernels();
    options.train = true;
    options.drawsAsInputs = !part(all, "draws/").empty();
    return compile(patchedModel(metadata.at(key) + ".json", metadata.at("overrides")), options);
  }
};

/// Part `step` of tensors whose first dimension is the steps.
Tensor atStep(const Tensor& tensor, int64_t step) {
  size_t bytes = tensor.bytes() / static_cast<size_t>(tensor.shape()[0]);
  Shape shape(tensor.shape().begin() + 1, tensor.shape().end());
  return Tensor::borrow(static_cast<char*>(tensor.data()) + static_cast<size_t>(step) * bytes, shape, tensor.dtype());
}

/// Every one of `expected` is among `found`, within `limit` of its largest magnitude.
void expectAll(const TensorMap& found, const TensorMap& expected, const std::string& prefix, const std::string& suffix, double (*limit)(DType)) {
  EXPECT_FALSE(expected.empty());
  for (const auto& [name, tensor] : expected) {
    auto made = found.find(prefix + name + suffix);
    ASSERT_NE(made, found.end()) << "no " << prefix + name + suffix;
    EXPECT_LE(relativeError(made->second.reshaped(tensor.shape()), tensor), limit(tensor.dtype())) << prefix + name + suffix;
  }
}

class GradientGolden : public testing::TestWithParam<std::string> {};
class StepGolden : public testing::TestWithParam<std::string> {};

} // namespace

TEST_P(GradientGolden, Agrees) {
  Golden golden(GetParam());
  Program program = golden.compiled("gradients_of", {.accumulate = true, .inputGradients = true});
  Training training(program, "cpu", {.threads = 2}), alone(program, "cpu", {.threads = 1});
  TensorMap inputs = part(golden.all, "inputs/");
  inputs.merge(part(golden.all, "draws/"));
  for (Training* each : {&training, &alone})
    each->load(part(golden.all, "weights/"));
  TensorMap results = training.accumulate(inputs);
  EXPECT_TRUE(bytesOf(alone.accumulate(inputs)) == bytesOf(results) && bytesOf(alone.state()) == bytesOf(training.state())) << "threads change bits";
  expectAll(results, part(golden.all, "losses/"), "", "", gradientTolerance);
  expectAll(training.state(), part(golden.all, "gradients/"), "", ".gradient", gradientTolerance);
  TensorMap ofInputs = part(golden.all, "input_gradients/");
  if (!ofInputs.empty())
    expectAll(results, ofInputs, "gradient.", "", gradientTolerance);
}

TEST_P(StepGolden, Agrees) {
  Golden golden(GetParam());
  Training training(golden.compiled("steps_of", {}), "cpu");
  training.load(part(golden.all, "weights/"));
  StepOptions options{.learningRate = std::stod(golden.metadata.at("learning_rate"))};
  TensorMap losses = part(golden.all, "losses/");
  losses["gradient_norm"] = golden.all.at("gradient_norm");
  int64_t steps = losses["gradient_norm"].shape()[0];
  ASSERT_EQ(steps, 20);
  for (int64_t step = 0; step < steps; ++step) {
    SCOPED_TRACE("step " + std::to_string(step + 1));
    TensorMap batch, expected;
    for (const auto& [name, tensor] : part(golden.all, "inputs/"))
      batch[name] = atStep(tensor, step);
    for (const auto& [name, tensor] : losses)
      expected[name] = atStep(tensor, step);
    expectAll(training.step(batch, options), expected, "", "", trainedTolerance);
  }
  EXPECT_EQ(training.steps(), steps);
  expectAll(training.weights(), part(golden.all, "trained/"), "", "", trainedTolerance);
}

INSTANTIATE_TEST_SUITE_P(All, GradientGolden, testing::ValuesIn(goldenFiles("gradients_of")), [](auto& info) { return testName(info.param); });
INSTANTIATE_TEST_SUITE_P(All, StepGolden, testing::ValuesIn(goldenFiles("steps_of")), [](auto& info) { return testName(info.param); });

} // namespace moec::test
