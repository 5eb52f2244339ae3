// A CUDA kernel tried without a GPU: PTX on the emulator, behind the driver's functions. The second launch is told of two elements more than there are.
//   nvcc -ptx -arch=sm_90a -lineinfo scale.cu    (or clang, or NVRTC) makes PTX like this one

#include "runtime/emulator/Emulator.h"

#include <cstdio>
#include <vector>

namespace cuda = moec::cuda;

// extern "C" __global__ void scale(float* x, float factor, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] *= factor; }
constexpr const char* kScale = R"(
.version 8.0
.target sm_90a
.address_size 64
.visible .entry scale(.param .u64 x, .param .f32 factor, .param .u32 n)
{
  .reg .pred %p1;
  .reg .b32 %r<6>;
  .reg .f32 %f<4>;
  .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [x];
  ld.param.f32 %f1, [factor];
  ld.param.u32 %r1, [n];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.s32 %p1, %r5, %r1;
  @%p1 bra DONE;
  cvta.to.global.u64 %rd2, %rd1;
  mul.wide.s32 %rd3, %r5, 4;
  add.s64 %rd4, %rd2, %rd3;
  ld.global.f32 %f2, [%rd4];
  mul.f32 %f3, %f2, %f1;
  st.global.f32 [%rd4], %f3;
DONE:
  ret;
}
)";

int main() {
  moec::emulator::Emulator& emulator = *moec::emulator::Emulator::of("sm_90a");
  const cuda::DriverTable& driver = emulator.table(); // cuModuleLoadDataEx and so on, under shorter names

  std::vector<float> values(100, 1.5f);
  cuda::Module module = nullptr;
  cuda::Function scale = nullptr;
  cuda::DevicePtr x = 0;
  if (driver.moduleLoadData(&module, kScale, 0, nullptr, nullptr) || driver.moduleGetFunction(&scale, module, "scale") ||
      driver.memoryAllocate(&x, values.size() * sizeof(float)) || driver.copyToDevice(x, values.data(), values.size() * sizeof(float))) {
    std::fprintf(stderr, "emulate: error: %s\n", emulator.lastError().c_str());
    return 1;
  }

  bool found = false;
  for (int n : {100, 102}) {
    float factor = 2;
    void* parameters[] = {&x, &factor, &n};
    cuda::Result result = driver.launchKernel(scale, 4, 1, 1, 32, 1, 1, 0, nullptr, parameters, nullptr);
    driver.copyToHost(values.data(), x, values.size() * sizeof(float));
    std::printf("n = %d: x[99] = %g, %s\n", n, values[99], result ? "with findings:" : "no findings");
    for (const moec::emulator::Finding& finding : emulator.findings())
      std::printf("  %s\n", finding.text().c_str());
    found = result != cuda::kSuccess;
  }
  for (const moec::emulator::KernelCounters& kernel : emulator.counters())
    std::printf("%s: %llu launches, %llu warp instructions, %llu sectors for at least %llu\n", kernel.kernel.c_str(), (unsigned long long)kernel.launches,
                (unsigned long long)kernel.warpInstructions, (unsigned long long)kernel.sectors, (unsigned long long)kernel.idealSectors);
  driver.memoryFree(x);
  driver.moduleUnload(module);
  return found ? 0 : 1;
}
