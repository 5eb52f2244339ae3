// libFuzzer's entry: the target that MOEC_FUZZ_TARGET names.

#include "tests/fuzz/Targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  moec::fuzz::MOEC_FUZZ_TARGET({data, size});
  return 0;
}
