#pragma once
// What may be chosen about a kernel of kind `moe_layer`, what is chosen, and when one launch is the right form of a layer. Knows targets and sizes; builds
// nothing.
//
// A layer by its parts is five stages or more, between which all threads wait, and the rows of all tokens go through memory from each to the next. In one
// launch a block of tokens goes through all of them before the next one begins: its rows stay in the first caches, and nothing waits. But each block reads the
// weights of all experts: they must stay in the cache, and a block must bring each expert enough rows. And the routing of a block must not depend on other
// blocks', as capacities do, which count the rows of the whole call.

#include "codegen/analysis/LayerPlan.h"
#include "codegen/cpu/ProductSchedule.h"

namespace moec::codegen::cpu {

struct LayerSchedule {
  int64_t block = 0;                  // tokens of an item
  int64_t group = 0;                  // rows of an expert that go through all of its products before the next ones
  int64_t rows = 0, nr = 0;           // register blocks of the experts' products
  int64_t scoreRows = 0, scoreNr = 0; // and of the gate's

  std::optional<std::string> illegal(const CpuTarget& target, const LayerPlan& plan) const;
  ProductSchedule ofScores(const ScoreProduct& product) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static std::optional<LayerSchedule> from(mlir::DictionaryAttr attr);
  /// The kernel's own, when it is complete and legal and agrees with packed weights; else a diagnostic.
  static mlir::FailureOr<LayerSchedule> of(ir::KernelOp kernel, const LayerPlan& plan, const CpuTarget& target);
};

LayerSchedule chooseLayerSchedule(const LayerPlan& plan, const CpuTarget& target);

/// Why blocks of tokens cannot go through the layer by themselves, as words about the layer; empty when they can.
std::string obstacleToBlocks(const LayerPlan& plan);

/// Bytes of the weights that every block reads.
int64_t weightBytes(const LayerPlan& plan);
/// Of them, the most for which one launch is chosen: a block's rows need the other half of the cache.
inline constexpr int64_t kMostWeightBytes = kL2Bytes / 2;

} // namespace moec::codegen::cpu
