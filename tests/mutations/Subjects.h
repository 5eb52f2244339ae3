#pragma once
// The kernels whose PTX is mutated: one of each kind that the emitter writes, in forms that differ in their code, with the calls that make every part of it
// run. Small: a kernel runs once for each of its mutants.

#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {

struct MadeKernel {
  std::unique_ptr<mlir::MLIRContext> context;
  std::unique_ptr<KernelMaker> maker;
  ParsedKernel parsed;
  ir::KernelOp op;
};

struct Subject {
  std::string name; // "matmul.f32"
  std::function<MadeKernel()> make;
  std::vector<CudaOptions> calls;
  std::vector<std::pair<std::string, int64_t>> schedule = {}; // fields that are not as the emitter would choose them
  bool sample = false;                                        // small enough for the default tests
};

const std::vector<Subject>& subjects();
const Subject& subjectOf(const std::string& name);

} // namespace moec::testing
