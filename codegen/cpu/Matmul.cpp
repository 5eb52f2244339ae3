// moe.kernel of kind `matmul`: items are (batch, block of rows, run of panels), each panel's sums go through the epilogue at once.
// a may lie as (.., K, M), b as (.., K, N). Where both do, as in the gradient of a weight, an item copies what it needs of them; else a b that is not
// packed becomes panels in a stage before, or, of so few rows that they are one block, where it is multiplied, unless it is small and lies as panels do. Sums
// of rows of an argument, as the gradient of a bias, are made of the copies, or else are items of the product's stage. Of a weight_update the epilogue is the
// weight's update, and sums over all elements of what is made of the gradient. The gradient of a small weight is made in runs of the rows that it sums up.
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/ProductInRuns.h"
#include "codegen/cpu/SumsOfRows.h"
#include "codegen/cpu/TotalsBeside.h"

namespace moec::codegen::cpu {
namespace {

bool copiesB(const MatmulPlan& plan) { return plan.transposed && plan.b.transposed; }

/// 1 where there are more rows than a block has, else 0.
Size hasManyRows(const MatmulPlan& plan, const ProductSchedule& schedule) { return Size::min(1, Size::max(0, plan.rows - Size(schedule.rowBlock))); }

/// Whether rows of one block meet panels that no other rows do: items make them for themselves, and threads wait for each other once less. Not rows so few that
/// they go through the whole depth of panels, which lie packed then.
bool fewMakePanels(const MatmulPlan& plan) { return !plan.b.nr && !plan.transposed && plan.b.batch == plan.batch && !areFew(plan.rows, plan.b.depth); }

/// Where a matrix of a plain b begins.
Value matrixOfB(KernelBuilder& k, const MatmulPlan& plan, Value matrix) {
  return k.at(k.input(plan.b.input), k.add(k.mul(matrix, k.size(plan.b.columns * plan.b.depth)), k.size(plan.b.before)), plan.dtype);
}

/// Whether panels of a plain b are runs of its rows that few rows of a read where they lie: a slice of all its columns is no more than L2 holds, so that
/// those of one panel, which lie a row apart, do not push each other out.
bool readsPanelsInPlace(const MatmulPlan& plan, const ProductSchedule& schedule) {
  std::optional<int64_t> columns = plan.b.columns.constant(), depth = plan.b.depth.constant();
  bool isWhole = plan.b.transposed && plan.dtype == sumType(plan.dtype) && columns && depth && *columns % schedule.nr == 0;
  return isWhole && std::min(schedule.slice, *depth) * *columns * bytesOfSum(plan.dtype) <= kL2Bytes;
}

/// Rows [from, from + count) of a panel of a plain matrix of b; one with its dimensions exchanged is runs of its rows.
void makePanel(KernelBuilder& k, const MatmulPlan& plan, int64_t nr, Value matrix, Value panel, Value from, Value count, Value to) {
  Value depth = k.size(plan.b.depth), columns = k.size(plan.b.columns), first = k.mul(panel, nr);
  Value base = matrixOfB(k, plan, matrix);
  if (plan.b.transposed)
    copyBlock(k, plan.dtype, {k.at(base, k.add(k.mul(from, columns), first), plan.dtype), columns}, count, k.min(k.index(nr), k.sub(columns, first)), nr,
              {to, k.index(nr)});
  else
    packPanel(k, plan.dtype, {k.at(base, from, plan.dtype), depth}, first, columns, count, nr, to);
}

// A b that the call computed is packed by a stage of its own, for all blocks of rows.
void packStage(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, const Size& matrices, unsigned workspace) {
  Size panels = plan.b.panels(schedule.nr);
  k.stage(matrices * panels, matrices * plan.b.columns * plan.b.depth, [&](Value item) {
    Value to = k.at(k.workspace(workspace), k.mul(item, k.size(plan.b.depth * Size(schedule.nr))), sumType(plan.dtype));
    makePanel(k, plan, schedule.nr, k.div(item, k.size(panels)), k.rem(item, k.size(panels)), k.index(0), k.size(plan.b.depth), to);
  });
}

Size elementsOfPanels(const MatmulPlan& plan, const ProductSchedule& schedule) { return plan.b.panels(schedule.nr) * plan.b.depth * Size(schedule.nr); }

/// Whether each item of few rows may read all panels: they lie there, and every core keeps them.
bool staysInCache(const MatmulPlan& plan) {
  std::optional<int64_t> columns = plan.b.columns.constant(), depth = plan.b.depth.constant();
  return !plan.transposed && !fewMakePanels(plan) && columns && depth && *columns * *depth * bytesOfSum(plan.dtype) <= kL2Bytes / 4;
}

/// What an item of the product is.
struct Item {
  Value batch;            // null without batches
  Value first;            // row
  Value rows, begin, end; // end: of the panels
  const SumsTaker* taker = nullptr;
  std::vector<FetchedRows> read = {}; // behind the product, from its first row on
  const SumsOfColumns* sums = nullptr;
};

void multiplyItem(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, const Item& item, std::optional<unsigned> packed,
                  FinishedRows finished) {
  const ProductOperand& b = plan.b;
  Value depth = k.size(b.depth), aMatrix = k.index(0), bMatrix = k.index(0);
  if (item.batch) {
    aMatrix = stridedOffset(k, item.batch, plan.batch, plan.aStrides());
    bMatrix = stridedOffset(k, item.batch, plan.batch, plan.bStrides());
  }
  DType panelType = b.nr ? b.dtype : sumType(plan.dtype);
  Value panels;
  if (!copiesB(plan) && (packed || !fewMakePanels(plan)))
    panels = k.at(packed ? k.workspace(*packed) : k.input(b.input), k.mul(bMatrix, k.size(elementsOfPanels(plan, schedule))), panelType);
  if (plan.transposed) {
    TransposedBlock block{plan.dtype, {k.at(k.input(plan.a), k.add(aMatrix, item.first), plan.dtype), k.size(plan.rows)}, item.rows, depth, item.begin,
                          item.end};
    if (copiesB(plan)) {
      block.columns = k.size(b.columns);
      block.b = {matrixOfB(k, plan, bMatrix), block.columns};
    }
    block.panels = panels;
    block.panelType = panelType;
    block.taker = item.taker;
    block.read = item.read;
    block.sums = item.sums;
    return multiplyTransposed(k, schedule, block, finished);
  }
  Matrix a{k.at(k.input(plan.a), k.add(aMatrix, k.mul(item.first, depth)), plan.dtype), depth};
  ProductBlock block{sumType(plan.dtype), a, item.rows, panels, depth, item.begin, item.end, panelType};
  if (b.scaled) {
    block.group = b.scaled->size;
    Size scales = b.panels(schedule.nr) * Size::ceilDiv(b.depth, block.group) * Size(schedule.nr);
    block.scales = k.at(k.input(b.scaled->input), k.mul(bMatrix, k.size(scales)), DType::BF16);
  }
  block.panelsAreNear = staysInCache(plan) && ir::product(b.batch) == Size(1);
  auto rowAt = [&](Value row) { return k.at(a.base, k.mul(row, a.stride), plan.dtype); };
  if (schedule.packRows)
    block.rowAt = rowAt;
  block.rowType = plan.dtype;
  block.taker = item.taker;
  block.read = item.read;
  if (!fewMakePanels(plan) || (packed && hasManyRows(plan, schedule) == Size(1)))
    return multiplyPanels(k, schedule, block, finished);
  bool copies = !readsPanelsInPlace(plan, schedule);
  Value made = copies ? k.scratch(bytesOf(panelType, Size::min(schedule.slice, b.depth) * Size(schedule.nr))) : Value();
  auto make = [&](Value panel, Value from, Value count) {
    if (copies)
      return makePanel(k, plan, schedule.nr, bMatrix, panel, from, count, made), Matrix{made, k.index(schedule.nr)};
    Value columns = k.size(b.columns);
    return Matrix{k.at(matrixOfB(k, plan, bMatrix), k.add(k.mul(from, columns), k.mul(panel, schedule.nr)), plan.dtype), columns};
  };
  auto makeOrFind = [&](Value panel, Value from, Value count) {
    auto find = [&] { return k.at(panels, k.mul(k.add(k.mul(panel, depth), from), schedule.nr), panelType); };
    if (!packed)
      return make(panel, from, count);
    Values found = k.when(
        k.compare(ir::Predicate::EQ, k.size(hasManyRows(plan, schedule)), k.index(0)),
        [&] {
          Matrix rows = make(panel, from, count);
          return Values{rows.base, rows.stride};
        },
        [&] { return Values{find(), k.index(schedule.nr)}; });
    return Matrix{found[0], found[1]};
  };
  block.makeRows = makeOrFind;
  // What others have used the last cache for comes from memory, of a b with its dimensions exchanged a line of each row. A panel of a plain one is a run of
  // lines where it is made as a whole.
  auto madeOf = [&](Value panel, Value from, Value count) {
    Value base = matrixOfB(k, plan, bMatrix), columns = k.size(b.columns), first = k.mul(panel, schedule.nr);
    Matrix rows = b.transposed ? Matrix{k.at(base, k.add(k.mul(from, columns), first), plan.dtype), columns}
                               : Matrix{k.at(base, k.mul(first, depth), plan.dtype), k.index(schedule.nr)};
    Value isMade = k.compare(ir::Predicate::EQ, k.size(packed ? hasManyRows(plan, schedule) : Size(0)), k.index(0));
    return FetchedRows{plan.dtype, rows, schedule.nr, k.choose(isMade, count, k.index(0))};
  };
  std::optional<int64_t> known = b.depth.constant();
  if (plan.dtype == panelType && (b.transposed || (known && *known <= schedule.slice)))
    block.madeOf = madeOf;
  multiplyPanels(k, schedule, block, finished);
}

// Columns for which a copy of rows is little: it takes a cycle or two for a vector of a row, their multiply-adds half of one for each column.
constexpr int64_t kColumnsOfCopy = 64;

/// How a product is cut into items: (batch, block of rows, run of panels).
struct ItemsOfProduct {
  Size batches, blockRows, blocks;
  Size panels, inItem, groups; // of them in a run; runs

