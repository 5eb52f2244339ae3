#include "codegen/cpu/LayerCandidates.h"

#include "codegen/cpu/LayerPlaces.h"
#include "codegen/cpu/LayerSchedule.h"

namespace moec::codegen::cpu {
namespace {

constexpr int64_t kMostRows = 4096; // tokens of a block, and rows of a group

/// Whether the weights are packed already: then their widths are given.
bool isPacked(const LayerPlan& plan) {
  return llvm::any_of(plan.products, [](const LayerProduct& product) { return product.w.nr.has_value(); });
}

/// Bytes of a worker: LayerKernel.cpp. Every entry is at most kMostRows, or a register block's.
int64_t scratchOf(const LayerPlan& plan, const LayerSchedule& s) {
  Elements ofToken = 0, ofGroup = s.nr, ofBlock = plan.choices * spread(upTo(plan.width(), s.nr), plan.dtype);
  for (const ScoreProduct& product : plan.gate.products)
    ofToken += 2 * upTo(product.w.columns.constant().value_or(1024), s.scoreNr);
  for (mlir::Value value : plan.wanted)
    if (auto type = mlir::dyn_cast<mlir::RankedTensorType>(value.getType()); type && type.getRank() > 0)
      ofToken += ir::sizesOf(value).back().constant().value_or(1024);
  for (const LayerProduct& product : plan.products)
    ofGroup += spread(product.depth(), plan.dtype) + spread(upTo(product.columns(), s.nr), plan.dtype);
  int64_t lists = plan.experts <= LayerPlaces::kMostLists ? plan.experts : 1; // of places; and which of them are kept
  return scratchBytes(s.block * (ofBlock + (lists + 1) * plan.choices) + s.group * ofGroup, plan.dtype) + scratchBytes(s.block * ofToken, plan.gate.dtype);
}

/// With a register block of so many vectors, or of as many rows as fit times `part`.
template <class Edit> void addRegisterBlocks(const LayerSchedule& from, const CpuTarget& target, DType dtype, bool hasWidth, int64_t nr, Edit add) {
  int64_t lanes = lanesOf(target, dtype);
  for (int64_t vectors = 1; !hasWidth && vectors <= kMostVectors; ++vectors)
    add(mostRows(target, vectors), vectors * lanes);
  for (int64_t part : {3, 2})
    add(std::max<int64_t>(1, mostRows(target, nr / lanes) * part / (part + 1)), nr);
}

} // namespace

Candidates movesOfLayer(ir::KernelOp kernel, mlir::DictionaryAttr schedule, const CpuTarget& target) {
  auto plan = LayerPlan::of(kernel);
  auto from = LayerSchedule::from(schedule);
  if (failed(plan) || !from)
    return {};
  Candidates moves;
  auto change = [&](auto&& edit) {
    LayerSchedule s = *from;
    edit(s);
    moves.push_back(s.attr(kernel.getContext()));
  };
  int64_t tokens = std::max<int64_t>(1, plan->tokens.constant().value_or(kMostRows));
  for (int64_t block : {from->block / 2, from->block * 2, from->block * 4, tokens})
    change([&](LayerSchedule& s) { s.block = std::clamp<int64_t>(block, 1, std::min(tokens, kMostRows)); });
  for (int64_t group : {from->group / 2, from->group * 2})
    change([&](LayerSchedule& s) { s.group = upTo(group, s.rows); });
  addRegisterBlocks(*from, target, plan->dtype, isPacked(*plan), from->nr, [&](int64_t rows, int64_t nr) {
    change([&](LayerSchedule& s) {
      s.rows = rows;
      s.nr = nr;
      s.group = upTo(s.group, rows);
    });
  });
  if (!plan->gate.products.empty())
    addRegisterBlocks(*from, target, plan->gate.dtype, isPacked(*plan), from->scoreNr, [&](int64_t rows, int64_t nr) {
      change([&](LayerSchedule& s) {
        s.scoreRows = rows;
        s.scoreNr = nr;
      });
    });
  return moves;
}

std::optional<std::string> refusalOfLayer(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target) {
  auto plan = LayerPlan::of(kernel);
  if (failed(plan))
    return "it is no layer in one launch";
  auto s = exactly<LayerSchedule>(schedule), chosen = LayerSchedule::from(model);
  if (!s || !chosen)
    return kOtherEntries;
  if (auto why = s->illegal(target, *plan))
    return why;
  for (auto [rows, ofModel] : {std::pair(s->block, chosen->block), std::pair(s->group, chosen->group)})
    if (rows > std::max(kMostRows, ofModel))
      return "blocks of " + std::to_string(rows) + " rows are too large for a thread";
  if (isPacked(*plan) && (s->nr != chosen->nr || s->scoreNr != chosen->scoreNr))
    return "the weights are packed for nr " + std::to_string(chosen->nr) + " and score_nr " + std::to_string(chosen->scoreNr);
  return refusalOfScratch(scratchOf(*plan, *s), scratchOf(*plan, *chosen));
}

} // namespace moec::codegen::cpu
