#pragma once
// For the tests of kernels made of matrix products: weights packed as the kernel's own schedule wants them, and results held against the
// reference interpreter's.

#include "codegen/analysis/InPlace.h"
#include "runtime/core/WeightsAs.h"
#include "tests/codegen/KernelHarness.h"

namespace moec::testing {

/// A weight as a kernel sees it: plain while the schedule is asked for nr, packed afterwards.
class Weights {
public:
  explicit Weights(std::optional<int64_t> nr, const std::optional<WeightsAs>& as = {}, bool inPairs = false) : nr_(nr), as_(as), inPairs_(inPairs) {}
  /// w of sizes (.., N, K), through moe.unpack when packed, and behind it converted back. Codes are two inputs.
  mlir::Value operator()(KernelMaker& maker, DType type, const std::vector<int64_t>& sizes) const;

private:
  std::optional<int64_t> nr_;
  std::optional<WeightsAs> as_;
  bool inPairs_;
};

using WriteKernel = std::function<ir::KernelOp(KernelMaker&, const Weights&)>;

struct ProductCase {
  WriteKernel write;
  std::vector<Tensor> inputs; // weights in their plain form
  int weights = -1;           // which input is the packed one
  Bindings bindings;
  int64_t terms = 1;     // depth of the sums
  int64_t rowsKept = -1; // rows behind are undefined and not compared
  uint64_t seed = 5;
  uint32_t step = 3;
  std::optional<WeightsAs> as = {};                 // how the packed weights are kept
  std::vector<std::string> targets = testTargets(); // that it is emitted for
  llvm::SmallVector<codegen::InPlace> over = {};    // results in arguments' memory beside those of inPlaceOf()
  int64_t ofRows = 0;                               // rowsKept is of results of so many rows alone; 0: of all
};
/// Emits for each target; one thread and two, and results in arguments' memory, must give the same bits, and those agree with the
/// reference.
void expectReference(const ProductCase& test);

/// The i32 buffer of a routing from an expert for each (token, choice); -1 drops.
Tensor routingTensor(const std::vector<int32_t>& experts, int64_t expertCount, int64_t choices);

/// The transpose of x's last two dimensions.
mlir::Value exchange(KernelMaker& maker, mlir::Value x);

} // namespace moec::testing
