// Each planted fault is found, at its CUDA line, and the same kernel without the fault is clean.

#include "tests/emulator/Harness.h"

#include <algorithm>
#include <fmt/format.h>

namespace moec::emulator::test {
namespace {

using Kind = Finding::Kind;

struct Fault {
  std::string name;
  Kind kind;
  std::string text; // one line holds FAULT; GOOD lines stand in a version without it
  std::string good; // replaces the line that holds FAULT
  unsigned grid, block;
  std::string also = {}; // another mark where a finding of this kind may stand as well
};

// Every kernel takes (const float* in, float* out, int n): 256 floats each, n = 256; out has room for exactly 256.
const std::vector<Fault>& faults() {
  static const std::vector<Fault> all = {
      {"MissingBarrier", Kind::Race, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ float s[256];
  s[TID] = in[TID];
  // BARRIER
  out[TID] = s[(TID + 32) & 255]; // FAULT
})",
       "SYNC(); out[TID] = s[(TID + 32) & 255];", 1, 256},
      {"MissingBarrierBetweenIterations", Kind::Race, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ float s[256];
  float sum = 0;
  for (int i = 0; i < 4; ++i) {
    s[TID] = in[TID] + (float)i; // WRITE
    SYNC();
    sum += s[255 - TID];
    // FAULT
  }
  out[TID] = sum;
})",
       "SYNC();", 1, 256, "// WRITE"},
      {"MissingWarpBarrier", Kind::Race, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ float s[256];
  s[TID] = in[TID];
  out[TID] = s[TID ^ 1]; // FAULT
})",
       "SYNCWARP(); out[TID] = s[TID ^ 1];", 1, 256},
      {"OffByOne", Kind::OutOfBounds, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  int i = BID * THREADS + TID;
  if (i <= n) out[i] = 1.0f; // FAULT
})",
       "if (i < n) out[i] = 1.0f;", 2, 192},
      {"ReadBeforeTheBuffer", Kind::OutOfBounds, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  out[TID] = in[TID - 1]; // FAULT
})",
       "out[TID] = in[TID];", 1, 256},
      {"SharedOffByOne", Kind::OutOfBounds, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ float s[128];
  __shared__ float t[128];
  if (TID < 128) t[TID] = in[TID];
  if (TID <= 128) s[TID] = in[TID]; // FAULT
  SYNC();
  if (TID < 128) out[TID] = s[127 - TID] + t[127 - TID];
})",
       "if (TID < 128) s[TID] = in[TID];", 1, 256},
      {"WrongShuffleMask", Kind::DivergentSync, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  int v = (int)in[TID];
  if ((TID & 31) < 16)
    v = SHFL_XOR(0xffffffffu, v, 1); // FAULT
  out[TID] = (float)v;
})",
       "v = SHFL_XOR(0x0000ffffu, v, 1);", 1, 256},
      {"ShuffleFromOutside", Kind::BadShuffle, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  int v = (int)in[TID];
  if ((TID & 31) < 16)
    v = SHFL_DOWN(0x0000ffffu, v, 8); // FAULT
  out[TID] = (float)v;
})",
       "v = SHFL_XOR(0x0000ffffu, v, 8);", 1, 256},
      {"UninitialisedShared", Kind::Uninitialised, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ float s[256];
  if (TID != 77) s[TID] = in[TID];
  // INIT
  SYNC();
  out[TID] = s[255 - TID]; // FAULT
})",
       "out[TID] = TID == 255 - 77 ? 0.0f : s[255 - TID];", 1, 256},
      {"UninitialisedGlobal", Kind::Uninitialised, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  out[TID] += in[TID]; // FAULT
})",
       "out[TID] = in[TID];", 1, 256},
      {"DivergentBarrierInWarp", Kind::DivergentBarrier, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ float s[256];
  s[TID] = in[TID];
  if ((TID & 31) < 20)
    SYNC(); // FAULT
  out[TID] = s[TID];
})",
       ";", 1, 256},
      {"DivergentBarrierBetweenWarps", Kind::DivergentBarrier, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ float s[256];
  s[TID] = in[TID];
  if (TID < 64)
    SYNC(); // FAULT
  s[TID] += 1.0f;
  SYNC(); // SECOND
  out[TID] = s[TID];
})",
       ";", 1, 256, "// SECOND"},
      {"RaceBetweenBlocks", Kind::Race, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  if (TID == 0) out[BID] = in[BID];
  if (TID == 1 && BID > 0) out[BID + 20] = out[BID - 1]; // FAULT
})",
       "if (TID == 1 && BID > 0) out[BID + 20] = in[BID - 1];", 8, 32, "out[BID] = in[BID];"},
      {"TwoBlocksWriteOnePlace", Kind::Race, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  out[TID] = in[TID] + (float)BID; // FAULT
})",
       "out[TID + BID * 32] = in[TID] + (float)BID;", 4, 32},
      {"MissingFenceBeforeAtomic", Kind::Race, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  if (TID == 0) {
    out[BID] = in[BID];
    // FAULT
    int mine = ATOMIC_ADD((int*)out + 100, 1);
    if (mine >= BLOCKS - 1 + 0x40000000) { float sum = 0; for (int b = 0; b < BLOCKS; ++b) sum += out[b]; out[101] = sum; } // READ
  }
})",
       "FENCE();", 4, 32, "// READ"},
      {"MissingCopyWait", Kind::PendingCopy, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ __attribute__((aligned(16))) float s[256];
  unsigned to;
  asm volatile("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(to) : "l"((const void*)&s[TID]));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n cp.async.commit_group;" :: "r"(to), "l"(in + TID) : "memory");
  // WAIT
  SYNC();
  out[TID] = s[255 - TID]; // FAULT
})",
       "asm volatile(\"cp.async.wait_all;\" ::: \"memory\"); SYNC(); out[TID] = s[255 - TID];", 1, 256},
      {"WaitOffByOne", Kind::PendingCopy, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  __shared__ __attribute__((aligned(16))) float s[256];
  unsigned to;
  asm volatile("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(to) : "l"((const void*)&s[TID]));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n cp.async.commit_group;\n cp.async.wait_group 1;" :: "r"(to), "l"(in + TID) : "memory");
  SYNC();
  out[TID] = s[255 - TID]; // FAULT
})",
       "asm volatile(\"cp.async.wait_group 0;\" ::: \"memory\"); SYNC(); out[TID] = s[255 - TID];", 1, 256},
      {"Misaligned", Kind::Misaligned, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  *(double*)(out + TID * 2 + (n & 1)) = 1.0;
  *(double*)(out + TID * 2 + 1) = 2.0; // FAULT
})",
       ";", 1, 64},
      {"UninitialisedLocal", Kind::Uninitialised, R"(
extern "C" __global__ void k(const float* in, float* out, int n) {
  volatile float t[8];
  for (int i = 0; i < 7; ++i) t[(i + n) & 7] = in[i];
  out[TID] = t[TID & 7]; // FAULT
})",
       "out[TID] = t[(TID % 7 + n) & 7];", 1, 64},
  };
  return all;
}

