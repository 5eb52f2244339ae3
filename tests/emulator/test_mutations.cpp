// Kernels that are right, with one statement of their PTX mutated (tests/mutations/Mutants.h): the checks or the result must tell. Sizes are such that every
// part of an unrolled loop runs. Prints the kill rate.

#include "tests/emulator/Harness.h"
#include "tests/mutations/Mutants.h"

namespace moec::emulator::test {
namespace {

struct Subject {
  std::string name, text;
  unsigned grid, block;
  int n;
  size_t outputs;
};

// Every kernel takes (const float* in, float* out, int* count, int n); in has 2048 floats, count one zero.
const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = {
      {"TiledProduct", R"(
extern "C" __global__ void k(const float* in, float* out, int* count, int n) {
  __shared__ float a[256]; __shared__ float b[256];
  int x = TID & 15, y = TID >> 4;
  float sum = 0;
  for (int base = 0; base < n; base += 16) {
    a[y * 16 + x] = base + x < n ? in[y * n + base + x] : 0.0f;
    b[y * 16 + x] = base + y < n ? in[(base + y) * 16 + x] : 0.0f;
    SYNC();
    for (int i = 0; i < 16; ++i) sum += a[y * 16 + i] * b[i * 16 + x];
    SYNC();
  }
  out[TID] = sum;
})",
       1, 256, 37, 256},
      {"BlockSum", R"(
extern "C" __global__ void k(const float* in, float* out, int* count, int n) {
  __shared__ int part[8];
  int total = 0;
  for (int i = BID * THREADS + TID; i < n; i += BLOCKS * THREADS) total += (int)in[i];
  for (int by = 16; by; by >>= 1) total += SHFL_XOR(0xffffffffu, total, by);
  if ((TID & 31) == 0) part[TID >> 5] = total;
  SYNC();
  if (TID == 0) { int all = 0; for (int w = 0; w < 8; ++w) all += part[w]; out[BID] = (float)all; }
})",
       1, 256, 1900, 1},
      {"TwoStageCopies", R"(
__device__ void copy16(unsigned to, const float* from) { asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(from) : "memory"); }
extern "C" __global__ void k(const float* in, float* out, int* count, int n) {
  __shared__ __attribute__((aligned(16))) float buffer[2][256];
  unsigned base;
  asm volatile("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(base) : "l"((const void*)&buffer[0][0]));
  copy16(base + TID * 16, in + TID * 4);
  asm volatile("cp.async.commit_group;" ::: "memory");
  float sum = 0;
  for (int c = 0; c < n; ++c) {
    if (c + 1 < n) copy16(base + ((c + 1) & 1) * 1024 + TID * 16, in + (c + 1) * 256 + TID * 4);
    asm volatile("cp.async.commit_group;\n cp.async.wait_group 1;" ::: "memory");
    SYNC();
    for (int i = 0; i < 4; ++i) sum += buffer[c & 1][(TID * 4 + 68 + i) & 255];
    SYNC();
  }
  out[TID] = sum;
})",
       1, 64, 7, 64},
      {"LastBlock", R"(
extern "C" __global__ void k(const float* in, float* out, int* count, int n) {
  __shared__ int isLast;
  if (TID == 0) {
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += in[BID * n + i];
    out[BID] = sum;
    FENCE();
    isLast = ATOMIC_ADD(count, 1) == BLOCKS - 1;
  }
  SYNC();
  if (isLast && TID == 32) {
    float sum = 0;
    for (int b = 0; b < BLOCKS; ++b) sum += out[b];
    out[BLOCKS] = sum;
  }
})",
       31, 64, 31, 32},
      {"BoundedStream", R"(
extern "C" __global__ void k(const float* in, float* out, int* count, int n) {
  int i = BID * THREADS + TID;
  if (i < n) out[i] = 2.0f * in[i] + 1.0f;
})",
       3, 128, 300, 300},
  };
  return all;
}

struct Outcome {
  bool loaded, clean;
  std::vector<float> out;
};

Outcome run(const Subject& subject, const std::string& target, const std::string& ptx) {
  Device device(target);
  Options options;
  options.maxInstructions = 2'000'000;
  device.emulator().setOptions(options);
  std::vector<float> in(2048);
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = float((i * 37) % 101) - 50.0f;
  auto input = device.upload(in), output = device.allocate(subject.outputs * 4), count = device.upload(std::vector<int>(1));
  cuda::Module module = nullptr;
  cuda::Function kernel = nullptr;
  if (device.table().moduleLoadData(&module, ptx.c_str(), 0, nullptr, nullptr) != cuda::kSuccess)
    return {false, false, {}};
  device.table().moduleGetFunction(&kernel, module, "k");
  bool clean = device.launch(kernel, subject.grid, subject.block, 0, input, output, count, subject.n) == cuda::kSuccess;
  Outcome outcome{true, clean, device.download<float>(output, subject.outputs)};
  device.table().moduleUnload(module);
  return outcome;
}

class Mutations : public testing::TestWithParam<Producer> {};

TEST_P(Mutations, AreFound) {
  size_t total = 0, killed = 0;
  for (const Subject& subject : subjects()) {
    std::string problem, ptx = compile(GetParam(), subject.text, &problem);
    if (!problem.empty())
      GTEST_SKIP() << "[SKIP] " << problem;
    Outcome good = run(subject, GetParam().target, ptx);
    ASSERT_TRUE(good.clean) << subject.name << ": " << Emulator::of(GetParam().target)->lastError();
    for (const mutations::Mutant& mutant : mutations::mutantsOf(ptx)) {
      // Elsewhere guards are of loops that run no turn, and of sums that are the same for all threads. First values are given on paths that no size here takes.
      if ((mutant.kind == mutations::Class::Bound && subject.name != "BoundedStream") || mutant.kind == mutations::Class::Init)
        continue;
      Outcome outcome = run(subject, GetParam().target, mutations::apply(ptx, mutant.edit));
      ASSERT_TRUE(outcome.loaded) << mutant.instruction;
      ++total;
      bool dead = !outcome.clean || outcome.out != good.out;
      killed += dead;
      EXPECT_TRUE(dead) << subject.name << " survives: line " << mutant.line << ": " << mutant.instruction << ": " << nameOf(mutant.kind) << " "
                        << mutant.change;
    }
  }
  RecordProperty("killed", int(killed));
  std::printf("%s: %zu of %zu mutants found\n", GetParam().name.c_str(), killed, total);
  EXPECT_GT(total, 10u);
}

INSTANTIATE_TEST_SUITE_P(All, Mutations, testing::ValuesIn(producers()), [](const auto& info) { return info.param.name; });

} // namespace
} // namespace moec::emulator::test
