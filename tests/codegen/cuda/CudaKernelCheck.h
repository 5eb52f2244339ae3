#pragma once
// Compares a CUDA kernel with the reference interpreter: emitted for a target, compiled by NVRTC (or clang), its PTX run by the emulator with all checks on.
// Launches as runtime/core/KernelAbi.h says; knows nothing of plans and devices.

#include "runtime/emulator/Emulator.h"
#include "tests/codegen/KernelCheck.h"

#include <gtest/gtest.h>

namespace moec::testing {

/// Ends a test that needs NVRTC where there is none.
#define MOEC_SKIP_WITHOUT_NVRTC()                                             \
  if (std::string missing = ::moec::testing::missingCuda(); !missing.empty()) \
  GTEST_SKIP() << "[SKIP] " << missing
std::string missingCuda();

/// "cuda:sm_80", "cuda:sm_90a" ...
std::vector<std::string> cudaTargetNames();

enum class PtxBy { Nvrtc, Clang };

struct CudaOptions {
  std::string target = "cuda:sm_90a";
  PtxBy compiler = PtxBy::Nvrtc; // of the PTX that runs; what ptxas reports is NVRTC's in any case
  CheckOptions check;            // its target is not used
  /// Rows of ragged tensors that hold values (offsets[E]). Of these inputs, rows behind are left uninitialised; of all outputs of rank 2 in `raggedOutputs`
  /// they must stay as they were.
  int64_t kept = -1;
  std::vector<unsigned> raggedInputs, raggedOutputs;
  /// Results that lie in the memory of an input: (result, input).
  std::vector<std::pair<unsigned, unsigned>> inPlace;
  bool expectClean = true; // a finding is a failure
  emulator::Options emulator;
  /// A stage whose name ends like this, whose blocks take their work by turns, is launched with at most so many: each takes several turns.
  std::string turnsStage;
  int64_t mostBlocks = 0;
};

struct CudaRun {
  std::string text;              // CUDA
  std::vector<StageInfo> stages; // with what ptxas reports
  std::vector<Tensor> outputs;   // bytes that were not written are 0xff
  std::vector<emulator::KernelCounters> counters;
  std::vector<emulator::Finding> findings;

  uint64_t bankConflicts() const;
  /// 32-byte sectors of global accesses against the ideal.
  double sectorRatio() const;
  int mostRegisters() const;
  int64_t spillBytes() const;
};

/// PTX that the emulator does not load.
struct BadPtx : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Launches an emitted kernel with PTX that may not be the image's own. Throws std::runtime_error when a launch is refused.
CudaRun launchOnEmulator(ir::KernelOp kernel, const codegen::KernelImage& image, const std::string& ptx, const std::vector<Tensor>& inputs,
                         const CudaOptions& options);
/// Both.
CudaRun runOnEmulator(ir::KernelOp kernel, const std::vector<Tensor>& inputs, const CudaOptions& options);

/// Gives the kernel the schedule that the target's emitter would choose, but for one field.
void reschedule(ir::KernelOp kernel, const std::string& field, int64_t value, const std::string& target = CudaOptions().target);

/// Runs a kernel and holds every result against the reference's; no findings and no spills. Reports with EXPECT and ASSERT.
CudaRun checkCuda(ir::KernelOp kernel, const CudaOptions& options = {});
CudaRun checkCuda(const ParsedKernel& kernel, const CudaOptions& options = {});

} // namespace moec::testing
