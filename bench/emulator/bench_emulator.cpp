// Warp instructions a second of the emulator on one thread, with and without checks: arithmetic from registers, a stream through global
// memory, and a tile of a matrix product in shared memory (barriers and all).

#include "bench/emulator/ZooBench.h"
#include "runtime/emulator/Emulator.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace moec;

const char* const kHead = ".version 8.0\n.target sm_80\n.address_size 64\n";

// 16 independent multiply-adds and the loop around them.
std::string arithmetic() {
  std::string body;
  for (int i = 0; i < 16; ++i)
    body += fmt::format("fma.rn.f32 %f{0}, %f{0}, %f20, %f21;\n", i);
  std::string start;
  for (int i = 0; i < 16; ++i)
    start += fmt::format("cvt.rn.f32.u32 %f{}, %r1;\n", i);
  std::string sum;
  for (int i = 1; i < 16; ++i)
    sum += fmt::format("add.f32 %f0, %f0, %f{};\n", i);
  return fmt::format(
      "{}.visible .entry k(.param .u64 x, .param .u64 y, .param .u32 n)\n{{\n.reg .pred %p;\n.reg .b32 %r<9>;\n.reg .f32 %f<24>;\n.reg .b64 %d<9>;\n"
      "ld.param.u64 %d1, [y];\nld.param.u32 %r3, [n];\nmov.u32 %r1, %tid.x;\nmov.u32 %r2, 0;\nmov.f32 %f20, 0f3F7FFF58;\nmov.f32 %f21, 0f3C23D70A;\n{}"
      "L:\n{}add.u32 %r2, %r2, 1;\nsetp.lt.u32 %p, %r2, %r3;\n@%p bra L;\n{}mul.wide.u32 %d2, %r1, 4;\nadd.u64 %d3, %d1, %d2;\nst.global.f32 [%d3], %f0;\nret;\n}}\n",
      kHead, start, body, sum);
}

// y[i] = 2 x[i] + y[i], the threads of a block walking over their part.
std::string stream() {
  return std::string(kHead) + R"(.visible .entry k(.param .u64 x, .param .u64 y, .param .u32 n)
{
.reg .pred %p; .reg .b32 %r<9>; .reg .f32 %f<9>; .reg .b64 %d<9>;
ld.param.u64 %d1, [x]; ld.param.u64 %d2, [y]; ld.param.u32 %r3, [n];
mov.u32 %r1, %tid.x; mov.u32 %r2, %ntid.x;
L:
mul.wide.u32 %d3, %r1, 4;
add.u64 %d4, %d1, %d3;
add.u64 %d5, %d2, %d3;
ld.global.f32 %f1, [%d4];
ld.global.f32 %f2, [%d5];
fma.rn.f32 %f3, %f1, 0f40000000, %f2;
st.global.f32 [%d5], %f3;
add.u32 %r1, %r1, %r2;
setp.lt.u32 %p, %r1, %r3;
@%p bra L;
ret;
}
)";
}