struct Case {
  Fault fault;
  Producer producer;
};

class PlantedFaults : public testing::TestWithParam<Case> {};

std::string replaceFaultLine(const std::string& text, const std::string& with) {
  size_t at = text.find("FAULT"), begin = text.rfind('\n', at) + 1, end = text.find('\n', at);
  return text.substr(0, begin) + with + text.substr(end);
}

/// Runs the kernel and gives back the findings.
std::vector<Finding> run(const std::string& target, const std::string& ptx, const Fault& fault, cuda::Result* result) {
  Device device(target);
  std::vector<float> in(256);
  for (int i = 0; i < 256; ++i)
    in[size_t(i)] = float(i);
  auto input = device.upload(in), output = device.allocate(256 * 4);
  if (fault.name == "MissingFenceBeforeAtomic") { // its counter is in the output
    int start = 0x40000000;
    device.table().copyToDevice(output + 400, &start, 4);
  }
  cuda::Function kernel = device.load(ptx, "k");
  if (!kernel)
    return {};
  *result = device.launch(kernel, fault.grid, fault.block, 0, input, output, 256);
  return device.emulator().findings();
}

TEST_P(PlantedFaults, IsFoundAtItsLine) {
  const auto& [fault, producer] = GetParam();
  std::string problem, ptx = compile(producer, fault.text, &problem);
  if (!problem.empty())
    GTEST_SKIP() << "[SKIP] " << problem;
  cuda::Result result = cuda::kSuccess;
  std::vector<Finding> findings = run(producer.target, ptx, fault, &result);
  std::vector<int> lines = {lineOf(fault.text, "FAULT")};
  if (!fault.also.empty())
    lines.push_back(lineOf(fault.text, fault.also));
  bool found = false;
  std::string all;
  for (const Finding& finding : findings) {
    all += finding.text() + "\n";
    found |= finding.kind == fault.kind && std::count(lines.begin(), lines.end(), finding.sourceLine) && finding.file.find("kernel.cu") != std::string::npos;
  }
  EXPECT_TRUE(found) << "expected " << nameOf(fault.kind) << " at line " << lines[0] << ", found:\n" << all << ptx;
  EXPECT_NE(result, cuda::kSuccess);
}

