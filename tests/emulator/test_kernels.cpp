// Kernels compiled by two compilers for four targets give what plain loops give, with all checks on and nothing found.

#include "tests/emulator/Harness.h"

#include <cmath>
#include <numeric>

namespace moec::emulator::test {
namespace {

class Kernels : public testing::TestWithParam<Producer> {
protected:
  /// PTX of the text; skips the test when its producer is not on this machine.
  bool build(const std::string& text) {
    std::string problem;
    ptx_ = compile(GetParam(), text, &problem);
    if (!problem.empty())
      skipped_ = problem;
    return problem.empty();
  }
  void expectClean(Device& device) {
    for (const Finding& finding : device.emulator().findings())
      ADD_FAILURE() << finding.text();
  }
  std::string ptx_, skipped_;
};
#define BUILD_OR_SKIP(text) \
  if (!build(text))         \
  GTEST_SKIP() << "[SKIP] " << skipped_

std::vector<float> ramp(size_t n, float scale) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i)
    values[i] = scale * (float(i % 97) - 48.0f);
  return values;
}

TEST_P(Kernels, VectorAdd) {
  BUILD_OR_SKIP(R"(
extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
  int i = BID * THREADS + TID;
  if (i < n) c[i] = a[i] + b[i];
})");
  Device device(GetParam().target);
  const int n = 1000;
  auto a = ramp(n, 0.37f), b = ramp(n, -1.25f);
  auto pa = device.upload(a), pb = device.upload(b), pc = device.allocate(n * 4);
  ASSERT_EQ(device.launch(device.load(ptx_, "add"), 8, 128, 0, pa, pb, pc, n), cuda::kSuccess) << device.emulator().lastError();
  auto c = device.download<float>(pc, n);
  for (int i = 0; i < n; ++i)
    ASSERT_EQ(c[size_t(i)], a[size_t(i)] + b[size_t(i)]) << i;
  expectClean(device);
  KernelCounters counters = device.emulator().counters().at(0);
  EXPECT_EQ(counters.flops32, 1000u);
  EXPECT_EQ(counters.globalBytesRead, 8000u);
  EXPECT_EQ(counters.globalBytesWritten, 4000u);
  EXPECT_EQ(counters.sectors, counters.idealSectors);
  EXPECT_EQ(counters.sectors, 3 * 125u);
}

TEST_P(Kernels, SharedReductionWithShuffles) {
  BUILD_OR_SKIP(R"(
extern "C" __global__ void sum(const int* x, int* out, int n) {
  __shared__ int part[8];
  int total = 0;
  for (int i = BID * THREADS + TID; i < n; i += BLOCKS * THREADS) total += x[i];
  for (int by = 16; by; by >>= 1) total += SHFL_XOR(0xffffffffu, total, by);
  if ((TID & 31) == 0) part[TID >> 5] = total;
  SYNC();
  if (TID == 0) {
    int all = 0;
    for (int w = 0; w < THREADS / 32; ++w) all += part[w];
    out[BID] = all;
  }
})");
  Device device(GetParam().target);
  std::vector<int> x(5000);
  std::iota(x.begin(), x.end(), -700);
  auto px = device.upload(x), out = device.allocate(3 * 4);
  ASSERT_EQ(device.launch(device.load(ptx_, "sum"), 3, 256, 0, px, out, 5000), cuda::kSuccess) << device.emulator().lastError();
  auto sums = device.download<int>(out, 3);
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), 0), std::accumulate(x.begin(), x.end(), 0));
  expectClean(device);
}

TEST_P(Kernels, TiledMatmulInDynamicSharedMemory) {
  BUILD_OR_SKIP(R"(
extern "C" __global__ void matmul(const float* a, const float* b, float* c, int m, int n, int k) {
  extern __shared__ float tile[];
  float* ta = tile; float* tb = tile + 256;
  int x = TID & 15, y = TID >> 4, blocksPerRow = (n + 15) / 16;
  int row = BID / blocksPerRow * 16 + y, column = BID % blocksPerRow * 16 + x;
  float sum = 0;
  for (int base = 0; base < k; base += 16) {
    ta[y * 16 + x] = row < m && base + x < k ? a[row * k + base + x] : 0.0f;
    tb[y * 16 + x] = base + y < k && column < n ? b[(base + y) * n + column] : 0.0f;
    SYNC();
    for (int i = 0; i < 16; ++i) sum += ta[y * 16 + i] * tb[i * 16 + x];
    SYNC();
  }
  if (row < m && column < n) c[row * n + column] = sum;
})");
  Device device(GetParam().target);
  const int m = 37, n = 29, k = 41;
  auto a = ramp(m * k, 0.25f), b = ramp(k * n, 0.5f); // small integers in quarters: every product and sum is exact
  auto pa = device.upload(a), pb = device.upload(b), pc = device.allocate(m * n * 4);
  ASSERT_EQ(device.launch(device.load(ptx_, "matmul"), 3 * 2, 256, 2048, pa, pb, pc, m, n, k), cuda::kSuccess) << device.emulator().lastError();
  auto c = device.download<float>(pc, m * n);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int l = 0; l < k; ++l)
        sum += double(a[size_t(i * k + l)]) * b[size_t(l * n + j)];
      ASSERT_EQ(c[size_t(i * n + j)], float(sum)) << i << "," << j;
    }
  expectClean(device);
}

