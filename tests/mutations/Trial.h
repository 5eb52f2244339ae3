#pragma once
// Runs a kernel's mutants on the PTX emulator with all checks on, and says what gives each away: what the emulator finds, an error, or results. One compilation
// of the kernel serves all of its mutants.

#include "tests/mutations/Mutants.h"
#include "tests/mutations/Subjects.h"

namespace moec::testing {

struct Verdict {
  enum class Kind { Finding, Error, Result, Bits, Survives } kind; // Result: outside of the tolerance; Bits: within it, but not the kernel's own
  std::string detail;
};

class Trial {
public:
  /// Emits, compiles and runs the kernel. Throws std::runtime_error where it is not right by itself.
  explicit Trial(const Subject& subject, const std::string& target = "cuda:sm_90a");

  const std::vector<mutations::Mutant>& mutants() const { return mutants_; }
  Verdict judge(const mutations::Mutant& mutant);
  /// Whether any thread of any call comes to where the mutant would do something else.
  bool matters(const mutations::Mutant& mutant);
  /// A line of the CUDA text, trimmed.
  std::string source(int line) const;
  const std::string& ptx() const { return ptx_; }

private:
  CudaRun run(const std::string& ptx, size_t call);
  Verdict judge(const CudaRun& run, size_t call) const;

  const Subject& subject_;
  MadeKernel kernel_;
  codegen::KernelImage image_;
  std::string ptx_;
  std::vector<std::string> lines_;
  std::vector<mutations::Mutant> mutants_;
  struct Call {
    CudaOptions options;
    std::vector<Tensor> inputs, wants, own; // the reference's results, the kernel's
  };
  std::vector<Call> calls_;
};

} // namespace moec::testing
