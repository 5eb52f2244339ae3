#include "codegen/cpu/Candidates.h"

#include "codegen/analysis/GatePlan.h"
#include "codegen/analysis/ProductPlans.h"
#include "codegen/analysis/SumsOfRows.h"
#include "codegen/cpu/AttentionBlocks.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/ProductSchedule.h"
#include "codegen/cpu/Schedule.h"

#include <algorithm>

namespace moec::codegen::cpu {
namespace {

using Candidates = std::vector<mlir::DictionaryAttr>;

// A worker's copies and sums of a product. The cost model takes about half of L2; beyond a few MiB nothing is gained.
constexpr int64_t kMostScratch = 4 << 20;
constexpr int64_t kMostVectors = 3; // of a panel
constexpr int64_t kMostBlock = 1 << 16;

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t upTo(int64_t value, int64_t multiple) { return ceilDiv(std::max<int64_t>(value, 1), multiple) * multiple; }

int64_t bytesOfSum(DType dtype) { return static_cast<int64_t>(byteSize(sumType(dtype))); }
int64_t lanesOf(const CpuTarget& target, DType dtype) { return target.vectorBytes / bytesOfSum(dtype); }

using Elements = __int128; // products of three sizes

/// Rows of so many elements that lie a line further apart than they need to, at most.
Elements spread(int64_t elements, DType dtype) {
  int64_t line = 64 / bytesOfSum(dtype);
  return upTo(elements, line) + line;
}
int64_t bytesOf(Elements elements, DType dtype) {
  return static_cast<int64_t>(std::min<Elements>(elements * bytesOfSum(dtype), std::numeric_limits<int64_t>::max()));
}
std::optional<std::string> refusalOfScratch(int64_t bytes, int64_t ofModel) {
  if (bytes > std::max(kMostScratch, ofModel))
    return "its blocks take " + std::to_string(bytes) + " bytes of each thread";
  return std::nullopt;
}

//===--- products ---===//

/// A product as far as its schedule goes. Sizes that are not constant are none.
struct Product {
  DType dtype;
  std::optional<int64_t> rows, columns, depth;
  bool isPacked;      // b is packed already: nr is given
  bool choosesCopies; // whether packRows changes anything
  bool choosesPanels; // whether an item need not take all panels
  bool isTransposed;  // a's and b's rows are copied slice by slice, not a block's rows
};

std::optional<Product> productOf(ir::KernelOp kernel) {
  std::string_view kind = kernel.getKind();
  if (kind == "matmul") {
    auto plan = MatmulPlan::of(kernel);
    if (failed(plan))
      return std::nullopt;
    return Product{plan->dtype, plan->rows.constant(), plan->b.columns.constant(), plan->b.depth.constant(), plan->b.nr.has_value(), !plan->transposed,
                   true,        plan->transposed};
  }
  if (kind == "expert_up" || kind == "expert_mid" || kind == "expert_down") {
    auto plan = ExpertPlan::of(kernel);
    if (failed(plan))
      return std::nullopt;
    return Product{plan->dtype, {}, plan->b.columns.constant(), plan->b.depth.constant(), plan->b.nr.has_value(), !plan->gathered, true, false};
  }
  if (kind == "weight_grad") {
    auto plan = WeightGradPlan::of(kernel);
    if (failed(plan))
      return std::nullopt;
    return Product{plan->dtype, plan->columns.constant(), plan->depth.constant(), {}, false, false, true, true};
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
  return bytesOf(sums + copies, dtype);
}

std::optional<std::string> refusalOfProduct(const Product& product, const ProductSchedule& s, const ProductSchedule& model, const CpuTarget& target) {
  for (int64_t entry : {s.rows, s.nr, s.slice, s.rowBlock, s.panels})
    if (entry > int64_t{1} << 30)
      return "an entry of " + std::to_string(entry) + " is no size of a block";
  if (auto why = s.illegal(target, product.dtype))
    return why;
  if (product.isPacked && s.nr != model.nr)
    return "the weights are packed for nr " + std::to_string(model.nr);
  return refusalOfScratch(scratchOf(product, s), scratchOf(product, model));
}

/// With other columns a panel: as many rows as fit, and about as many columns an item as before.
ProductSchedule withWidth(ProductSchedule s, int64_t vectors, const CpuTarget& target, DType dtype) {
  int64_t lanes = lanesOf(target, dtype), columns = s.panels * s.nr;
  s.nr = vectors * lanes;
  s.rows = mostRows(target, vectors);
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
  for (int64_t vectors = 1; !product.isPacked && vectors <= kMostVectors; ++vectors)
    if (mostRows(target, vectors) > 0)
      moves.push_back(withWidth(from, vectors, target, product.dtype));
  for (int64_t part : {1, 2, 3}) // of the tallest block: all, two thirds, a half
    change([&](ProductSchedule& s) {
      int64_t tallest = mostRows(target, s.vectors(target, product.dtype));
      s.rows = std::max<int64_t>(1, part == 1 ? tallest : part == 2 ? tallest * 2 / 3 : tallest / 2);
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
  int64_t deepest = upTo(product.depth.value_or(kMostBlock), 4);
  for (int64_t slice : {from.slice / 2, from.slice * 2, from.slice * 4, product.depth.value_or(from.slice)})
    change([&](ProductSchedule& s) { s.slice = std::min(upTo(slice, 4), deepest); });
  if (product.choosesCopies)
    change([&](ProductSchedule& s) { s.packRows = !s.packRows; });
  return moves;
}

//===--- attention ---===//

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

/// A head's keys and values as panels: HeadPanels.
Elements panelsOf(const AttentionPlan& plan, int64_t nr, int64_t ofKeys, int64_t ofColumns) {
  int64_t keys = plan.keys.constant().value_or(kManyKeys);
  return Elements(upTo(keys, nr)) * plan.headDim * ofKeys + Elements(keys) * upTo(plan.headDim, nr) * ofColumns;
}

/// Bytes of a worker: Attention.cpp.
int64_t scratchOf(const AttentionPlan& plan, const AttentionSchedule& s) {
  Elements row = spread(upTo(plan.keys.constant().value_or(kManyKeys), s.nr), plan.dtype) + 1 + s.nr;
  if (plan.dtype == DType::BF16)
    row += spread(plan.headDim, plan.dtype);
  return bytesOf(s.queries * row + (isShort(plan, /*isGradient=*/false) ? panelsOf(plan, s.nr, 1, 1) : 0), plan.dtype);
}

/// Bytes of a worker: AttentionGrad.cpp, the stage that takes most.
int64_t scratchOf(const AttentionGradPlan& gradients, const AttentionGradSchedule& s) {
  const AttentionPlan& plan = gradients.forward;
  int64_t keys = plan.keys.constant().value_or(kManyKeys), columns = upTo(plan.headDim, s.nr);
  Elements ofRow = spread(columns, plan.dtype), tile = Elements(std::max(s.queries, s.turn)) * s.nr, sums = Elements(2) * s.keys * columns;
  Elements queries = s.queries * ((gradients.dbias ? 3 : 2) * spread(upTo(keys, s.nr), plan.dtype) + 2 * ofRow) + tile;
  Elements ofKeys = 2 * s.turn * (spread(s.keys, plan.dtype) + ofRow) + sums;
  Elements head = panelsOf(plan, s.nr, 2, 1) + sums + (2 * s.turn + 1) * spread(keys + s.nr, plan.dtype) + 2 * s.turn * ofRow + tile;
  return bytesOf(std::max({queries, ofKeys, isShort(plan, /*isGradient=*/true) ? head : Elements(0)}), plan.dtype);
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
bool turnsAreBlocks(const AttentionGradPlan& plan) { return plan.forward.causal && isShort(plan.forward, /*isGradient=*/true); }

std::vector<AttentionGradSchedule> movesOf(const AttentionGradPlan& plan, const AttentionGradSchedule& from, const CpuTarget& target) {
  auto moves = movesOfBlocks(from, target, plan.forward.dtype);
  for (AttentionGradSchedule& s : moves)
    if (!plan.forward.causal)
      s.keys = upTo(s.keys, s.nr);
  auto change = [&](int64_t AttentionGradSchedule::* entry, int64_t multiple) {
    addSizes(from.*entry, multiple, [&](int64_t size) { moves.emplace_back(from).*entry = size; });
  };
  if (!turnsAreBlocks(plan))
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
  if (turnsAreBlocks(plan) && s.turn != model.turn)
    return "its turns of queries change bits of causal attention";
  return refusalOfScratch(scratchOf(plan, s), scratchOf(plan, model));
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

/// The entries as one kind of schedule has them and no others; nothing for a dictionary of anything else.
template <class Schedule> std::optional<Schedule> exactly(mlir::DictionaryAttr attr) {
  auto schedule = Schedule::from(attr);
  return schedule && schedule->attr(attr.getContext()) == attr ? schedule : std::nullopt;
}

constexpr const char* kOtherEntries = "it has not the entries of this kind of kernel";

template <class Schedule, class Plan>
std::optional<std::string> refuseBy(const Plan& plan, mlir::DictionaryAttr attr, mlir::DictionaryAttr model, const CpuTarget& target) {
  auto schedule = exactly<Schedule>(attr);
  return schedule ? refusalOf(plan, *schedule, *Schedule::from(model), target) : std::optional<std::string>(kOtherEntries);
}

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
    auto wanted = exactly<ProductSchedule>(schedule);
    return wanted ? refusalOfProduct(*product, *wanted, *ProductSchedule::from(model), target) : std::optional<std::string>(kOtherEntries);
  }
  if (kind == "attention") {
    auto plan = AttentionPlan::of(kernel);
    return failed(plan) ? std::optional<std::string>("it is no attention") : refuseBy<AttentionSchedule>(*plan, schedule, model, target);
  }
  if (kind == "attention_grad") {
    auto plan = AttentionGradPlan::of(kernel);
    return failed(plan) ? std::optional<std::string>("it is no attention") : refuseBy<AttentionGradSchedule>(*plan, schedule, model, target);
  }
  if (kind != "moe_layer" && schedule.get("block"))
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
  auto addAll = [&](const auto& moves) {
    for (const auto& move : moves)
      add(move.attr(context));
  };
  std::string_view kind = kernel.getKind();
  if (auto product = productOf(kernel)) {
    if (auto from = ProductSchedule::from(schedule))
      addAll(movesOfProduct(*product, *from, target));
  } else if (kind == "attention") {
    auto plan = AttentionPlan::of(kernel);
    if (auto from = AttentionSchedule::from(schedule); from && succeeded(plan))
      addAll(movesOf(*plan, *from, target));
  } else if (kind == "attention_grad") {
    auto plan = AttentionGradPlan::of(kernel);
    if (auto from = AttentionGradSchedule::from(schedule); from && succeeded(plan))
      addAll(movesOf(*plan, *from, target));
  } else if (auto block = schedule.getAs<mlir::IntegerAttr>("block"); block && hasFreeBlocks(kernel)) {
    for (int64_t size : {block.getInt() / 4, block.getInt() / 2, block.getInt() * 2, block.getInt() * 4})
      add(BlockSchedule{size}.toAttr(context));
  }
  return found;
}

} // namespace moec::codegen::cpu
