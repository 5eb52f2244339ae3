// Owner of the CUDA device, over the emulator's table: parameters of launches, memory, rebinding, what is said when something lacks, and findings by the
// names of the plan's buffers.

#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/Session.h"
#include "runtime/device/cuda/Driver.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyCudaProgram.h"
#include "tests/runtime/TinyProgram.h"

#include <cstring>
#include <thread>

namespace moec {
namespace {

constexpr const char* kDevice = "ptx-emulator:sm_80";

Tensor someWeights() { return Tensor::of<float>({0.5f, 1, 1.5f, 2, -1, 3, 0.25f, 1}, {kTinyWidth}); }

std::unique_ptr<Session> session(const std::vector<PtxChange>& changes = {}, DeviceOptions options = {.threads = 2}) {
  auto made = std::make_unique<Session>(Program(tinyCudaProgramData(changes)), kDevice, options);
  made->load({{"w", someWeights()}});
  return made;
}

void expectAnswer(Session& session, int64_t tokens, uint64_t seed, uint32_t step) {
  Tensor x = tinyTokens(tokens, seed);
  TensorMap outputs = session.run({{"x", x}}, {.seed = seed, .step = step});
  TinyAnswer expected = tinyAnswer(x, someWeights(), seed, step);
  ASSERT_EQ(outputs.at("y").shape(), (Shape{tokens, kTinyWidth}));
  for (size_t i = 0; i < expected.y.size(); ++i)
    ASSERT_EQ(outputs.at("y").as<float>()[i], expected.y[i]) << "element " << i << " of " << tokens << " tokens";
  EXPECT_EQ(outputs.at("total").as<double>()[0], expected.total);
}

TEST(CudaDevice, ComputesWhatPlainLoopsDo) {
  for (int64_t tokens : {1, 2, 15, 16, 17, 100})
    expectAnswer(*session(), tokens, 5, 6);
}

TEST(CudaDevice, SeedAndStepReachTheKernels) {
  auto one = session();
  expectAnswer(*one, 9, 0x123456789abcdef0u, 0xfedcba98u);
  expectAnswer(*one, 9, 1, 0);
}

TEST(CudaDevice, RebindsToOtherSizes) {
  auto one = session();
  for (int64_t tokens : {40, 3, 40, 90, 90, 1})
    expectAnswer(*one, tokens, 7, 8);
}

TEST(CudaDevice, TwoSessionsAtOnce) {
  auto work = [](uint64_t seed) {
    auto one = session({}, {.threads = 1});
    for (int64_t tokens : {17, 5, 33})
      expectAnswer(*one, tokens, seed, 1);
  };
  std::thread other(work, 11);
  work(12);
  other.join();
}

TEST(CudaDevice, FindingsStayInTheirSession) {
  auto wrong = [] {
    auto bad = session({{"{up}", "  st.global.f32 [%at+4], %f0;"}}, {.threads = 1});
    for (int i = 0; i < 5; ++i)
      EXPECT_FAULT(bad->run({{"x", Tensor(DType::F32, {20, kTinyWidth})}}), Fault::Mismatch, "out of bounds"); // zeros: every row is kept
  };
  std::thread other(wrong);
  auto right = session({}, {.threads = 1});
  for (int i = 0; i < 5; ++i)
    expectAnswer(*right, 20, 3, 4);
  other.join();
}

TEST(CudaDevice, ReadsWhatARaggedKernelLeftUnwritten) {
  auto one = session();
  expectAnswer(*one, 50, 4, 0);
  EXPECT_EQ(one->executable().read(3).shape(), (Shape{50, kTinyWidth})); // rows: those behind the last kept one hold nothing
}

TEST(CudaDevice, ServesTheStepsOneByOne) { // as the check device does: written temporaries, launches again
  auto executable = openDevice(kDevice)->load(Program(tinyCudaProgramData()));
  Tensor x = tinyTokens(24, 2);
  executable->write(1, someWeights());
  executable->releaseUnusedParameters();
  executable->bind({{"T", 24}});
  executable->write(0, x);
  for (int i = 0; i < 3; ++i)
    executable->launch(LaunchList::Forward, i, {5, 6});
  Tensor y = executable->read(4), routing = executable->read(2), rows = executable->read(3);
  executable->write(3, rows);
  executable->write(2, routing);
  executable->launch(LaunchList::Forward, 2, {5, 6}); // alone, from what was written
  EXPECT_EQ(std::memcmp(executable->read(4).data(), y.data(), y.bytes()), 0);
  executable->launch(LaunchList::Forward, 0, {5, 6});
  EXPECT_FAULT(executable->launch(LaunchList::Forward, 2, {5, 6}), Fault::Mismatch, "uninitialised read"); // nobody made its rows in this call
}

//--- findings ---

TEST(CudaDevice, AnAccessOutOfBoundsNamesBufferLaunchAndLine) {
  auto bad = session({{"{up}", "  st.global.f32 [%at+4], %f0;"}});
  Tensor x(DType::F32, {16, kTinyWidth}); // all zero: every row is kept, the last store is past the end
  Thrown thrown = thrownBy([&] { bad->run({{"x", x}}); });
  ASSERT_TRUE(thrown.thrown);
  EXPECT_EQ(thrown.fault, Fault::Mismatch);
  for (const char* part : {"ptx-emulator:sm_80: forward launch 1, experts (expert_up) does what it must not:", "tiny_up_0 at tiny.cu:2 (ptx line",
                           "out of bounds", "0 bytes past the end of buffer 'rows' (512 bytes); the pointer belongs to buffer 'rows' (512 bytes)",
                           "block (15,0,0) thread (7,0,0)", "\n    2 | rows[r][d] = x[token][d] * 2 * w[d] * scale;"})
    EXPECT_TRUE(thrown.says(part)) << thrown.message << "\n  lacks: " << part;
  EXPECT_FAULT(bad->run({{"x", x}}), Fault::Mismatch, "'rows' (512 bytes)"); // again, and the session lives on
}

TEST(CudaDevice, AWorkspaceThatNobodyFilledIsFoundInEveryCall) {
  auto bad = session({{"{sums}", "  "}});
  for (int call = 0; call < 2; ++call) {
    Thrown thrown = thrownBy([&] { bad->run({{"x", tinyTokens(40, 1)}}); });
    EXPECT_TRUE(thrown.says("forward launch 2, experts (expert_down)")) << thrown.message;
    EXPECT_TRUE(thrown.says("uninitialised read")) << thrown.message;
    EXPECT_TRUE(thrown.says("buffer 'sums'")) << thrown.message;
  }
}

TEST(CudaDevice, WhatAnEarlierCallLeftIsNotInitialised) {
  auto bad = session({{"{up}", "  @%p1 st.global.f32 [%at], %f0;"}}); // rows of expert 1 are left out
  Tensor first(DType::F32, {8, kTinyWidth});
  for (float& value : first.as<float>())
    value = -1; // all of expert 0: every row is written
  bad->run({{"x", first}});
  EXPECT_FAULT(bad->run({{"x", Tensor(DType::F32, {8, kTinyWidth})}}), Fault::Mismatch, "buffer 'rows'");
}

TEST(CudaDevice, ChecksCanBeOff) {
  auto bad = session({{"{sums}", "  "}}, {.checks = false});
  EXPECT_EQ(bad->run({{"x", tinyTokens(40, 1)}}).size(), 2u);
  EXPECT_FAULT(session({{"{sums}", "  "}})->run({{"x", tinyTokens(40, 1)}}), Fault::Mismatch, "uninitialised"); // another session keeps its own
}

std::string storesOutside(int count, bool ofLinesOfTheirOwn) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += (ofLinesOfTheirOwn ? "  .loc 1 " + std::to_string(i + 10) + " 0\n" : "") + "  st.global.f32 [%at+65536], %f0;\n";
  return text;
}

TEST(CudaDevice, ManyFindingsAreCutAtTen) {
  Thrown thrown = thrownBy([&] { session({{"{up}", storesOutside(12, true)}})->run({{"x", tinyTokens(16, 1)}}); });
  EXPECT_TRUE(thrown.says("tiny.cu:19 (ptx line")) << thrown.message;
  EXPECT_FALSE(thrown.says("tiny.cu:20 (ptx line")) << thrown.message;
  EXPECT_TRUE(thrown.says("\n  and 2 more")) << thrown.message;
}

TEST(CudaDevice, FindingsOfOneLineAreOne) {
  Thrown thrown = thrownBy([&] { session({{"{up}", storesOutside(12, false)}})->run({{"x", tinyTokens(16, 1)}}); });
  EXPECT_TRUE(thrown.says("; and 11 more instructions of this line")) << thrown.message;
  EXPECT_FALSE(thrown.says("\n  and ")) << thrown.message;
}

//--- what lacks ---

TEST(CudaDevice, SaysWhatItIsCompiledFor) {
  auto device = openDevice("ptx-emulator:sm_90a");
  EXPECT_EQ(device->targets(), std::vector<std::string>{"cuda:sm_90a"});
  EXPECT_FAULT(device->load(Program(tinyCudaProgramData())), Fault::Device, "its targets: cuda:sm_80\ncompile it with --target cuda:sm_90a");
  EXPECT_FAULT(openDevice("ptx-emulator:sm_70"), Fault::Usage, "known: ptx-emulator:sm_80, ptx-emulator:sm_90a");
  EXPECT_FAULT(openDevice("cuda"), Fault::Usage, "known:");
  EXPECT_FAULT(openDevice("cuda:-1"), Fault::Usage, "known:");
}

TEST(CudaDevice, EveryMissingPartIsNamed) {
  ProgramData data = tinyCudaProgramData();
  data.plans[0].forward[2].stages[1].grid->function = "tiny_down_2";
  EXPECT_FAULT(openDevice(kDevice)->load(Program(data)), Fault::Data, "kernel tiny_down for cuda:sm_80: its image exports no function tiny_down_2");
  data = tinyCudaProgramData();
  data.kernels.erase("cuda:sm_80/tiny_up");
  EXPECT_FAULT(openDevice(kDevice)->load(Program(data)), Fault::Data, "tiny_up");
  data = tinyCudaProgramData();
  data.kernels["cuda:sm_80/tiny_up"] = {1, 2, 3};
  EXPECT_FAULT(openDevice(kDevice)->load(Program(data)), Fault::Data, "kernel tiny_up for cuda:sm_80");
  data = tinyCudaProgramData();
  data.kernels["cuda:sm_80/tiny_up"] = cudaImage("");
  EXPECT_FAULT(openDevice(kDevice)->load(Program(data)), Fault::Data, "holds no PTX");
  data = tinyCudaProgramData();
  data.kernels["cuda:sm_80/tiny_up"] = cudaImage(".version 7.0\n.target sm_90a\n.address_size 64\n");
  EXPECT_FAULT(openDevice(kDevice)->load(Program(data)), Fault::Device, "the PTX is made for sm_90a");
  data = tinyCudaProgramData();
  data.plans[0].forward[0].stages[0].grid.reset();
  EXPECT_FAULT(openDevice(kDevice)->load(Program(data)), Fault::Data, "gate: stage 0 says no blocks of threads");
}

TEST(CudaDevice, LaunchesNoMoreBlocksThanAGpuTakes) {
  ProgramData data = tinyCudaProgramData();
  data.plans[0].forward[1].stages[0].items = Size::symbol("T") * (int64_t{1} << 30);
  auto executable = openDevice(kDevice)->load(Program(data));
  executable->bind({{"T", 1}});
  executable->write(0, tinyTokens(1, 1));
  EXPECT_FAULT(executable->bind({{"T", 2}}), Fault::Data, "experts: function tiny_up_0 would take 2147483648 blocks");
  executable->launch(LaunchList::Forward, 0, {}); // as bound before
}

TEST(CudaDevice, StagesWithoutItemsAreSkipped) {
  ProgramData data = tinyCudaProgramData();
  for (LaunchInfo& launch : data.plans[0].forward)
    for (StageInfo& stage : launch.stages)
      stage.items = Size::symbol("T") - 1;
  auto executable = openDevice(kDevice)->load(Program(data));
  executable->bind({{"T", 1}});
  for (int i = 0; i < 3; ++i)
    executable->launch(LaunchList::Forward, i, {});
}

TEST(CudaDevice, SharedMemoryIsAskedFor) {
  ProgramData data = tinyCudaProgramData();
  GridInfo& grid = *data.plans[0].forward[1].stages[0].grid;
  grid.sharedBytes = grid.dynamicSharedBytes = 160 * 1024;
  Session session(Program(data), kDevice);
  session.load({{"w", someWeights()}});
  expectAnswer(session, 5, 1, 2);
  grid.sharedBytes = grid.dynamicSharedBytes = 200 * 1024; // sm_80 has 163 KiB
  EXPECT_FAULT(openDevice(kDevice)->load(Program(data)), Fault::Device, "204800 bytes of dynamic shared memory");
}

TEST(CudaDevice, WrongUseIsInternal) {
  auto executable = openDevice(kDevice)->load(Program(tinyCudaProgramData()));
  EXPECT_FAULT(executable->launch(LaunchList::Forward, 0, {}), Fault::Internal, "no sizes are bound");
  EXPECT_FAULT(executable->read(4), Fault::Internal, "cannot read y: it has no memory");
  EXPECT_FAULT(executable->write(1, Tensor(DType::F32, {9})), Fault::Internal, "f32[9] is written to w of f32[8]");
  EXPECT_FAULT(executable->read(99), Fault::Internal, "buffer 99 of 7");
}

TEST(CudaDevice, AMissingDriverIsNamed) {
  std::string problem;
  if (cuda::driverTable(&problem))
    GTEST_SKIP() << "this machine has a CUDA driver";
  EXPECT_FAULT(openDevice("cuda:0"), Fault::Device, "cuda:0: no CUDA driver");
  EXPECT_FAULT(openDevice("cuda:0"), Fault::Device, "without a GPU use the device ptx-emulator:sm_90a");
}

TEST(CudaDevice, AnEmulatorWithoutATargetNamesTheKnown) {
  EXPECT_FAULT(openDevice("ptx-emulator"), Fault::Usage, "is named with what it emulates; known: ptx-emulator:sm_80, ptx-emulator:sm_90a");
  EXPECT_FAULT(openDevice("ptx-emulator:sm_90"), Fault::Usage, "has no \"sm_90\"; known: ptx-emulator:sm_80, ptx-emulator:sm_90a");
}

TEST(CudaDevice, IsListed) {
  std::vector<std::string> names;
  for (const DeviceDescription& device : listDevices()) {
    names.push_back(device.name);
    EXPECT_NE(device.available, !device.reason.empty()) << device.name;
  }
  for (const char* name : {"ptx-emulator:sm_80", "ptx-emulator:sm_90a", "ptx-emulator:sm_100a", "ptx-emulator:sm_120"})
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  EXPECT_TRUE(names[1].starts_with("cuda:"));
}

} // namespace
} // namespace moec
