// Bits are a function of program, target, inputs and seed: never of threads, of the run, or of the host's memory and pool.

#include "tests/e2e/Support.h"
#include "tests/embed/Hosts.h"

#include <gtest/gtest.h>

namespace moec::test {

namespace {

class Determinism : public testing::TestWithParam<std::string> {};

} // namespace

TEST_P(Determinism, SameBytesFromAnyThreadsInTenRunsEach) {
  CompileOptions options;
  options.targets = {testTarget()};
  options.checkSizes = true;
  options.kernelCache = sharedKernels();
  Program program = compile(patchedModel(GetParam()), options);
  std::vector<uint8_t> first;
  WatchedMemory memory; // full of NaN: whatever is read before it is written shows
  for (const DeviceOptions& device :
       {DeviceOptions{.threads = 1}, DeviceOptions{.threads = 2}, DeviceOptions{.allocator = memory.allocator(), .pool = std::make_shared<ReversePool>(3)}}) {
    Session session(program, "cpu", device);
    session.init(0);
    // Many rows, so that stages are really shared between threads.
    Plan sized = session.plan();
    for (auto& [name, value] : sized.checkSizes)
      if (name == "batch")
        value = 48;
    TensorMap inputs = generatedInputs(sized, 5);
    for (int run = 0; run < 10; ++run) {
      std::vector<uint8_t> bytes = bytesOf(session.run(inputs, RunOptions{.seed = 3}));
      ASSERT_FALSE(bytes.empty());
      if (first.empty())
        first = bytes;
      ASSERT_TRUE(bytes == first) << (device.pool ? "a pool of 3" : std::to_string(device.threads) + " threads") << ", run " << run;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, Determinism,
                         testing::Values("batched-experts.json", "hf-switch.json", "random-lm.json", "soft-moe.json", "vit.json", "vit-moe.json"),
                         [](auto& info) {
                           std::string name = info.param.substr(0, info.param.find('.'));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

} // namespace moec::test