TEST_P(PlantedFaults, IsCleanWithoutTheFault) {
  const auto& [fault, producer] = GetParam();
  std::string problem, ptx = compile(producer, replaceFaultLine(fault.text, fault.good), &problem);
  if (!problem.empty())
    GTEST_SKIP() << "[SKIP] " << problem;
  cuda::Result result = cuda::kSuccess;
  for (const Finding& finding : run(producer.target, ptx, fault, &result))
    ADD_FAILURE() << finding.text();
  EXPECT_EQ(result, cuda::kSuccess);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Fault& fault : faults())
    for (const Producer& producer : producers())
      if (producer.name == "clang_sm_80" || producer.name == "nvrtc_sm_90a" || producer.name == "nvrtc_sm_120")
        all.push_back({fault, producer});
  return all;
}

/// The second buffer is 512 bytes behind the first: what is read and written through the first one's pointer must not reach it.
TEST(RejectedAccesses, ofAWholeWarpMoveNothing) {
  Device device("sm_80");
  std::vector<float> start(256, 7);
  auto memory = device.allocate(1024);
  device.emulator().registerBuffer(memory, 128, "first");
  device.emulator().registerBuffer(memory + 512, 128, "second");
  device.table().copyToDevice(memory, start.data(), 128);
  device.table().copyToDevice(memory + 512, start.data(), 128);
  cuda::Function kernel = device.load(R"(
.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 first)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<4>;
  .reg .f32 %f<2>;
  ld.param.u64 %rd1, [first];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd2, %r1, 4;
  add.s64 %rd3, %rd1, %rd2;
  ld.global.f32 %f1, [%rd3+512];
  st.global.f32 [%rd3], %f1;
  st.global.f32 [%rd3+512], %f1;
  ret;
})",
                                      "k");
  ASSERT_TRUE(kernel);
  EXPECT_NE(device.launch(kernel, 1, 32, 0, memory), cuda::kSuccess);
  EXPECT_EQ(device.emulator().findings().size(), 2u);
  EXPECT_EQ(device.download<float>(memory, 32), std::vector<float>(32, 0)); // a rejected load gives 0
  EXPECT_EQ(device.download<float>(memory + 512, 32), std::vector<float>(32, 7));
}

