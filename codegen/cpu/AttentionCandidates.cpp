#include "codegen/cpu/AttentionCandidates.h"

#include "codegen/analysis/CachedPlans.h"
#include "codegen/cpu/AttentionBlocks.h"
#include "codegen/cpu/ProductSchedule.h"

namespace moec::codegen::cpu {
namespace {

/// Causal blocks of queries and keys differ in which zeros they add: nothing for finite values, but a NaN behind the last key seen would show.
template <class Schedule> std::vector<Schedule> movesOfBlocks(const Schedule& from, const CpuTarget& target, DType dtype) {
  std::vector<Schedule> moves;
  for (int64_t vectors = 1; vectors <= kMostVectors; ++vectors)
    for (int64_t rows : {mostRows(target, vectors), mostRows(target, vectors) * 2 / 3}) {
      Schedule s = from;
      s.nr = vectors * lanesOf(target, dtype);
      s.rows = rows;
      moves.push_back(s);
    }
  return moves;
}

void addSizes(int64_t size, int64_t multiple, llvm::function_ref<void(int64_t)> add) {
  for (int64_t each : {size / 2, size * 2, size * 4})
    if (each > 0)
      add(upTo(each, multiple));
}

constexpr int64_t kMostQueries = 1024; // of an item, and keys
constexpr int64_t kManyKeys = 4096;    // what a number of keys counts as that is known in a call alone

/// A short head's keys and values as panels: HeadPanels.
Elements panelsOf(const AttentionPlan& plan, int64_t keys, int64_t nr, int64_t ofKeys, int64_t ofColumns) {
  return Elements(upTo(keys, nr)) * plan.headDim * ofKeys + Elements(keys) * upTo(plan.headDim, nr) * ofColumns;
}

/// Bytes of a worker: Attention.cpp.
int64_t scratchOf(const AttentionPlan& plan, const AttentionSchedule& s) {
  Elements row = spread(upTo(plan.keys.constant().value_or(kManyKeys), s.nr), plan.dtype) + 1 + s.nr;
  if (plan.dtype == DType::BF16)
    row += spread(plan.headDim, plan.dtype);
  return scratchBytes(s.queries * row + (isShort(plan).constant() != 0 ? panelsOf(plan, mostShortKeys(plan, /*isGradient=*/false), s.nr, 1, 1) : 0),
                      plan.dtype);
}

/// Bytes of a worker: AttentionGrad.cpp, the stage that takes most.
int64_t scratchOf(const AttentionGradPlan& gradients, const AttentionGradSchedule& s) {
  const AttentionPlan& plan = gradients.forward;
  int64_t keys = plan.keys.constant().value_or(kManyKeys), columns = upTo(plan.headDim, s.nr);
  Elements ofRow = spread(columns, plan.dtype), tile = Elements(std::max(s.queries, s.turn)) * s.nr, sums = Elements(2) * s.keys * columns;
  Elements queries = s.queries * ((gradients.dbias ? 3 : 2) * spread(upTo(keys, s.nr), plan.dtype) + 2 * ofRow) + tile;
  Elements ofKeys = 2 * s.turn * (spread(s.keys, plan.dtype) + ofRow) + sums;
  int64_t few = mostShortKeys(plan, /*isGradient=*/true);
  Elements head = panelsOf(plan, few, s.nr, 2, 1) + Elements(2) * few * columns + (2 * s.turn + 1) * spread(few + s.nr, plan.dtype) + 2 * s.turn * ofRow + tile;
  return scratchBytes(std::max({queries, ofKeys, isShort(gradients, s.keys).constant() != 0 ? head : Elements(0)}), plan.dtype);
}

std::vector<AttentionSchedule> movesOf(const AttentionPlan& plan, const AttentionSchedule& from, const CpuTarget& target) {
  auto moves = movesOfBlocks(from, target, plan.dtype);
  if (!plan.causal)
    addSizes(from.queries, from.rows, [&](int64_t queries) { moves.push_back({from.rows, from.nr, queries}); });
  return moves;
}

std::optional<std::string> refusalOf(const AttentionPlan& plan, const AttentionSchedule& s, const AttentionSchedule& model, const CpuTarget& target) {
  if (auto why = s.illegal(target, plan.dtype))
    return why;
  if (plan.causal ? s.queries != model.queries : s.queries > std::max(kMostQueries, model.queries))
    return "queries " + std::to_string(s.queries) + (plan.causal ? " changes bits of causal attention" : " are too many for a thread");
  return refusalOfScratch(scratchOf(plan, s), scratchOf(plan, model));
}

/// Whether the turns of queries are blocks that see keys up to their last row's: where one item does all of a head.
bool turnsAreBlocks(const AttentionGradPlan& plan, const AttentionGradSchedule& s) { return plan.forward.causal && isShort(plan, s.keys).constant() != 0; }

std::vector<AttentionGradSchedule> movesOf(const AttentionGradPlan& plan, const AttentionGradSchedule& from, const CpuTarget& target) {
  auto moves = movesOfBlocks(from, target, plan.forward.dtype);
  for (AttentionGradSchedule& s : moves)
    if (!plan.forward.causal)
      s.keys = upTo(s.keys, s.nr);
  auto change = [&](int64_t AttentionGradSchedule::* entry, int64_t multiple) {
    addSizes(from.*entry, multiple, [&](int64_t size) { moves.emplace_back(from).*entry = size; });
  };
  if (!turnsAreBlocks(plan, from))
    change(&AttentionGradSchedule::turn, from.rows);
  if (!plan.forward.causal) {
    change(&AttentionGradSchedule::queries, from.rows);
    change(&AttentionGradSchedule::keys, from.nr);
  }
  return moves;
}

std::optional<std::string> refusalOf(const AttentionGradPlan& plan, const AttentionGradSchedule& s, const AttentionGradSchedule& model,
                                     const CpuTarget& target) {
  if (auto why = s.illegal(target, plan.forward.dtype))
    return why;
  for (auto [now, before] : {std::pair(s.queries, model.queries), std::pair(s.keys, model.keys), std::pair(s.turn, model.turn)})
    if (now > std::max(kMostQueries, before))
      return "blocks of " + std::to_string(now) + " are too large for a thread";
  if (plan.forward.causal && (s.queries != model.queries || s.keys != model.keys))
    return "its queries and keys change bits of causal attention";
  if (turnsAreBlocks(plan, s) && s.turn != model.turn)
    return "its turns of queries change bits of causal attention";
  return refusalOfScratch(scratchOf(plan, s), scratchOf(plan, model));
}

/// Rows of keys that a register block takes: their scores, and the sums of values, run over the same terms whatever they are. What decides whether a query's
/// row is one of few, and which keys are a block, stays.
std::vector<CachedAttentionSchedule> movesOf(const CachedAttentionPlan&, const CachedAttentionSchedule& from, const CpuTarget& target) {
  std::vector<CachedAttentionSchedule> moves;
  for (int64_t part : {from.rows / 2, from.rows * 2 / 3, from.rows * 2})
    if (part > 0)
      moves.emplace_back(from).rows = part;
  return moves;
}

std::optional<std::string> refusalOf(const CachedAttentionPlan& plan, const CachedAttentionSchedule& s, const CachedAttentionSchedule& model,
                                     const CpuTarget& target) {
  if (auto why = s.illegal(target, plan.dtype))
    return why;
  if (s.nr != model.nr || s.keys != model.keys)
    return "its blocks of keys and of queries decide the order of sums";
  return std::nullopt;
}

/// The kernel's plan and schedules, as its kind has them, to `visit`; `none` for a kernel or a schedule that is something else.
template <class Result, class Visit> Result visitKind(ir::KernelOp kernel, Result none, Visit visit) {
  auto with = [&](auto plan, auto schedule) { return failed(plan) ? none : visit(*plan, schedule); };
  std::string_view kind = kernel.getKind();
  if (kind == "attention")
    return with(AttentionPlan::of(kernel), AttentionSchedule());
  if (kind == "attention_grad")
    return with(AttentionGradPlan::of(kernel), AttentionGradSchedule());
  return with(CachedAttentionPlan::of(kernel), CachedAttentionSchedule());
}

} // namespace

bool isAttention(ir::KernelOp kernel) {
  std::string_view kind = kernel.getKind();
  return kind == "attention" || kind == "attention_grad" || kind == "cached_attention";
}

Candidates movesOfAttention(ir::KernelOp kernel, mlir::DictionaryAttr schedule, const CpuTarget& target) {
  return visitKind(kernel, Candidates(), [&](const auto& plan, auto type) {
    Candidates moves;
    if (auto from = decltype(type)::from(schedule))
      for (const auto& move : movesOf(plan, *from, target))
        moves.push_back(move.attr(kernel.getContext()));
    return moves;
  });
}

std::optional<std::string> refusalOfAttention(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target) {
  return visitKind(kernel, std::optional<std::string>("it is no attention"), [&](const auto& plan, auto type) {
    auto wanted = exactly<decltype(type)>(schedule), chosen = decltype(type)::from(model);
    return wanted && chosen ? refusalOf(plan, *wanted, *chosen, target) : std::optional<std::string>(kOtherEntries);
  });
}

} // namespace moec::codegen::cpu