// Tiles of 32x32 of x in shared memory, each thread of 256 making 4 of the 1024 sums of x times x transposed.
std::string tile() {
  std::string loads, products;
  for (int i = 0; i < 4; ++i)
    loads += fmt::format("ld.global.f32 %f9, [%d4+{0}];\nst.shared.f32 [%r5+{0}], %f9;\n", i * 1024);
  for (int k = 0; k < 32; ++k) {
    products += fmt::format("ld.shared.f32 %f8, [%r6+{}];\n", k * 128);
    for (int i = 0; i < 4; ++i)
      products += fmt::format("ld.shared.f32 %f9, [%r7+{}];\nfma.rn.f32 %f{}, %f8, %f9, %f{};\n", i * 1024 + k * 4, i, i);
  }
  return fmt::format(
      "{}.visible .entry k(.param .u64 x, .param .u64 y, .param .u32 n)\n{{\n.shared .align 16 .b8 t[4096];\n.reg .pred %p;\n.reg .b32 %r<12>;\n.reg .f32 %f<12>;\n.reg .b64 %d<9>;\n"
      "ld.param.u64 %d1, [x];\nld.param.u64 %d2, [y];\nld.param.u32 %r3, [n];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %d3, %r1, 4;\nadd.u64 %d4, %d1, %d3;\n"
      "mov.u32 %r4, t;\nshl.b32 %r5, %r1, 2;\nadd.u32 %r5, %r5, %r4;\nand.b32 %r8, %r1, 31;\nshl.b32 %r6, %r8, 2;\nadd.u32 %r6, %r6, %r4;\n"
      "shr.u32 %r7, %r1, 5;\nshl.b32 %r7, %r7, 7;\nadd.u32 %r7, %r7, %r4;\nmov.u32 %r2, 0;\n"
      "mov.f32 %f0, 0f00000000;\nmov.f32 %f1, 0f00000000;\nmov.f32 %f2, 0f00000000;\nmov.f32 %f3, 0f00000000;\n"
      "L:\n{}bar.sync 0;\n{}bar.sync 0;\nadd.u32 %r2, %r2, 1;\nsetp.lt.u32 %p, %r2, %r3;\n@%p bra L;\n"
      "add.u64 %d5, %d2, %d3;\nst.global.f32 [%d5], %f0;\nst.global.f32 [%d5+1024], %f1;\nst.global.f32 [%d5+2048], %f2;\nst.global.f32 [%d5+3072], %f3;\nret;\n}}\n",
      kHead, loads, products);
}

void runKernel(benchmark::State& state, const std::string& ptx, unsigned threads, uint32_t n) {
  emulator::Emulator& device = *emulator::Emulator::of("sm_80");
  const cuda::DriverTable& table = device.table();
  emulator::Options options;
  options.threads = 1;
  options.checks = options.counters = state.range(0);
  device.setOptions(options);
  cuda::Module module = nullptr;
  cuda::Function kernel = nullptr;
  if (table.moduleLoadData(&module, ptx.c_str(), 0, nullptr, nullptr) != cuda::kSuccess || table.moduleGetFunction(&kernel, module, "k") != cuda::kSuccess)
    throw std::runtime_error(device.lastError());
  std::vector<float> values(1 << 16, 0.5f);
  cuda::DevicePtr x = 0, y = 0;
  table.memoryAllocate(&x, values.size() * 4);
  table.memoryAllocate(&y, values.size() * 4);
  table.copyToDevice(x, values.data(), values.size() * 4);
  table.copyToDevice(y, values.data(), values.size() * 4);
  void* parameters[] = {&x, &y, &n};
  emulator::Options counting = options;
  counting.counters = true;
  device.setOptions(counting);
  device.resetCounters();
  if (table.launchKernel(kernel, 1, 1, 1, threads, 1, 1, 0, nullptr, parameters, nullptr) != cuda::kSuccess)
    throw std::runtime_error(device.lastError());
  double perLaunch = double(device.counters().at(0).warpInstructions);
  device.setOptions(options);
  for (auto _ : state)
    if (table.launchKernel(kernel, 1, 1, 1, threads, 1, 1, 0, nullptr, parameters, nullptr) != cuda::kSuccess)
      throw std::runtime_error(device.lastError());
  state.counters["warp_instructions"] = benchmark::Counter(perLaunch * double(state.iterations()), benchmark::Counter::kIsRate);
  table.memoryFree(x);
  table.memoryFree(y);
  table.moduleUnload(module);
  device.setOptions({});
}

void Arithmetic(benchmark::State& state) { runKernel(state, arithmetic(), 256, 2000); }
void Stream(benchmark::State& state) { runKernel(state, stream(), 256, 1 << 16); }
void Tile(benchmark::State& state) { runKernel(state, tile(), 256, 50); }

BENCHMARK(Arithmetic)->ArgName("checks")->Arg(1)->Arg(0)->Unit(benchmark::kMillisecond);
BENCHMARK(Stream)->ArgName("checks")->Arg(1)->Arg(0)->Unit(benchmark::kMillisecond);
BENCHMARK(Tile)->ArgName("checks")->Arg(1)->Arg(0)->Unit(benchmark::kMillisecond);

} // namespace

int main(int count, char** words) {
  moec::bench::registerZoo();
  benchmark::Initialize(&count, words);
  if (benchmark::ReportUnrecognizedArguments(count, words))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
}
