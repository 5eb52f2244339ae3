// A machine without NVRTC, as the command shows it: CUDA targets cannot be compiled, and everything else can.

#include "runtime/Compile.h"
#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

using namespace moec::test;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace {

const std::string kZoo = MOEC_SOURCE "/models/zoo/";

class WithoutNvrtc : public CommandTest {
protected:
  std::string model, rows;

  void SetUp() override {
    CommandTest::SetUp();
    model = file("m.json", R"({"name": "m", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "layer_norm"}]})");
    rows = file("x.json", "[[1, 2, 3, 5]]");
  }
  void takeAway() { environment = {{"MOEC_NVRTC_DIR", "/nonexistent/nvrtc"}}; }
  std::vector<std::string> run(const std::string& what, const std::string& device) const {
    return {"run", what, "--device", device, "--init", "0", "--input", "x=" + rows};
  }
};

TEST_F(WithoutNvrtc, CompilingForAGpuIsThree) {
  takeAway();
  std::vector<std::string> compile{"compile", kZoo + "vit-moe.json", "--target", "cuda:sm_90a"};
  expectFailure(compile, 3, "moec: error: CUDA targets need NVRTC, and no libnvrtc was found; looked at:\n  /nonexistent/nvrtc\n");
  expectFailure(compile, 3, "nvidia-cuda-nvrtc");
  expectFailure(compile, 3, "MOEC_NVRTC_DIR");
  EXPECT_FALSE(fs::exists(path("vit-moe.moec")));
  expectFailure(run(model, "ptx-emulator:sm_90a"), 3, "no libnvrtc was found");
  // One target that cannot be compiled leaves no program of the others.
  expectFailure({"compile", model, "--target", "cpu:x86-64-v3,cuda:sm_90a"}, 3, "no libnvrtc was found");
  EXPECT_FALSE(fs::exists(path("m.moec")));
}

TEST_F(WithoutNvrtc, TheRestGoesOn) {
  takeAway();
  Outcome cpu = moec(run(model, "cpu"));
  EXPECT_EQ(cpu.code, 0) << cpu.err;
  Outcome text = moec({"compile", model, "--target", "cuda:sm_90a", "--emit", "cuda"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("__global__"));
  expectFailure({"compile", model, "--target", "cuda:sm_90a", "--emit", "ptx"}, 3, "no libnvrtc was found");
}

TEST_F(WithoutNvrtc, DevicesSaysSo) {
  takeAway();
  Outcome outcome = moec({"devices"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("run compiled programs only"), HasSubstr("looked at:\n  /nonexistent/nvrtc\n")));
  bool any = false;
  for (const auto& device : nlohmann::json::parse(moec({"devices", "--json"}).out))
    if (device["name"].get<std::string>().starts_with("ptx-emulator:")) {
      any = true;
      EXPECT_EQ(device["available"], true);
      EXPECT_EQ(device["compiles"], false);
      EXPECT_THAT(device["compiles_reason"].get<std::string>(), HasSubstr("/nonexistent/nvrtc"));
    } else if (device["name"] == "cpu") {
      EXPECT_FALSE(device.contains("compiles"));
    }
  EXPECT_TRUE(any);
}

TEST_F(WithoutNvrtc, WhatIsCompiledRuns) {
  if (std::string why = moec::missingCudaCompiler(); !why.empty())
    GTEST_SKIP() << "[SKIP] a program must be compiled first: " << why;
  EXPECT_THAT(moec({"devices"}).out, Not(HasSubstr("compiled programs only")));
  ASSERT_EQ(moec({"compile", model, "--target", "cuda:sm_90a", "-o", path("m.moec")}).code, 0);
  Outcome with = moec(run(path("m.moec"), "ptx-emulator:sm_90a"));
  ASSERT_EQ(with.code, 0) << with.err;
  takeAway();
  Outcome without = moec(run(path("m.moec"), "ptx-emulator:sm_90a"));
  EXPECT_EQ(without.code, 0) << without.err;
  EXPECT_EQ(without.out, with.out);
  // The whole program is in the cache.
  Outcome cached = moec(run(model, "ptx-emulator:sm_90a"));
  EXPECT_EQ(cached.code, 0) << cached.err;
  EXPECT_EQ(cached.out, with.out);
}

} // namespace
