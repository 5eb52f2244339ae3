#include "codegen/cuda/LayerSchedule.h"

#include "codegen/CeilDiv.h"
#include "codegen/cuda/Schedule.h"

#include "llvm/Support/MathExtras.h"

namespace moec::codegen::cuda {
namespace {

constexpr double kMemoryCycles = 700;  // from the start of a copy to its use, through the second-level cache
constexpr double kLaunchCycles = 3400; // from the end of a launch to the work of the next that waits for it: about two microseconds

/// Multiply-adds of a multiprocessor in a cycle: CUDA C++ Programming Guide 13.0, "Arithmetic Instructions".
double lanesOf(const CudaTarget& target, DType dtype) {
  if (dtype != DType::F64)
    return 128;
  return target.major == 12 ? 2 : target.major == 8 ? 32 : 64;
}

/// Of one slice of a tile: its arithmetic, its reads of shared memory and the barrier, or the copies when these are slower.
double sliceCycles(const ProductSchedule& s, DType dtype, const CudaTarget& target) {
  double arithmetic = static_cast<double>(s.tileM * s.tileN * (64 / static_cast<int64_t>(byteSize(dtype)))) / lanesOf(target, dtype);
  double reads = static_cast<double>(s.warpsM * s.warpsN * (s.rows() + s.columns()) * 4) * 1.5;
  return std::max(arithmetic + reads + 50, kMemoryCycles / static_cast<double>(s.stages - 1));
}

int64_t slicesOf(int64_t depth, DType dtype) { return ceilDiv(depth * static_cast<int64_t>(byteSize(dtype)), 64); }

/// Rows as an even routing spreads them.
double productCycles(const ProductSchedule& s, const LayerPlan& plan, const LayerProduct& product, const CudaTarget& target) {
  int64_t experts = std::min(plan.experts, rowsOf(plan));
  int64_t tiles = experts * ceilDiv(ceilDiv(rowsOf(plan), plan.experts), s.tileM) * ceilDiv(product.columns(), s.tileN);
  double visit = static_cast<double>(s.rows() * s.columns()) * 60 + 120; // two warps share a scheduler
  return kMemoryCycles + static_cast<double>(tiles) * (static_cast<double>(slicesOf(product.depth(), plan.dtype)) * sliceCycles(s, plan.dtype, target) + visit);
}

double gateCycles(const GateSchedule& s, const LayerPlan& plan, const CudaTarget& target) {
  double cycles = 0;
  for (const ScoreProduct& product : plan.gate.products) {
    int64_t tiles = ceilDiv(product.w.columns.constant().value_or(1024), s.tileN);
    int64_t slices = slicesOf(product.w.depth.constant().value_or(1024), plan.gate.dtype);
    cycles += static_cast<double>(tiles) * (kMemoryCycles + static_cast<double>(slices) * sliceCycles(s.product(), plan.gate.dtype, target));
  }
  cycles += static_cast<double>(ceilDiv(s.tokenBlock, s.rows().rowsPerBlock)) * (200 + 120 * static_cast<double>(plan.choices));
  cycles *= static_cast<double>(ceilDiv(tokensOf(plan), s.tokenBlock));
  return cycles + 1000 + 100 * static_cast<double>(ceilDiv(rowsOf(plan), kLayerThreads)); // the assignment
}

/// The gate's part: as many tokens at once as a tile of few threads' rows holds, the rest of the warps along the experts.
GateSchedule gateFor(const LayerPlan& plan, const CudaTarget& target) {
  GateSchedule s = chooseGate(plan.gate, target);
  s.threads = kLayerThreads;
  s.groupThreads = std::min<int64_t>(s.groupThreads, 32);
  s.oneBlockRows = INT32_MAX;
  s.tokenBlock = std::clamp<int64_t>(static_cast<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(tokensOf(plan)))), 8, 32);
  if (plan.gate.products.empty()) {
    s.tokenBlock = s.rows().rowsPerBlock;
    return s;
  }
  int64_t experts = 0;
  for (const ScoreProduct& product : plan.gate.products)
    experts = std::max(experts, product.w.columns.constant().value_or(0));
  while (s.tokenBlock > 8 && GateSchedule::scoreBytes(plan.gate, s.tokenBlock) > 8 * 1024)
    s.tokenBlock /= 2;
  int64_t warps = kLayerThreads / 32;
  s.warpsN = std::max(warps / (s.tokenBlock / 4), std::min<int64_t>(experts > 8 ? 2 : 1, 4));
  int64_t columns = std::clamp<int64_t>(ceilDiv(experts, 8 * s.warpsN), 1, plan.dtype == DType::F64 ? 2 : 4);
  s.tileN = 8 * s.warpsN * static_cast<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(columns)));
  s.stages = 4;
  return s;
}

constexpr std::pair<int64_t, int64_t> kWarps[] = {{1, 8}, {2, 4}, {4, 2}, {8, 1}};
constexpr std::pair<int64_t, int64_t> kCells[] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {2, 4}, {4, 2}, {4, 4}};
constexpr int64_t kStages[] = {3, 4, 6, 8};

} // namespace