/// Block 0 writes a value, then raises a flag that block 1 waits for with `load`.
size_t findingsOfAFlag(const std::string& load) {
  Device device("sm_80");
  auto value = device.allocate(4), flag = device.upload(std::vector<uint32_t>{0}), out = device.allocate(4);
  cuda::Function kernel = device.load(R"(
.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 value, .param .u64 flag, .param .u64 out)
{
  .reg .pred %p<2>;
  .reg .b32 %r<4>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [value];
  ld.param.u64 %rd2, [flag];
  ld.param.u64 %rd3, [out];
  mov.u32 %r1, %ctaid.x;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra WAIT;
  st.global.u32 [%rd1], 7;
  fence.acq_rel.gpu;
  atom.global.exch.b32 %r2, [%rd2], 1;
  ret;
WAIT:
  )" + load + R"( %r2, [%rd2];
  setp.eq.u32 %p1, %r2, 0;
  @%p1 bra WAIT;
  ld.global.u32 %r3, [%rd1];
  st.global.u32 [%rd3], %r3;
  ret;
})",
                                      "k");
  bool clean = device.launch(kernel, 2, 1, 0, value, flag, out) == cuda::kSuccess;
  size_t findings = device.emulator().findings().size();
  EXPECT_EQ(clean, findings == 0);
  EXPECT_EQ(device.download<uint32_t>(out, 1)[0], 7u);
  return findings;
}

TEST(Flags, anOrderedLoadSeesWhatStoodBeforeTheFlag) {
  for (const char* load : {"ld.acquire.gpu.global.u32", "ld.volatile.global.u32", "ld.relaxed.gpu.global.u32"})
    EXPECT_EQ(findingsOfAFlag(load), 0u) << load;
  EXPECT_GT(findingsOfAFlag("ld.global.u32"), 0u);
}

const char* const kHeader = R"(
.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p, .param .u32 n)
{
  .reg .pred %p<4>;
  .reg .b32 %r<8>;
  .reg .b64 %d<8>;
  .shared .align 16 .b8 tile[1024];
  ld.param.u64 %d1, [p];
  ld.param.u32 %r1, [n];
  mov.u32 %r2, %tid.x;
)"; // 13 lines

/// The findings of one block of 32 threads that runs `body` after the header's loads.
std::vector<Finding> findingsOf(Device& device, const std::string& body, cuda::DevicePtr p, uint32_t n, unsigned threads = 32) {
  device.emulator().clearFindings();
  if (cuda::Function kernel = device.load(kHeader + body + "\n  ret;\n}\n", "k"))
    device.launch(kernel, 1, threads, 0, p, n);
  return device.emulator().findings();
}

TEST(Guards, mustHaveBeenWritten) {
  Device device("sm_80");
  auto memory = device.allocate(128);
  for (const char* guarded :
       {"@%p1 bra DONE;", "@!%p1 bra DONE;", "@%p1 st.global.u32 [%d1], %r2;", "@%p1 mov.u32 %r3, 1;", "@%p1 bar.sync 0;", "@%p1 exit;"}) {
    std::vector<Finding> findings = findingsOf(device, std::string(guarded) + "\nDONE:", memory, 0);
    ASSERT_EQ(findings.size(), 1u) << guarded;
    EXPECT_EQ(findings[0].kind, Kind::Uninitialised) << findings[0].text();
    EXPECT_EQ(findings[0].ptxLine, 14) << findings[0].text();
    EXPECT_EQ(findings[0].times, 1u);
    EXPECT_EQ(findings[0].detail, "reads register %p1, which nothing has written");
  }
}

/// Lanes 8 and up have no %p1: it is theirs to miss even where the guard of the others lets nobody pass.
TEST(Guards, areReadByEveryLaneThatIsThere) {
  Device device("sm_80");
  auto memory = device.allocate(128);
  std::string body = "setp.lt.u32 %p2, %r2, 8;\n@%p2 setp.eq.u32 %p1, %r2, 99;\n@%p1 st.global.u32 [%d1], %r2;";
  EXPECT_TRUE(findingsOf(device, body, memory, 0, 8).empty());
  std::vector<Finding> findings = findingsOf(device, body, memory, 0, 32);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].thread[0], 8u);
  EXPECT_EQ(findings[0].ptxLine, 16);
  std::string selected = "setp.lt.u32 %p2, %r2, 8;\n@%p2 setp.eq.u32 %p1, %r2, 99;\n@%p2 selp.u32 %r3, 1, 2, %p1;"; // an operand is read under the guard only
  EXPECT_TRUE(findingsOf(device, selected, memory, 0, 32).empty());
}

