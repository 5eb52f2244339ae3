// A step of every model of the zoo with the kernels of CUDA on the emulator, all its checks on, against the CPU: launches, losses, gradients, updates.

#include "runtime/Compile.h"
#include "tests/cli/Process.h"

#include <algorithm>

using namespace moec;
using namespace moec::test;

namespace {

class StepOnTheEmulator : public CommandTest, public testing::WithParamInterface<std::string> {};

TEST_P(StepOnTheEmulator, AgreesWithTheCpu) {
  if (std::string missing = missingCudaCompiler(); !missing.empty())
    GTEST_SKIP() << "[SKIP] " << missing;
  for (bool recompute : {false, true}) {
    std::vector<std::string> arguments{
        "check", "--train", (fs::path(MOEC_SOURCE) / "models/zoo" / (GetParam() + ".json")).string(), "--device", "ptx-emulator:sm_90a", "--against", "cpu"};
    if (recompute)
      arguments.push_back("--recompute");
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << (recompute ? "with --recompute: " : "") << outcome.err;
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, StepOnTheEmulator, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const auto& entry : fs::directory_iterator(fs::path(MOEC_SOURCE) / "models/zoo"))
                             if (entry.path().extension() == ".json")
                               names.push_back(entry.path().stem().string());
                           std::sort(names.begin(), names.end());
                           return names;
                         }()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

} // namespace
