// NVRTC at run time: four targets, what ptxas reports, refused text, and what happens when it is missing, crashes or takes too long.

#include "codegen/cuda/Nvrtc.h"
#include "codegen/cuda/NvrtcLog.h"
#include "runtime/core/Error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <thread>
#include <unistd.h>

namespace moec::codegen::cuda {

namespace {

using testing::HasSubstr;
using testing::Not;

// The block's sums need 1024 bytes of shared memory.
const CudaSource kReverse{"reverse.cu", R"(extern "C" __global__ void __launch_bounds__(256) reverse(const float* __restrict__ in, float* __restrict__ out) {
  __shared__ float all[256];
  all[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = all[255 - threadIdx.x] * 2.0f + 1.0f;
}
)"};

// 300 values of a thread, chosen at run time, cannot stay in registers.
const CudaSource kTwo{"two.cu", R"(extern "C" __global__ void gather(const float* in, float* out, int n) {
  float kept[300];
  for (int i = 0; i < 300; ++i)
    kept[i] = in[i * n];
  for (int i = 0; i < 300; ++i)
    out[i] = kept[i * n % 300];
}
extern "C" __global__ void one(float* out) { out[0] = 1; }
)"};

const CudaTarget& hopper() { return *findCudaTarget("cuda:sm_90a"); }

class NvrtcTest : public testing::Test {
protected:
  void SetUp() override {
    if (std::string why = missingNvrtc(); !why.empty())
      GTEST_SKIP() << "[SKIP] " << why;
  }
};

TEST_F(NvrtcTest, OneRunGivesPtxAndMachineCodeForEachTarget) {
  for (const CudaTarget& target : cudaTargets()) {
    std::string error;
    auto compiled = compileCuda(kReverse, target, error);
    ASSERT_TRUE(compiled) << error;
    EXPECT_THAT(compiled->ptx, HasSubstr(".target " + target.arch));
    EXPECT_THAT(compiled->ptx, HasSubstr(".entry reverse"));
    EXPECT_THAT(compiled->ptx, HasSubstr("reverse.cu")) << "line information";
    EXPECT_FALSE(compiled->ptx.ends_with('\0'));
    ASSERT_GT(compiled->cubin.size(), 4u);
    EXPECT_EQ(std::string(compiled->cubin.begin() + 1, compiled->cubin.begin() + 4), "ELF");
    ASSERT_EQ(compiled->functions.size(), 1u);
    const FunctionUsage& usage = compiled->functions[0];
    EXPECT_EQ(usage.function, "reverse");
    EXPECT_GT(usage.registers, 2);
    EXPECT_LE(usage.registers, 32);
    EXPECT_GE(usage.sharedBytes, 1024); // and what the system reserves, counted by some versions
    EXPECT_LE(usage.sharedBytes, 2048);
    EXPECT_EQ(usage.spillBytes, 0);
    EXPECT_EQ(usage.stackBytes, 0);
  }
}

TEST_F(NvrtcTest, AdditionsAreNotContracted) {
  std::string error;
  auto compiled = compileCuda(kReverse, hopper(), error);
  ASSERT_TRUE(compiled) << error;
  EXPECT_THAT(compiled->ptx, Not(HasSubstr("fma.")));
}

TEST_F(NvrtcTest, EachFunctionHasItsUsage) {
  std::string error;
  auto compiled = compileCuda(kTwo, hopper(), error);
  ASSERT_TRUE(compiled) << error;
  ASSERT_EQ(compiled->functions.size(), 2u);
  for (const FunctionUsage& usage : compiled->functions) {
    EXPECT_GT(usage.registers, 0);
    EXPECT_EQ(usage.stackBytes, usage.function == "gather" ? 1200 : 0) << usage.function;
  }
}

TEST_F(NvrtcTest, RefusedTextNamesFileAndLineAndKeepsWarnings) {
  std::string error;
  EXPECT_FALSE(compileCuda({"bad.cu", "__device__ int f() { int unused; return 0; }\nextern \"C\" __global__ void k(int* out) {\n  *out = missing;\n}\n"},
                           hopper(), error));
  EXPECT_THAT(error, HasSubstr("bad.cu:3: error: "));
  EXPECT_THAT(error, HasSubstr("bad.cu:1: warning"));
  EXPECT_THAT(error, HasSubstr("missing"));
}

TEST_F(NvrtcTest, TextThatPtxasRefusesIsAnErrorAtItsLine) {
  std::string error;
  EXPECT_FALSE(
      compileCuda({"some/bad.cu", "extern \"C\" __global__ void k(int* out) {\n  *out = 1;\n  asm volatile(\"no_such_word;\");\n}\n"}, hopper(), error));
  EXPECT_THAT(error, testing::MatchesRegex("some/bad\\.cu:3: error: ptxas: .*'no_such_word' \\(PTX line [0-9]+\\)"));
}

TEST_F(NvrtcTest, WhatPtxasRefusesWithoutALineIsAnErrorAtTheFunction) {
  std::string error;
  CudaSource source{"some/big.cu", "// two lines\nextern \"C\" __global__ void k(int* out) {\n  int unused;\n  __shared__ volatile float big[60000];\n"
                                   "  big[threadIdx.x] = 1;\n  *out = big[5];\n}\n"};
  EXPECT_FALSE(compileCuda(source, hopper(), error));
  EXPECT_THAT(error, testing::StartsWith("some/big.cu:2: error: ptxas: Entry function 'k' uses too much shared data ("));
  EXPECT_THAT(error, HasSubstr("some/big.cu:3: warning"));
}

TEST_F(NvrtcTest, LineInformationNamesTheFileAsItWasNamed) {
  for (std::string name : {"rev.cu", "../a folder/rev.cu", "/home/rev.cu"}) {
    std::string error;
    auto compiled = compileCuda({name, kReverse.text}, hopper(), error);
    ASSERT_TRUE(compiled) << error;
    EXPECT_THAT(compiled->ptx, testing::ContainsRegex("\\.file[ \t]+1 \"" + name + "\"\n"));
  }
  std::string error; // ptxas refuses these as they are
  auto compiled = compileCuda({"\"\\\n\u00e9/rev.cu", kReverse.text}, hopper(), error);
  ASSERT_TRUE(compiled) << error;
  EXPECT_THAT(compiled->ptx, HasSubstr("\"\\042\\134\\012\\303\\251/rev.cu\""));
}

TEST_F(NvrtcTest, DeclarationsHoldTheTextToItsParameters) {
  CudaSource source{"k.cu", "", "extern \"C\" __global__ void k(const float* __restrict__ in, float* out, long long n);\n"};
  auto errorOf = [&](const std::string& text) {
    source.text = text;
    std::string error;
    EXPECT_FALSE(compileCuda(source, hopper(), error)) << text;
    return error;
  };
  for (const char* parameters : {"const float* in, float* out", "const float* in, float* out, int n", "float* in, float* out, long long n"})
    EXPECT_THAT(errorOf(fmt::format("\nextern \"C\" __global__ void k({}) {{}}\n", parameters)),
                testing::AllOf(testing::StartsWith("k.cu:2: error: this function must keep its parameters"),
                               HasSubstr("expected: extern \"C\" __global__ void k(const float* ")));
  EXPECT_THAT(errorOf("__global__ void k(const float* in, float* out, long long n) {}\n"), testing::StartsWith("k.cu:1: error: "));
  EXPECT_THAT(errorOf("extern \"C\" __global__ void k(const float* in, float* out, long long n) { *out = missing; }\n"),
              testing::StartsWith("k.cu:1: error: "));
  source.text =
      "extern \"C\" __global__ void __launch_bounds__(64) k(const float* x, float* __restrict__ y, const long long n) { y[n] = x[n]; }"; // no line's end
  std::string error;
  auto compiled = compileCuda(source, hopper(), error);
  ASSERT_TRUE(compiled) << error;
  EXPECT_EQ(compiled->functions.size(), 1u);
}

TEST_F(NvrtcTest, ThreadsCompileAtOnce) {
  std::vector<std::string> ptx(8);
  std::vector<std::thread> threads;
  for (std::string& to : ptx)
    threads.emplace_back([&to] {
      std::string error;
      if (auto compiled = compileCuda(kReverse, hopper(), error))
        to = compiled->ptx;
    });
  for (std::thread& thread : threads)
    thread.join();
  for (const std::string& one : ptx) {
    EXPECT_FALSE(one.empty());
    EXPECT_EQ(one, ptx[0]);
  }
}

TEST_F(NvrtcTest, AProcessApartGivesTheSame) {
  std::string error;
  auto here = compileCuda(kTwo, hopper(), error), apart = compileCudaApart(kTwo, hopper(), error);
  ASSERT_TRUE(here && apart) << error;
  EXPECT_EQ(apart->ptx, here->ptx);
  EXPECT_EQ(apart->cubin, here->cubin);
  ASSERT_EQ(apart->functions.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(apart->functions[i].function, here->functions[i].function);
    EXPECT_EQ(apart->functions[i].registers, here->functions[i].registers);
    EXPECT_EQ(apart->functions[i].stackBytes, here->functions[i].stackBytes);
  }
  EXPECT_FALSE(compileCudaApart({"bad.cu", "\n\nint 3;\n"}, hopper(), error));
  EXPECT_THAT(error, HasSubstr("bad.cu:3: error: "));
}

TEST_F(NvrtcTest, ACrashApartIsAnErrorThatSaysSo) {
  std::string error;
  const CudaSource immediates{
      "crash.cu",
      "extern \"C\" __global__ void k(int* out) {\n"
      "  asm volatile(\"stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};\" ::\"r\"(0), \"r\"(0), \"r\"(0), \"r\"(0), \"r\"(0));\n}\n"};
  EXPECT_FALSE(compileCudaApart(immediates, hopper(), error));
  if (!error.starts_with("crash.cu: NVRTC crashed"))
    GTEST_SKIP() << "[SKIP] NVRTC " << nvrtcVersion() << " does not crash on the text that 13.0 crashes on; it says: " << error;
  EXPECT_EQ(error, "crash.cu: NVRTC crashed on the text (Segmentation fault)");
  EXPECT_TRUE(compileCudaApart(kReverse, hopper(), error)) << error;
}

TEST_F(NvrtcTest, TheTimeLimitApartIsAnErrorThatSaysSo) {
  // Some 2^40 instantiations.
  std::string endless = "template <int N, long long P> struct F { static constexpr int value = F<N - 1, 2 * P>::value + F<N - 1, 2 * P + 1>::value; };\n"
                        "template <long long P> struct F<0, P> { static constexpr int value = 1; };\n"
                        "extern \"C\" __global__ void k(int* out) { *out = F<40, 0>::value; }\n",
              error;
  EXPECT_FALSE(compileCudaApart({"endless.cu", endless}, hopper(), error, /*limitSeconds=*/1));
  EXPECT_THAT(error, HasSubstr("endless.cu: NVRTC was ended"));
  EXPECT_THAT(error, HasSubstr("within 1 seconds"));
}

// In processes of their own, for a process has one working folder.
TEST_F(NvrtcTest, ImagesDoNotDependOnTheWorkingFolder) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  namespace fs = std::filesystem;
  constexpr const char* kRoot = "MOEC_TEST_FOLDERS"; // the processes begin this case anew, and shall find the first one's folder
  if (!getenv(kRoot)) {
    std::string made = (fs::temp_directory_path() / "moec-nvrtc-folders-XXXXXX").string();
    ASSERT_TRUE(mkdtemp(made.data()));
    setenv(kRoot, made.c_str(), 1);
  }
  fs::path root = getenv(kRoot);
  std::vector<std::string> images;
  for (const char* name : {"a", "another/deeper"}) {
    fs::path folder = root / name;
    fs::create_directories(folder);
    EXPECT_EXIT(
        {
          fs::current_path(folder);
          std::string error;
          auto compiled = compileCuda({"k.cu", kReverse.text}, hopper(), error);
          if (compiled)
            std::ofstream("image", std::ios::binary) << compiled->ptx << std::string(compiled->cubin.begin(), compiled->cubin.end());
          _exit(compiled ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
    std::ifstream image(folder / "image", std::ios::binary);
    images.emplace_back(std::istreambuf_iterator<char>(image), std::istreambuf_iterator<char>());
  }
  fs::remove_all(root);
  unsetenv(kRoot);
  EXPECT_GT(images[0].size(), 1000u);
  EXPECT_EQ(images[0], images[1]);
}

// The library is looked for once in a process: a process with another environment is asked.
TEST(MissingNvrtcDeathTest, IsAnErrorThatNamesThePlaceAndHowToGetIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        setenv("MOEC_NVRTC_DIR", "/nonexistent/nvrtc", 1);
        std::string error;
        try {
          compileCuda(kReverse, hopper(), error);
        } catch (const Error& missing) {
          fprintf(stderr, "%s\n", missing.what());
          _exit(missing.fault() == Fault::Device && nvrtcVersion().empty() && missing.what() == missingNvrtc() ? 0 : 1);
        }
        _exit(2);
      },
      testing::ExitedWithCode(0), "looked at:\n  /nonexistent/nvrtc\n.*nvidia-cuda-nvrtc.*MOEC_NVRTC_DIR");
}

TEST(NvrtcLogTest, SpillsAreCountedAndReportsAreNoMessages) {
  std::string log = "/moec/k.cu(7): warning #177-D: variable \"x\" was declared but never referenced\n\n"
                    "ptxas info    : 0 bytes gmem\n"
                    "ptxas info    : Compiling entry function 'k' for 'sm_90a'\n"
                    "ptxas info    : Function properties for k\n"
                    "    64 bytes stack frame, 60 bytes spill stores, 72 bytes spill loads\n"
                    "ptxas info    : Used 255 registers, used 1 barriers, 64 bytes cumulative stack size, 49152 bytes smem\n"
                    "/moec/k.cu(3): error: identifier \"y\" is undefined\n    y = 1;\n    ^\n\n";
  auto functions = usageFrom(log);
  ASSERT_EQ(functions.size(), 1u);
  EXPECT_EQ(functions[0].registers, 255);
  EXPECT_EQ(functions[0].spillBytes, 132);
  EXPECT_EQ(functions[0].stackBytes, 64);
  EXPECT_EQ(functions[0].sharedBytes, 49152);
  EXPECT_EQ(messagesFrom(log, {"sub/k.cu", "", ""}, ""), "sub/k.cu:3: error: identifier \"y\" is undefined\n    y = 1;\n    ^\n"
                                                         "sub/k.cu:7: warning #177-D: variable \"x\" was declared but never referenced");
}

} // namespace

} // namespace moec::codegen::cuda