/// Lane 0 copies `n` bytes, the rest of `size` are zero.
std::string partialCopy(int size, int offset) {
  return fmt::format(
      "setp.ne.u32 %p1, %r2, 0;\n@%p1 bra DONE;\nmov.u32 %r3, tile;\ncp.async.{}.shared.global [%r3], [%d1+{}], {}, %r1;\ncp.async.wait_all;\nDONE:",
      size == 16 ? "cg" : "ca", offset, size);
}

TEST(PartialCopies, areCheckedByAllBytesTheyRead) {
  Device device("sm_80");
  auto memory = device.upload(std::vector<uint32_t>{1, 2, 3, 4, 5});
  EXPECT_TRUE(findingsOf(device, partialCopy(16, 16), memory, 4).empty());
  EXPECT_TRUE(findingsOf(device, partialCopy(16, 64), memory, 0).empty()); // reads nothing
  for (uint32_t n : {5u, 6u, 8u, 15u}) {
    std::vector<Finding> findings = findingsOf(device, partialCopy(16, 16), memory, n);
    ASSERT_EQ(findings.size(), 1u) << n;
    EXPECT_EQ(findings[0].kind, Kind::OutOfBounds) << findings[0].text();
    EXPECT_EQ(findings[0].ptxLine, 17);
  }
  EXPECT_EQ(findingsOf(device, partialCopy(8, 24), memory, 1).at(0).kind, Kind::OutOfBounds);
  EXPECT_EQ(findingsOf(device, partialCopy(8, 12), memory, 4).at(0).kind, Kind::Misaligned);
}

TEST(PartialCopies, findBytesNeverWritten) {
  Device device("sm_80");
  auto memory = device.allocate(32);
  std::vector<uint8_t> start(7, 1);
  device.table().copyToDevice(memory, start.data(), start.size());
  EXPECT_TRUE(findingsOf(device, partialCopy(16, 0), memory, 7).empty());
  std::vector<Finding> findings = findingsOf(device, partialCopy(16, 0), memory, 8);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].kind, Kind::Uninitialised);
  EXPECT_EQ(findingsOf(device, partialCopy(8, 0), memory, 7).size(), 0u);
}

TEST(PartialCopies, copyNoMoreThanTheCopyHas) {
  Device device("sm_80");
  auto memory = device.upload(std::vector<uint32_t>(16));
  EXPECT_TRUE(findingsOf(device, partialCopy(16, 0), memory, 16).empty());
  std::vector<Finding> findings = findingsOf(device, partialCopy(16, 0), memory, 17);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].detail, "src-size is 17, the copy has 16 bytes");
}

/// Lanes of every size at once: each gets its bytes and zeros behind them, and one sector is counted once.
TEST(PartialCopies, bringWhatTheyRead) {
  Device device("sm_80");
  std::vector<uint8_t> start(1024);
  for (size_t i = 0; i < start.size(); ++i)
    start[i] = uint8_t(i % 251 + 1);
  auto memory = device.upload(start);
  std::string body = "mov.u32 %r3, tile;\nshl.b32 %r4, %r2, 4;\nadd.u32 %r3, %r3, %r4;\ncvt.u64.u32 %d2, %r4;\nadd.u64 %d2, %d1, %d2;\nmin.u32 %r5, %r2, 16;\n"
                     "cp.async.cg.shared.global [%r3], [%d2], 16, %r5;\ncp.async.wait_all;\n"
                     "ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r3];\nst.global.v4.u32 [%d2+512], {%r4, %r5, %r6, %r7};";
  ASSERT_TRUE(findingsOf(device, body, memory, 0).empty()) << device.emulator().lastError();
  std::vector<uint8_t> out = device.download<uint8_t>(memory, 1024);
  for (size_t i = 0; i < 512; ++i)
    EXPECT_EQ(out[512 + i], i % 16 < i / 16 ? start[i] : 0) << i;
  const std::vector<KernelCounters> counters = device.emulator().counters();
  ASSERT_EQ(counters.size(), 1u);
  for (const AccessCounters& access : counters[0].accesses)
    if (access.instruction.find("cp.async.cg") == 0) {
      EXPECT_EQ(access.bytes, 120u + 16 * 16 + 512); // lanes 1 to 15, the others, and the writes
      EXPECT_LE(access.sectors, 24u);                // half a sector by each lane; lanes of different sizes meet in some
    }
}

