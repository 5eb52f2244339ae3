#include "codegen/cuda/GateSchedule.h"

#include "codegen/cuda/Schedule.h"

#include "llvm/Support/MathExtras.h"

namespace moec::codegen::cuda {

namespace {

constexpr int64_t kScoreBytes = 34 * 1024; // of shared memory, for scores
constexpr int64_t kSliceBytes = 12 * 1024; // of slices, two stages at least

int64_t expertsOf(const ScoreProduct& product) { return product.w.columns.constant().value_or(0); }

/// Shared memory for choices, counters of experts and sums of warps.
int64_t otherBytes(const GatePlan& plan, const RowSchedule& rows) {
  int64_t bytes = 512;
  for (mlir::Operation* op : plan.rowOps)
    if (auto select = mlir::dyn_cast<ir::SelectOp>(op))
      bytes += rows.rowsPerBlock * static_cast<int64_t>(select.getK()) * (static_cast<int64_t>(byteSize(dtypeOf(select.getScores()))) + 4);
  for (const RoutingChain& chain : plan.routings)
    bytes += 4 * static_cast<int64_t>(ir::AssignOp(chain.assign).getExperts());
  return bytes;
}

} // namespace

int64_t GateSchedule::stride(int64_t experts) {
  if (experts <= 16)
    return static_cast<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(experts)));
  int64_t stride = (experts + 7) / 8 * 8;
  return stride % 16 == 0 ? stride + 8 : stride;
}

int64_t GateSchedule::scoreBytes(const GatePlan& plan, int64_t tokenBlock) {
  int64_t bytes = 0;
  for (const ScoreProduct& product : plan.products)
    bytes += tokenBlock * stride(expertsOf(product)) * static_cast<int64_t>(byteSize(plan.dtype));
  return bytes;
}

int64_t GateSchedule::sharedBytes(const GatePlan& plan) const {
  return scoreBytes(plan, tokenBlock) + (plan.products.empty() ? 0 : product().sharedBytes()) + otherBytes(plan, rows());
}

std::optional<std::string> GateSchedule::illegal(const GatePlan& plan) const {
  if (tokenBlock < 1 || tokenBlock > 4096)
    return "token_block " + std::to_string(tokenBlock) + " must be between 1 and 4096";
  if (auto why = rows().illegal())
    return why;
  if (rows().threads() != threads)
    return "group_threads " + std::to_string(groupThreads) + " must divide " + std::to_string(threads);
  if (oneBlockRows < 1)
    return "one_block_rows must be at least 1: a call without tokens is one block's";
  for (const RoutingChain& chain : plan.routings) {
    int64_t experts = static_cast<int64_t>(ir::AssignOp(chain.assign).getExperts());
    if (chain.isGrouped()) {
      int64_t bytes = 4 * (chain.offered() * (threads / 32 + 1) + experts + 1);
      if (bytes > kStaticSharedBytes)
        return "assigns to " + std::to_string(chain.offered()) + " of " + std::to_string(experts) + " experts: counting their rows takes " +
               std::to_string(bytes) + " bytes of a block's shared memory, of " + std::to_string(kStaticSharedBytes);
      continue;
    }
    int64_t most = (kStaticSharedBytes - 4) / (4 * (threads / 32 + 1));
    if (experts > most)
      return "assigns to " + std::to_string(experts) + " experts: a block's shared memory counts the rows of at most " + std::to_string(most);
  }
  if (plan.products.empty())
    return std::nullopt;
  if (warpsN != 1 && warpsN != 2 && warpsN != 4)
    return "warps_n " + std::to_string(warpsN) + " must be 1, 2 or 4";
  if (auto why = product().illegal(plan.dtype))
    return why;
  if (sharedBytes(plan) > kStaticSharedBytes)
    return "keeps scores of " + std::to_string(tokenBlock) + " tokens: a block's shared memory does not hold them";
  return std::nullopt;
}

mlir::DictionaryAttr GateSchedule::attr(mlir::MLIRContext* context) const {
  return toAttr(context, {{"token_block", tokenBlock},
                          {"tile_n", tileN},
                          {"warps_n", warpsN},
                          {"stages", stages},
                          {"group_threads", groupThreads},
                          {"one_block_rows", oneBlockRows}});
}

mlir::FailureOr<GateSchedule> GateSchedule::of(ir::KernelOp kernel, const GatePlan& plan) {
  GateSchedule s;
  for (auto [name, field] : {std::pair<const char*, int64_t*>{"token_block", &s.tokenBlock},
                             {"tile_n", &s.tileN},
                             {"warps_n", &s.warpsN},
                             {"stages", &s.stages},
                             {"group_threads", &s.groupThreads},
                             {"one_block_rows", &s.oneBlockRows}}) {
    auto value = fieldOf(kernel, name, 0, INT32_MAX);
    if (mlir::failed(value))
      return mlir::failure();
    *field = *value;
  }
  if (auto why = s.illegal(plan))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  return s;
}

GateSchedule chooseGate(const GatePlan& plan, const CudaTarget& target) {
  GateSchedule s;
  std::optional<int64_t> widest = RowText::widest(plan.rowOps);
  for (const ScoreProduct& product : plan.products)
    if (widest)
      widest = std::max(*widest, expertsOf(product));
  s.groupThreads = std::min(RowSchedule::of(widest, RowText::wordsOf(plan.rowOps), kGateThreads).groupThreads, kGateThreads);
  // One block walks 32 rows of each of its warps in about 250 cycles, a launch more costs about two microseconds.
  s.oneBlockRows = 4096;
  // A block for each multiprocessor before a block takes more tokens: each reads all of w. Sizes of symbols count as large.
  int64_t tokens = plan.tokens.constant().value_or(4096), share = std::max<int64_t>(1, tokens / target.multiprocessors);
  if (plan.products.empty()) {
    int64_t together = s.rows().rowsPerBlock;
    s.tokenBlock = plan.rowOps.empty() ? 512 : std::clamp<int64_t>(share / together * together, together, 8 * together);
    return s;
  }
  int64_t experts = 0;
  for (const ScoreProduct& product : plan.products)
    experts = std::max(experts, expertsOf(product));
  s.tokenBlock = std::clamp<int64_t>(static_cast<int64_t>(llvm::bit_floor(static_cast<uint64_t>(share))), 4, 32);
  while (s.tokenBlock > 4 && GateSchedule::scoreBytes(plan, s.tokenBlock) > kScoreBytes)
    s.tokenBlock /= 2;
  // As many warps along the experts as there is no work for along the tokens; then as many experts for each thread.
  s.warpsN = s.tokenBlock >= 16 ? (experts > 8 ? 2 : 1) : s.tokenBlock == 8 ? 2 : 4;
  int64_t most = std::min<int64_t>(plan.dtype == DType::F64 ? 4 : 8, (kSliceBytes / 128 - s.tokenBlock) / (8 * s.warpsN));
  int64_t columns = std::clamp<int64_t>((experts + 8 * s.warpsN - 1) / (8 * s.warpsN), 1, static_cast<int64_t>(llvm::bit_floor(static_cast<uint64_t>(most))));
  s.tileN = 8 * s.warpsN * columns;
  s.stages = std::clamp<int64_t>(kSliceBytes / ((s.tokenBlock + s.tileN) * 64), 2, 4);
  return s;
}

} // namespace moec::codegen::cuda
