#include "codegen/cpu/Candidates.h"

#include "codegen/analysis/GatePlan.h"
#include "codegen/analysis/ProductPlans.h"
#include "codegen/analysis/SumsOfRows.h"
#include "codegen/cpu/AttentionCandidates.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/LayerCandidates.h"
#include "codegen/cpu/ProductSchedule.h"
#include "codegen/cpu/Schedule.h"
#include "codegen/cpu/TotalsBeside.h"

#include <algorithm>

namespace moec::codegen::cpu {
namespace {

constexpr int64_t kMostBlock = 1 << 17;

//===--- products ---===//

/// A product as far as its schedule goes. Sizes that are not constant are none.
struct Product {
  DType dtype;
  std::optional<int64_t> rows, columns, depth;
  bool isPacked;          // b is packed already: nr is given
  bool choosesCopies;     // whether packRows changes anything
  bool choosesPanels;     // whether an item need not take all panels
  bool isTransposed;      // a's and b's rows are copied slice by slice, not a block's rows
  bool hasTotals = false; // items and panels decide the order of sums over all elements
};

std::optional<Product> productOf(ir::KernelOp kernel) {
  std::string_view kind = kernel.getKind();
  bool updates = kind == "weight_update";
  if (kind == "matmul" || (updates && !updatesExperts(kernel))) {
    auto plan = MatmulPlan::of(kernel);
    if (failed(plan))
      return std::nullopt;
    return Product{plan->dtype, plan->rows.constant(), plan->b.columns.constant(),    plan->b.depth.constant(), plan->b.nr.has_value(), !plan->transposed,
                   true,        plan->transposed,      updates && givesTotals(kernel)};
  }
  if (kind == "expert_up" || kind == "expert_mid" || kind == "expert_down") {
    auto plan = ExpertPlan::of(kernel);
    if (failed(plan))
      return std::nullopt;
    return Product{plan->dtype, {}, plan->b.columns.constant(), plan->b.depth.constant(), plan->b.nr.has_value(), !plan->gathered, true, false};
  }
  if (kind == "weight_grad" || updates) {
    auto plan = WeightGradPlan::of(kernel);
    if (failed(plan))
      return std::nullopt;
    return Product{plan->dtype, plan->columns.constant(), plan->depth.constant(), {}, false, false, true, true, updates && givesTotals(kernel)};
  }
  if (kind == "gate" && !takesRoutingsApart(kernel)) {
    auto plan = GatePlan::of(kernel);
    if (failed(plan) || plan->products.empty())
      return std::nullopt;
    const ScoreProduct& product = plan->products.front();
    bool isPacked = llvm::any_of(plan->products, [](const ScoreProduct& each) { return each.w.nr.has_value(); });
    return Product{plan->dtype, plan->tokens.constant(), product.w.columns.constant(), product.w.depth.constant(), isPacked, false, false, false};
  }
  return std::nullopt;
}

/// Bytes of a worker's sums and copies, at most: Product.cpp. Every entry is at most 2^30.
int64_t scratchOf(const Product& product, const ProductSchedule& s) {
  DType dtype = product.dtype;
  int64_t columns = product.choosesPanels ? s.panels * s.nr : upTo(product.columns.value_or(s.panels * s.nr), s.nr);
  Elements sums = Elements(s.rowBlock) * columns * (product.choosesPanels ? 1 : 2); // a gate's scores beside them
  Elements copies = product.isTransposed ? s.slice * (spread(s.rowBlock, dtype) + spread(columns, dtype)) : s.rowBlock * spread(s.slice, dtype);
  if (!product.isTransposed && !product.isPacked)
    copies += s.slice * s.nr; // a panel of few rows
  return scratchBytes(sums + copies, dtype);
}

std::optional<std::string> refusalOfProduct(const Product& product, const ProductSchedule& s, const ProductSchedule& model, const CpuTarget& target) {
  for (int64_t entry : {s.rows, s.nr, s.slice, s.rowBlock, s.panels})
    if (entry > int64_t{1} << 30)
      return "an entry of " + std::to_string(entry) + " is no size of a block";
  if (auto why = s.illegal(target, product.dtype))
    return why;
  if (s.tiles != model.tiles)
    return "tiles add products up in another order";
  if (product.isPacked && s.nr != model.nr)
    return "the weights are packed for nr " + std::to_string(model.nr);
  if (product.hasTotals && (s.nr != model.nr || s.rowBlock != model.rowBlock || s.panels != model.panels))
    return "sums over all elements are taken item by item, and panel by panel";
  return refusalOfScratch(scratchOf(product, s), scratchOf(product, model));
}

/// Vectors, or tiles, that a panel may be wide.
int64_t mostWide(const ProductSchedule& s) { return s.tiles ? 2 : kMostVectors; }
/// Rows of the tallest block of so many; 0: none fits.
int64_t tallest(const ProductSchedule& s, const CpuTarget& target, int64_t wide) { return s.tiles ? 2 * Tiles::kRows : mostRows(target, wide); }

/// With other columns a panel: as many rows as fit, and about as many columns an item as before.
ProductSchedule withWidth(ProductSchedule s, int64_t vectors, const CpuTarget& target, DType dtype) {
  int64_t lanes = s.tiles ? Tiles::kColumns : lanesOf(target, dtype), columns = s.panels * s.nr;
  s.nr = vectors * lanes;
  s.rows = tallest(s, target, vectors);
  s.rowBlock = upTo(s.rowBlock, s.rows);
  s.panels = std::max<int64_t>(1, columns / s.nr);
  return s;
}

std::vector<ProductSchedule> movesOfProduct(const Product& product, const ProductSchedule& from, const CpuTarget& target) {
  std::vector<ProductSchedule> moves;
  auto change = [&](auto&& edit) {
    ProductSchedule s = from;
    edit(s);
    moves.push_back(s);
  };
  for (int64_t vectors = 1; !product.isPacked && vectors <= mostWide(from); ++vectors)
    if (tallest(from, target, vectors) > 0)
      moves.push_back(withWidth(from, vectors, target, product.dtype));
  for (int64_t part : {1, 2, 3}) // of the tallest block: all, two thirds, a half
    change([&](ProductSchedule& s) {
      int64_t most = tallest(s, target, s.vectors(target, product.dtype));
      s.rows = std::max<int64_t>(1, part == 1 ? most : part == 2 ? most * 2 / 3 : most / 2);
      s.rowBlock = upTo(s.rowBlock, s.rows);
    });
  int64_t mostRowsOfItem = upTo(product.rows.value_or(kMostBlock), from.rows);
  for (int64_t rows : {from.rowBlock / 2, from.rowBlock * 2, from.rowBlock * 4, product.rows.value_or(from.rowBlock)})
    change([&](ProductSchedule& s) { s.rowBlock = std::min(upTo(rows, s.rows), mostRowsOfItem); });
  if (product.choosesPanels) {
    int64_t all = ceilDiv(product.columns.value_or(kMostBlock), from.nr);
    for (int64_t panels : {from.panels / 4, from.panels / 2, from.panels * 2, from.panels * 4, product.columns ? all : from.panels})
      change([&](ProductSchedule& s) { s.panels = std::clamp<int64_t>(panels, 1, all); });
  }
  int64_t deepest = upTo(product.depth.value_or(kMostBlock), from.step());
  for (int64_t slice : {from.slice / 2, from.slice * 2, from.slice * 4, product.depth.value_or(from.slice)})
    change([&](ProductSchedule& s) { s.slice = std::min(upTo(slice, s.step()), deepest); });
  if (product.choosesCopies)
    change([&](ProductSchedule& s) { s.packRows = !s.packRows; });
  return moves;
}

//===--- blocks ---===//

/// Whether the items of a kernel of blocks are independent: no sum runs over them.
bool hasFreeBlocks(ir::KernelOp kernel) {
  std::string_view kind = kernel.getKind();
  if (kind == "rows")
    return SumsOfRows::of(kernel).sums.empty();
  return kind == "loops" || kind == "update" || kind == "pack" || kind == "append" || kind == "sums" || kind == "gate";
}

//===--- a schedule of any kind ---===//

std::optional<std::string> refuseBlock(ir::KernelOp kernel, mlir::DictionaryAttr attr) {
  auto block = attr.getAs<mlir::IntegerAttr>("block");
  if (!block || attr.size() != 1 || BlockSchedule{block.getInt()}.toAttr(attr.getContext()) != attr)
    return kOtherEntries;
  if (!hasFreeBlocks(kernel))
    return "its block decides the order of a sum";
  if (block.getInt() < 1 || block.getInt() > kMostBlock)
    return "a block of " + std::to_string(block.getInt()) + " is none";
  return std::nullopt;
}

} // namespace

std::optional<std::string> refusalOf(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target) {
  if (!schedule || !model)
    return kOtherEntries;
  std::string_view kind = kernel.getKind();
  if (auto product = productOf(kernel)) {
    auto wanted = exactly<ProductSchedule>(schedule), chosen = ProductSchedule::from(model);
    return wanted && chosen ? refusalOfProduct(*product, *wanted, *chosen, target) : std::optional<std::string>(kOtherEntries);
  }
  if (isAttention(kernel))
    return refusalOfAttention(kernel, schedule, model, target);
  if (kind == "moe_layer")
    return refusalOfLayer(kernel, schedule, model, target);
  if (schedule.get("block"))
    return refuseBlock(kernel, schedule);
  return "kernels of kind \"" + std::string(kind) + "\" are not tuned";
}

Candidates candidatesOf(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target) {
  mlir::MLIRContext* context = kernel.getContext();
  Candidates found;
  auto add = [&](mlir::DictionaryAttr candidate) {
    if (candidate != schedule && !llvm::is_contained(found, candidate) && !refusalOf(kernel, candidate, model, target))
      found.push_back(candidate);
  };
  if (auto product = productOf(kernel)) {
    if (auto from = ProductSchedule::from(schedule))
      for (const ProductSchedule& move : movesOfProduct(*product, *from, target))
        add(move.attr(context));
  } else if (isAttention(kernel)) {
    llvm::for_each(movesOfAttention(kernel, schedule, target), add);
  } else if (kernel.getKind() == "moe_layer") {
    llvm::for_each(movesOfLayer(kernel, schedule, target), add);
  } else if (auto block = schedule.getAs<mlir::IntegerAttr>("block"); block && hasFreeBlocks(kernel)) {
    for (int64_t size : {block.getInt() / 4, block.getInt() / 2, block.getInt() * 2, block.getInt() * 4})
      add(BlockSchedule{size}.toAttr(context));
  }
  return found;
}

} // namespace moec::codegen::cpu