TEST(Barriers, haveNumbersAndCountsThatExist) {
  Device device("sm_80");
  auto memory = device.allocate(128);
  EXPECT_TRUE(findingsOf(device, "barrier.sync %r1;", memory, 15).empty());
  EXPECT_TRUE(findingsOf(device, "bar.sync 3, %r1;", memory, 32).empty());
  for (const auto& [body, n] :
       {std::pair{"bar.sync %r1;", 16u}, {"bar.sync %r1;", 99u}, {"bar.sync 3, %r1;", 0u}, {"barrier.sync 3, %r1;", 33u}, {"bar.arrive 3, %r1;", 40u}}) {
    std::vector<Finding> findings = findingsOf(device, body, memory, n);
    ASSERT_EQ(findings.size(), 1u) << body << n;
    EXPECT_EQ(findings[0].kind, Kind::DivergentBarrier);
    EXPECT_EQ(findings[0].ptxLine, 14);
    EXPECT_NE(findings[0].detail.find(std::to_string(n)), std::string::npos) << findings[0].text();
  }
}

TEST(Stores, ofOneValueToOnePlaceAreNoRaceAmongThemselves) {
  Device device("sm_80");
  auto memory = device.allocate(128);
  EXPECT_TRUE(findingsOf(device, "st.global.u32 [%d1], %r1;\nst.shared.u32 [tile], %r1;", memory, 7, 128).empty());
  std::vector<Finding> findings = findingsOf(device, "st.global.u32 [%d1], %r2;\nst.shared.u32 [tile], %r2;", memory, 7, 128);
  ASSERT_EQ(findings.size(), 2u);
  for (const Finding& finding : findings)
    EXPECT_EQ(finding.kind, Kind::Race) << finding.text();
}

TEST(NullPointers, areCalledSo) {
  Device device("sm_80");
  auto memory = device.allocate(128);
  for (const char* body : {"st.global.u32 [%d1], %r2;", "ld.global.u32 %r3, [%d1+4096];", "st.u32 [%d1], %r2;"}) {
    std::vector<Finding> findings = findingsOf(device, body, 0, 0);
    ASSERT_EQ(findings.size(), 1u) << body;
    EXPECT_EQ(findings[0].kind, Kind::OutOfBounds);
    EXPECT_NE(findings[0].detail.find("a null pointer"), std::string::npos) << findings[0].text();
    EXPECT_EQ(findings[0].detail.find("before buffer"), std::string::npos) << findings[0].text();
  }
  std::vector<Finding> before = findingsOf(device, "ld.global.u32 %r3, [%d1+-4];", memory, 0); // of a pointer that is none
  ASSERT_EQ(before.size(), 1u);
  EXPECT_NE(before[0].detail.find("4 bytes before buffer"), std::string::npos) << before[0].text();
  std::vector<uint8_t> big(100'000);
  EXPECT_NE(device.table().copyToDevice(0, big.data(), big.size()), cuda::kSuccess);
  EXPECT_NE(device.emulator().lastError().find("a null pointer"), std::string::npos) << device.emulator().lastError();
}

INSTANTIATE_TEST_SUITE_P(All, PlantedFaults, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.fault.name + "_" + info.param.producer.name; });

} // namespace
} // namespace moec::emulator::test