TEST_P(Kernels, DivergentLoopsAndSwitch) {
  BUILD_OR_SKIP(R"(
extern "C" __global__ void odd(const int* x, int* y, int n) {
  int i = BID * THREADS + TID;
  if (i >= n) return;
  int v = x[i], steps = 0;
  while (v != 1) { v = v & 1 ? 3 * v + 1 : v >> 1; ++steps; }
  switch (i % 7) {
    case 0: steps += 100; break;
    case 1: steps *= 3; break;
    case 2: steps = -steps; break;
    case 3: for (int j = 0; j < i % 5; ++j) steps += j * x[i]; break;
    case 4: steps ^= 0x55; break;
    case 5: if (steps & 1) steps -= 9; else steps += 11; break;
    default: steps <<= 2;
  }
  y[i] = steps;
})");
  Device device(GetParam().target);
  const int n = 300;
  std::vector<int> x(n);
  std::iota(x.begin(), x.end(), 1);
  auto px = device.upload(x), py = device.allocate(n * 4);
  ASSERT_EQ(device.launch(device.load(ptx_, "odd"), 3, 128, 0, px, py, n), cuda::kSuccess) << device.emulator().lastError();
  auto y = device.download<int>(py, n);
  for (int i = 0; i < n; ++i) {
    int v = x[size_t(i)], steps = 0;
    for (; v != 1; ++steps)
      v = v & 1 ? 3 * v + 1 : v >> 1;
    switch (i % 7) {
    case 0:
      steps += 100;
      break;
    case 1:
      steps *= 3;
      break;
    case 2:
      steps = -steps;
      break;
    case 3:
      for (int j = 0; j < i % 5; ++j)
        steps += j * x[size_t(i)];
      break;
    case 4:
      steps ^= 0x55;
      break;
    case 5:
      steps += steps & 1 ? -9 : 11;
      break;
    default:
      steps *= 4;
    }
    ASSERT_EQ(y[size_t(i)], steps) << i;
  }
  expectClean(device);
}

TEST_P(Kernels, DoublesIntegersAndLocalArrays) {
  BUILD_OR_SKIP(R"(
extern "C" __global__ void mix(const double* x, double* y, long long* z, unsigned char* bytes, int n) {
  int i = BID * THREADS + TID;
  if (i >= n) return;
  int table[8];
  for (int j = 0; j < 8; ++j) table[j] = (i * 7 + j * 3) % 11;
  long long sum = 0;
  for (int j = 0; j < 8; ++j) sum += (long long)table[(i + j * table[j]) & 7] << (j * 4);
  z[i] = sum / (i - 50 == 0 ? 1 : i - 50) + sum % 13;
  y[i] = x[i] * x[i] / (1.0 + x[i]) - (double)(float)x[i] + (double)(int)(x[i] * 10.0);
  bytes[i] = (unsigned char)(i * 5) ^ (unsigned char)(short)(-i);
})");
  Device device(GetParam().target);
  const int n = 100;
  std::vector<double> x(n);
  for (int i = 0; i < n; ++i)
    x[size_t(i)] = 0.125 * i + 0.1;
  auto px = device.upload(x), py = device.allocate(n * 8), pz = device.allocate(n * 8), pb = device.allocate(n);
  ASSERT_EQ(device.launch(device.load(ptx_, "mix"), 1, 128, 0, px, py, pz, pb, n), cuda::kSuccess) << device.emulator().lastError();
  auto y = device.download<double>(py, n);
  auto z = device.download<long long>(pz, n);
  auto bytes = device.download<unsigned char>(pb, n);
  for (int i = 0; i < n; ++i) {
    int table[8];
    for (int j = 0; j < 8; ++j)
      table[j] = (i * 7 + j * 3) % 11;
    long long sum = 0;
    for (int j = 0; j < 8; ++j)
      sum += (long long)table[(i + j * table[j]) & 7] << (j * 4);
    ASSERT_EQ(z[size_t(i)], sum / (i - 50 == 0 ? 1 : i - 50) + sum % 13) << i;
    double v = x[size_t(i)], expected = v * v / (1.0 + v) - double(float(v)) + double(int(v * 10.0));
    ASSERT_NEAR(y[size_t(i)], expected, 4e-15 * std::max(1.0, std::abs(v * 12))) << i; // the compiler may contract to an FMA
    ASSERT_EQ(bytes[size_t(i)], (unsigned char)(i * 5) ^ (unsigned char)(short)(-i)) << i;
  }
  expectClean(device);
}

