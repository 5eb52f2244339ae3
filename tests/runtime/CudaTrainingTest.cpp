// Owner of training on the CUDA device, over the emulator's table: updates in place, both lists of launches, and what the emulator finds in them.

#include "runtime/Training.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyCudaProgram.h"
#include "tests/runtime/TinyProgram.h"

namespace moec {
namespace {

Tensor someWeights() { return Tensor::of<float>({0.5f, 1, 1.5f, 2, -1, 3, 0.25f, 1}, {kTinyWidth}); }

std::unique_ptr<Training> training(const std::vector<PtxChange>& changes = {}) {
  auto made = std::make_unique<Training>(Program(tinyCudaTrainingData(changes)), "ptx-emulator:sm_80", DeviceOptions{.threads = 2});
  made->load({{"w", someWeights()}});
  return made;
}

/// What the kernels do, in their order, in float.
struct PlainTraining {
  std::vector<float> w = {0.5f, 1, 1.5f, 2, -1, 3, 0.25f, 1}, waiting = std::vector<float>(kTinyWidth);
  float accumulate(const Tensor& x) {
    auto rows = x.as<float>();
    for (size_t i = 0; i < rows.size(); ++i)
      waiting[i % kTinyWidth] += w[i % kTinyWidth] - rows[i];
    return w[0] - rows[0];
  }
  float apply(double rate, int64_t count) {
    float norm = waiting[0] / static_cast<float>(count);
    for (size_t d = 0; d < w.size(); ++d) {
      w[d] -= static_cast<float>(rate) * (waiting[d] / static_cast<float>(count));
      waiting[d] = 0;
    }
    return norm;
  }
};

void expectEqual(const Tensor& got, const std::vector<float>& expected) {
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(got.as<float>()[i], expected[i]) << "element " << i;
}

TEST(CudaTraining, ComputesWhatPlainLoopsDo) {
  auto one = training();
  PlainTraining plain;
  for (int step = 0; step < 3; ++step) {
    for (int64_t tokens : {5, 40, 2}) { // the arena grows and stays
      Tensor x = tinyTokens(tokens, static_cast<uint64_t>(step));
      EXPECT_EQ(one->accumulate({{"x", x}}).at("loss").as<float>()[0], plain.accumulate(x));
      expectEqual(one->state().at("w.gradient"), plain.waiting);
    }
    EXPECT_EQ(one->apply({.learningRate = 0.01}).at("gradient_norm").as<float>()[0], plain.apply(0.01, 3));
    expectEqual(one->weights().at("w"), plain.w);
    expectEqual(one->state().at("w.gradient"), plain.waiting);
  }
}

TEST(CudaTraining, AppliesBeforeAnySizeIsBound) {
  auto one = training(), other = training();
  one->accumulate({{"x", tinyTokens(7, 1)}});
  other->restore(one->weights(), one->state(), one->steps(), one->accumulated());
  one->apply({.learningRate = 0.5});
  other->apply({.learningRate = 0.5});
  Tensor expected = one->weights().at("w");
  expectEqual(other->weights().at("w"), std::vector<float>(expected.as<float>().begin(), expected.as<float>().end()));
  other->step({{"x", tinyTokens(100, 1)}}, {.learningRate = 0.5}); // with a larger arena
  EXPECT_EQ(other->steps(), 2);
}

TEST(CudaTraining, AReadOfWhatAnEarlierStepLeftIsFound) {
  auto one = training({{"{mean}", ""}}); // the mean is not stored
  one->accumulate({{"x", tinyTokens(3, 1)}});
  EXPECT_FAULT(one->apply({.learningRate = 1}), Fault::Mismatch, "apply launch 1, w (update)");
  EXPECT_FAULT(one->weights(), Fault::Usage, "no weights"); // which of them were written is not known
}

TEST(CudaTraining, TwoDevicesStepAlike) {
  CheckReport report = checkTraining(Program(tinyCudaTrainingData()), openDevice("ptx-emulator:sm_80"), openDevice("ptx-emulator:sm_80"),
                                     {{"w", someWeights()}}, {{"x", tinyTokens(6, 2)}}, {.learningRate = 0.1});
  EXPECT_TRUE(report.passed()) << report.describeFailures();
  EXPECT_EQ(report.launches.size(), 4u);
  EXPECT_EQ(report.outputs.size(), 5u); // loss; w.gradient; gradient_norm, w, w.gradient again
}

TEST(CudaTraining, SaysWhatIsMissing) {
  EXPECT_FAULT(Training(Program(tinyCudaProgramData()), "ptx-emulator:sm_80"), Fault::Usage, "compile it with --train");
  EXPECT_FAULT(Training(Program(tinyCudaTrainingData()), "ptx-emulator:sm_90a"), Fault::Device, "its targets: cuda:sm_80");
}

} // namespace
} // namespace moec
