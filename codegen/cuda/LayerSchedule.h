#pragma once
// What may be chosen about a kernel of kind `moe_layer`, what is chosen, and when one block is the right form of a layer. Knows targets and sizes; writes
// no text.
//
// A layer by its parts is five launches or more, which wait for each other: each pays the way from one launch to the next, and at least two trips to
// memory. One block pays neither, but has one multiprocessor. So a layer is small when one block is done before its parts would be, by the model in
// LayerSchedule.cpp; when its routing and what its gate leaves fit the shared memory of a block beside the products' slices; and when all its sizes are
// known at compile time, since all of that is decided there. A size that is known at the call alone does not qualify: one kernel would have to hold both
// forms, and the routing and the rows between them would no longer be buffers that a check can compare, at the large sizes too.

#include "codegen/analysis/LayerPlan.h"
#include "codegen/cuda/GateSchedule.h"
#include "codegen/cuda/ProductSchedule.h"

namespace moec::codegen::cuda {

inline constexpr int64_t kLayerThreads = 256; // of the block

/// The plan of a layer whose count of tokens is known at compile time and whose products stand one behind the other; else a diagnostic.
mlir::FailureOr<LayerPlan> planOfBlock(ir::KernelOp kernel);
inline int64_t tokensOf(const LayerPlan& plan) { return *plan.tokens.constant(); }
inline int64_t rowsOf(const LayerPlan& plan) { return tokensOf(plan) * plan.choices; }

struct LayerSchedule {
  GateSchedule gate;
  ProductSchedule product; // of all the experts' products

  int64_t sharedBytes(const LayerPlan& plan) const;
  std::optional<std::string> illegal(const LayerPlan& plan) const;
  /// About how long the block takes.
  double cycles(const LayerPlan& plan, const CudaTarget& target) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static mlir::FailureOr<LayerSchedule> of(ir::KernelOp kernel, const LayerPlan& plan);
};

/// The fastest by cycles() among those that fit; one that does not, when none does.
LayerSchedule chooseLayerSchedule(const LayerPlan& plan, const CudaTarget& target);

/// Launches of the same layer by its parts, and about how long they take one behind the other, at least.
int64_t launchesApart(const LayerPlan& plan);
double cyclesApart(const LayerPlan& plan);

inline constexpr double kCyclesOfMicrosecond = 1700; // for words to a reader: clocks differ
} // namespace moec::codegen::cuda