TEST_P(Kernels, AtomicsGiveTheSameResultEveryTime) {
  BUILD_OR_SKIP(R"(
extern "C" __global__ void histogram(const int* x, int* counts, float* sum, int* order, int n) {
  int i = BID * THREADS + TID;
  if (i >= n) return;
  int at = ATOMIC_ADD(&counts[x[i] & 7], 1);
  order[i] = at;
  ATOMIC_ADD_F(sum, 0.1f * (float)i);
})");
  Device device(GetParam().target);
  const int n = 700;
  std::vector<int> x(n);
  for (int i = 0; i < n; ++i)
    x[size_t(i)] = i * 5 + i / 3;
  std::vector<int> firstOrder;
  float firstSum = 0;
  cuda::Function kernel = device.load(ptx_, "histogram");
  for (int run = 0; run < 3; ++run) {
    auto px = device.upload(x), counts = device.upload(std::vector<int>(8)), sum = device.upload(std::vector<float>(1)), order = device.allocate(n * 4);
    ASSERT_EQ(device.launch(kernel, 6, 128, 0, px, counts, sum, order, n), cuda::kSuccess) << device.emulator().lastError();
    std::vector<int> expected(8);
    for (int v : x)
      ++expected[size_t(v & 7)];
    EXPECT_EQ(device.download<int>(counts, 8), expected);
    auto got = device.download<int>(order, n);
    float total = device.download<float>(sum, 1)[0];
    if (run == 0) {
      firstOrder = got;
      firstSum = total;
    }
    EXPECT_EQ(got, firstOrder);
    EXPECT_EQ(total, firstSum);
  }
  expectClean(device);
}

TEST_P(Kernels, AsynchronousCopiesInTwoStages) {
  BUILD_OR_SKIP(R"(
__device__ void copy16(unsigned to, const float* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(from) : "memory");
}
extern "C" __global__ void stages(const float* x, float* y, int chunks) {
  __shared__ __attribute__((aligned(16))) float buffer[2][128];
  unsigned base;
  asm volatile("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(base) : "l"((const void*)&buffer[0][0]));
  copy16(base + TID * 16, x + TID * 4);
  asm volatile("cp.async.commit_group;" ::: "memory");
  float sum = 0;
  for (int c = 0; c < chunks; ++c) {
    if (c + 1 < chunks) copy16(base + ((c + 1) & 1) * 512 + TID * 16, x + (c + 1) * 128 + TID * 4);
    asm volatile("cp.async.commit_group;\n cp.async.wait_group 1;" ::: "memory");
    SYNC();
    for (int i = 0; i < 4; ++i) sum += buffer[c & 1][(TID * 4 + 4 + i) & 127];
    SYNC();
  }
  y[TID] = sum;
})");
  Device device(GetParam().target);
  auto x = ramp(128 * 5, 0.5f);
  auto px = device.upload(x), py = device.allocate(32 * 4);
  ASSERT_EQ(device.launch(device.load(ptx_, "stages"), 1, 32, 0, px, py, 5), cuda::kSuccess) << device.emulator().lastError();
  auto y = device.download<float>(py, 32);
  for (int t = 0; t < 32; ++t) {
    float sum = 0;
    for (int c = 0; c < 5; ++c)
      for (int i = 0; i < 4; ++i)
        sum += x[size_t(c * 128 + ((t * 4 + 4 + i) & 127))];
    EXPECT_EQ(y[size_t(t)], sum) << t;
  }
  expectClean(device);
}

TEST_P(Kernels, LastBlockSeesAllOthers) {
  BUILD_OR_SKIP(R"(
extern "C" __global__ void last(const float* x, float* parts, int* done, float* out) {
  __shared__ int isLast;
  if (TID == 0) {
    float sum = 0;
    for (int i = 0; i < 64; ++i) sum += x[BID * 64 + i];
    parts[BID] = sum;
    FENCE();
    isLast = ATOMIC_ADD(done, 1) == BLOCKS - 1;
  }
  SYNC();
  if (isLast && TID == 0) {
    float sum = 0;
    for (int b = 0; b < BLOCKS; ++b) sum += parts[b];
    *out = sum;
  }
})");
  Device device(GetParam().target);
  auto x = ramp(64 * 10, 0.25f);
  auto px = device.upload(x), parts = device.allocate(40), done = device.upload(std::vector<int>(1)), out = device.allocate(4);
  ASSERT_EQ(device.launch(device.load(ptx_, "last"), 10, 64, 0, px, parts, done, out), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.download<float>(out, 1)[0], std::accumulate(x.begin(), x.end(), 0.0f));
  expectClean(device);
}

INSTANTIATE_TEST_SUITE_P(All, Kernels, testing::ValuesIn(producers()), [](const auto& info) { return info.param.name; });

} // namespace
} // namespace moec::emulator::test
