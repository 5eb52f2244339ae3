// A kernel that does nothing: `moec doctor` opens it to learn whether kernels can be opened. Freestanding, as generated
// kernels are.

#include "runtime/core/KernelAbi.h"

extern "C" void moec_probe(const moec::KernelCall*, int64_t, int64_t, int64_t, void*) {}
