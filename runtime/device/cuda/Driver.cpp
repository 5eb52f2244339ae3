#include "runtime/device/cuda/Driver.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace moec::cuda {
namespace {

constexpr int kLeastVersion = 12000; // a thousand for each major version, ten for each minor one

struct Opened {
  DriverTable table;
  std::string problem;
};

Opened open() {
  Opened opened;
  // The loader's own search comes first: it knows LD_LIBRARY_PATH and the cache. The others are where WSL and containers put the driver.
  const char* places[] = {"libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", "/usr/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1",
                          "/usr/local/nvidia/lib64/libcuda.so.1"};
  void* library = nullptr;
  std::string looked;
  for (const char* place : places) {
    if ((library = dlopen(place, RTLD_NOW | RTLD_LOCAL)))
      break;
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", place);
  }
  if (!library) {
    opened.problem = fmt::format("no CUDA driver: looked for {} (the first through the loader's search path); it comes with the NVIDIA "
                                 "kernel driver; without a GPU use the device ptx-emulator:sm_90a",
                                 looked);
    return opened;
  }
  std::string missing;
#define MOEC_LOAD(member, symbol, parameters)                                       \
  if (void* address = dlsym(library, #symbol))                                      \
    opened.table.member = reinterpret_cast<decltype(opened.table.member)>(address); \
  else                                                                              \
    missing += " " #symbol;
  MOEC_CUDA_DRIVER_FUNCTIONS(MOEC_LOAD)
#undef MOEC_LOAD
#define MOEC_LOAD(member, symbol, parameters) opened.table.member = reinterpret_cast<decltype(opened.table.member)>(dlsym(library, #symbol));
  MOEC_CUDA_FURTHER_FUNCTIONS(MOEC_LOAD)
#undef MOEC_LOAD
  int version = 0;
  if (!missing.empty())
    opened.problem = fmt::format("the CUDA driver (libcuda.so.1) is too old, it lacks:{}; CUDA 12.0 or newer is needed", missing);
  else if (opened.table.driverGetVersion(&version) != kSuccess || version < kLeastVersion)
    opened.problem = fmt::format("the CUDA driver (libcuda.so.1) is of CUDA {}.{}; 12.0 or newer is needed", version / 1000, version % 1000 / 10);
  return opened;
}

} // namespace

const DriverTable* driverTable(std::string* problem) {
  static const Opened opened = open();
  if (opened.problem.empty())
    return &opened.table;
  if (problem)
    *problem = opened.problem;
  return nullptr;
}

} // namespace moec::cuda
