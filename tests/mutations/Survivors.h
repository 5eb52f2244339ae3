#pragma once
// What came of all mutants of a kernel, and the list of those that may survive: each with the reason why it is the same kernel, or why no check can tell.

#include "tests/mutations/Trial.h"

#include <array>

namespace moec::testing {

struct Survivor {
  std::string kernel;
  mutations::Class kind;
  std::string change; // with " (never asked)" where no thread of any call comes to where the mutant differs
  std::string source; // the line of CUDA
  std::string instruction;
  int line; // of the PTX
};

struct KernelResult {
  std::string kernel, compiler;
  std::array<std::array<size_t, 5>, 4> counts{}; // by class and verdict
  std::vector<Survivor> survivors;
  size_t count(mutations::Class kind, Verdict::Kind verdict) const { return counts[static_cast<size_t>(kind)][static_cast<size_t>(verdict)]; }
  size_t all(mutations::Class kind) const;
};
KernelResult runMutants(const Subject& subject, const std::string& target = "cuda:sm_90a");

/// tests/mutations/survivors.txt: lines of "kernels | class | change | how many | line of CUDA | why". In kernels, "," parts names, and a "*" at the end stands
/// for any rest, as it does in the line of CUDA.
class Accepted {
public:
  struct Entry {
    std::vector<std::string> kernels;
    std::string kind, change, source, why;
    size_t count = 0, found = 0;
    int line = 0;
  };
  /// Throws std::runtime_error that names the line that cannot be read.
  static Accepted read(const std::string& path);
  /// The compiler whose mutants are counted, as its PTX names it.
  const std::string& compiler() const { return compiler_; }
  /// The entry for a survivor, which then counts it; null: none.
  const Entry* claim(const Survivor& survivor);
  /// Entries all of whose kernels were run, and that claimed another number than they say.
  std::vector<std::string> stale(const std::vector<std::string>& kernels) const;

private:
  std::string compiler_;
  std::vector<Entry> entries_;
};

} // namespace moec::testing