mlir::FailureOr<LayerPlan> planOfBlock(ir::KernelOp kernel) {
  auto plan = LayerPlan::of(kernel);
  if (succeeded(plan) && !plan->tokens.constant())
    return kernel.emitOpError("routes ") << plan->tokens.str() << " tokens: a moe_layer needs a count that is known at compile time";
  if (succeeded(plan) && !plan->isChain())
    return kernel.emitOpError("of kind \"moe_layer\" multiplies its experts' rows side by side: products one behind the other are supported");
  if (succeeded(plan) && plan->givesRows())
    return kernel.emitOpError("gives its experts' rows away: not supported");
  return plan;
}

int64_t LayerSchedule::sharedBytes(const LayerPlan& plan) const {
  int64_t scoreSlices = plan.gate.products.empty() ? 0 : gate.product().sharedBytes();
  int64_t bytes = gate.sharedBytes(plan.gate) - scoreSlices + std::max(scoreSlices, product.sharedBytes());
  bytes += 4 * plan.experts * (kLayerThreads / 32 + 2); // the assignment's counters
  for (mlir::Value value : plan.held)
    bytes += mlir::isa<ir::RoutingType>(value.getType()) ? 4 * (plan.experts + 1 + 2 * rowsOf(plan))
                                                         : *ir::product(ir::sizesOf(value)).constant() * static_cast<int64_t>(byteSize(dtypeOf(value)));
  return bytes;
}

std::optional<std::string> LayerSchedule::illegal(const LayerPlan& plan) const {
  if (product.threads() != kLayerThreads)
    return "warps_m " + std::to_string(product.warpsM) + " times warps_n " + std::to_string(product.warpsN) + " must be " + std::to_string(kLayerThreads / 32);
  if (auto why = product.illegal(plan.dtype))
    return why;
  if (int64_t bytes = sharedBytes(plan); bytes > kStaticSharedBytes)
    return "routing, weights and slices take " + std::to_string(bytes) + " bytes of shared memory, of " + std::to_string(kStaticSharedBytes);
  return gate.illegal(plan.gate);
}

double LayerSchedule::cycles(const LayerPlan& plan, const CudaTarget& target) const {
  double cycles = gateCycles(gate, plan, target);
  for (const LayerProduct& one : plan.products)
    cycles += productCycles(product, plan, one, target);
  return cycles + kMemoryCycles + 100 * static_cast<double>(ceilDiv(tokensOf(plan) * plan.width(), kLayerThreads)); // the combine
}

mlir::DictionaryAttr LayerSchedule::attr(mlir::MLIRContext* context) const {
  return toAttr(context, {{"token_block", gate.tokenBlock},
                          {"score_tile_n", gate.tileN},
                          {"score_warps_n", gate.warpsN},
                          {"score_stages", gate.stages},
                          {"group_threads", gate.groupThreads},
                          {"tile_m", product.tileM},
                          {"tile_n", product.tileN},
                          {"warps_m", product.warpsM},
                          {"warps_n", product.warpsN},
                          {"stages", product.stages}});
}

mlir::FailureOr<LayerSchedule> LayerSchedule::of(ir::KernelOp kernel, const LayerPlan& plan) {
  LayerSchedule s;
  s.gate.threads = kLayerThreads;
  s.gate.oneBlockRows = INT32_MAX;
  for (auto [name, field] : {std::pair<const char*, int64_t*>{"token_block", &s.gate.tokenBlock},
                             {"score_tile_n", &s.gate.tileN},
                             {"score_warps_n", &s.gate.warpsN},
                             {"score_stages", &s.gate.stages},
                             {"group_threads", &s.gate.groupThreads},
                             {"tile_m", &s.product.tileM},
                             {"tile_n", &s.product.tileN},
                             {"warps_m", &s.product.warpsM},
                             {"warps_n", &s.product.warpsN},
                             {"stages", &s.product.stages}}) {
    auto value = fieldOf(kernel, name, 0, INT32_MAX);
    if (mlir::failed(value))
      return mlir::failure();
    *field = *value;
  }
  if (s.product.warpsM < 1 || s.product.warpsN < 1)
    return kernel.emitOpError("has an illegal schedule: warps_m and warps_n must be positive");
  if (s.gate.groupThreads < 1 || s.gate.groupThreads > 32)
    return kernel.emitOpError("has an illegal schedule: group_threads ") << s.gate.groupThreads << " must be between 1 and 32";
  if (auto why = s.illegal(plan))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  return s;
}

LayerSchedule chooseLayerSchedule(const LayerPlan& plan, const CudaTarget& target) {
  LayerSchedule best;
  double least = 0;
  GateSchedule gate = gateFor(plan, target);
  for (auto [warpsM, warpsN] : kWarps)
    for (auto [rows, columns] : kCells)
      for (int64_t stages : kStages) {
        LayerSchedule s{gate, {warpsM * 4 * rows, warpsN * 8 * columns, warpsM, warpsN, stages}};
        if (best.product.tileM && s.illegal(plan))
          continue;
        double cycles = s.cycles(plan, target);
        if (!best.product.tileM || best.illegal(plan) || cycles < least)
          best = s, least = cycles;
      }
  return best;
}

int64_t launchesApart(const LayerPlan& plan) {
  bool hasScores = !plan.gate.rowOps.empty() || !plan.gate.products.empty();
  return (hasScores ? 1 : 0) + 1 + static_cast<int64_t>(plan.products.size()) + 1; // scores, assignment, products, combine
}

double cyclesApart(const LayerPlan& plan) { return static_cast<double>(launchesApart(plan)) * (kLaunchCycles + 2 * kMemoryCycles); }

} // namespace moec::codegen::cuda