  ItemsOfProduct(const MatmulPlan& plan, const ProductSchedule& schedule)
      : batches(ir::product(plan.batch)), blockRows(rowsOfItem(schedule, batches, plan.rows, staysInCache(plan))), blocks(Size::ceilDiv(plan.rows, blockRows)),
        panels(plan.b.panels(schedule.nr)), inItem(schedule.panels) {
    // A piece for each of some threads. Rows that are copied are copied for each piece, of columns enough: there only a single block is cut.
    Size ofFew = panelsOfItem(schedule, batches * blocks, panels);
    if (!schedule.packRows) {
      inItem = ofFew;
    } else if (!plan.transposed && !schedule.tiles) {
      Size ofBlock = fewMakePanels(plan) ? ofFew : Size::max(ofFew, std::min(schedule.panels, ceilDiv(kColumnsOfCopy, schedule.nr)));
      inItem = ofBlock + hasManyRows(plan, schedule) * (inItem - ofBlock);
    }
    groups = Size::ceilDiv(panels, inItem);
  }
  Size count() const { return batches * blocks * groups; }
};

void productStage(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, const ItemsOfProduct& items, const Epilogue& epilogue,
                  SumsBeside& beside, TotalsBeside& totals, std::optional<unsigned> packed) {
  std::optional<SumOfRows> own;
  if (plan.transposed && plan.batch.empty() && copiesColumns(plan.dtype, plan.rows) &&
      llvm::all_of(beside.sums(), [](const SumOfRows& sum) { return !sum.routing; }))
    own = beside.take(plan.a);
  beside.stage(items.count(), items.batches * plan.rows * plan.b.columns * plan.b.depth * Size(2), [&](Value number) {
    Value group = k.rem(number, k.size(items.groups)), block = k.div(number, k.size(items.groups));
    Item item;
    if (!plan.batch.empty()) {
      item.batch = k.div(block, k.size(items.blocks));
      block = k.rem(block, k.size(items.blocks));
    }
    item.first = k.mul(block, k.size(items.blockRows));
    item.rows = k.min(k.size(items.blockRows), k.sub(k.size(plan.rows), item.first));
    item.begin = k.mul(group, k.size(items.inItem));
    item.end = k.min(k.add(item.begin, k.size(items.inItem)), k.size(items.panels));
    Values bases = totals.startItem(plan.dtype);
    Piece first{item.batch, item.first, {}, {}, 1, {}};
    LightEpilogue light(epilogue, first, schedule.nr, bases);
    if (epilogue.isLight(schedule.nr))
      item.taker = &light;
    else
      item.read = epilogue.reads(first);
    SumsOfColumns sums{k.compare(ir::Predicate::EQ, group, k.index(0)), [&](Value column, Value whole, Value mask) {
                         storeSums(k, own->dtype, whole, k.at(k.output(own->result), k.add(item.first, column), own->dtype), mask);
                       }};
    if (own)
      item.sums = &sums;
    multiplyItem(k, plan, schedule, item, packed, [&](Value panel, Value inItem, Value rows, const Matrix& tile) {
      epilogue.storePanel(first.below(k, inItem), rows, panel, schedule.nr, tile, bases);
    });
    totals.endItem(number, bases);
  });
  totals.joinStage();
}

/// Whether a weight of known size is larger than the caches that a core has to itself. Where its slices are read as they lie, their rows are apart: two lines
/// of each at once take 0.6 to 0.9 of the time of one (Zen 4, 21 tokens, 256 columns, depths of 8000 and 32128); of smaller weights they may take half as long
/// again.
bool comesFromMemory(const ProductOperand& b, DType dtype) {
  constexpr int64_t ownCaches = int64_t{2} << 20;
  std::optional<int64_t> depth = b.depth.constant(), columns = b.columns.constant();
  return depth && columns && *depth * *columns * static_cast<int64_t>(byteSize(dtype)) > ownCaches;
}

} // namespace

mlir::LogicalResult buildMatmul(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = MatmulPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = productScheduleOf(kernel, k.target(), plan->dtype, plan->b);
  if (failed(schedule))
    return mlir::failure();
  if (plan->transposed && plan->b.scaled)
    return kernel.emitOpError("multiplies the transpose of rows by codes of weights: not supported by this kernel");
  if (plan->transposed && plan->b.inPairs)
    return kernel.emitOpError("multiplies the transpose of rows by panels in pairs: not supported by this kernel");
  auto beside = SumsBeside::of(k);
  if (failed(beside))
    return mlir::failure();
  TotalsBeside totals(k, beside->others());
  auto epilogue = Epilogue::make(k, plan->op.getResult(), totals.sinks(), plan->batch.size(), {}, totals.summed());
  if (failed(epilogue))
    return mlir::failure();
  if (isInRuns(*plan)) {
    multiplyInRuns(k, *plan, *schedule, *epilogue, *beside, totals);
    return mlir::success();
  }
  ItemsOfProduct items(*plan, *schedule);
  totals.addWorkspaces(items.count());
  std::optional<unsigned> packed;
  Size matrices = ir::product(plan->b.batch) * (fewMakePanels(*plan) ? hasManyRows(*plan, *schedule) : Size(1));
  if (!plan->b.nr && !copiesB(*plan) && matrices.constant() != 0) {
    packed = k.addWorkspace(bytesOf(sumType(plan->dtype), matrices * elementsOfPanels(*plan, *schedule)));
    packStage(k, *plan, *schedule, matrices, *packed);
  }
  productStage(k, *plan, *schedule, items, *epilogue, *beside, totals, packed);
  return mlir::success();
}

mlir::DictionaryAttr scheduleMatmul(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = MatmulPlan::of(kernel);
  if (failed(plan))
    return {};
  ProductShape shape{plan->dtype, plan->rows, plan->b.columns, plan->b.depth, false, plan->b.nr, plan->transposed, ir::product(plan->batch)};
  shape.packedByCalls = isPackedByCalls(kernel, plan->b);
  shape.inRuns = isInRuns(*plan);
  if (plan->b.scaled)
    shape.group = plan->b.scaled->size;
  shape.inPairs = plan->b.inPairs || isPackedOnce(kernel, plan->b);
  ProductSchedule schedule = chooseProduct(shape, target);
  if (shape.packedByCalls && fewMakePanels(*plan) && hasManyRows(*plan, schedule) != Size(1) && comesFromMemory(plan->b, plan->dtype)) {
    shape.packedByCalls = false;
    if (ProductSchedule wide = chooseProduct(shape, target); readsPanelsInPlace(*plan, wide))
      schedule = wide;
  }
  if (auto why = schedule.illegal(target, plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
