#pragma once
// A few kernels of every kind, for tests of what holds for all kernels. Knows texts and inputs; runs nothing.

#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <span>

namespace moec::testing {

struct SampleKernel {
  const char* name;
  const char* kind;
  const char *arguments, *results, *body; // as parseKernel takes them; @ stands for the dtype
  int64_t terms = 64;                     // of the longest sum
  const char* field = nullptr;            // of the schedule: another value than the emitter chooses
  int64_t value = 0;
};
void PrintTo(const SampleKernel& sample, std::ostream* out);

/// At least one of each kind that there are builders for, and one for each way through a kind's stages.
std::span<const SampleKernel> sampleKernels();

/// The kernel with tensors of a dtype, f32 or f64; its inputs, sizes and ragged tensors go into `options`, whose target must be set. Routings drop rows and
/// leave an expert empty.
ParsedKernel parseSample(const SampleKernel& sample, DType type, CudaOptions& options);

} // namespace moec::testing
