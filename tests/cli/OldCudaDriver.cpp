// A CUDA driver from before 12.0, as libcuda.so.1: it has every function that moec loads, and its version is what tells.
#include "runtime/device/cuda/DriverTable.h"

namespace {
using namespace moec::cuda;
}

// X(member, exported symbol, parameters)
#define MOEC_OLD_FUNCTION(member, symbol, parameters) \
  extern "C" Result symbol parameters { return kNoDevice; }
#define cuDriverGetVersion cuDriverGetVersionOfNobody
MOEC_CUDA_DRIVER_FUNCTIONS(MOEC_OLD_FUNCTION)
#undef cuDriverGetVersion

extern "C" Result cuDriverGetVersion(int* version) {
  *version = 11080;
  return kSuccess;
}
