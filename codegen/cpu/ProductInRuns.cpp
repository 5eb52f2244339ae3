// for each (run, block of the product's rows, group of panels): sums[run] = the run's rows of a, transposed, times those of b
//   [ of a single run: epilogue ]  [ the run's rows of what is summed up beside, once ]
// for each block of columns of what is summed up beside: the sum of the runs' sums, in their order
//   and, of several runs, for each block of rows: for each panel: the sum of sums[run], in their order; epilogue
#include "codegen/cpu/ProductInRuns.h"

namespace moec::codegen::cpu {

namespace {

constexpr int64_t kMostRuns = 8;
constexpr int64_t kLeastRows = 256; // of a run: its sums are little beside its operands
constexpr int64_t kJoinedRows = 16; // of the product, in an item that adds up
// Of an element's update: a root and a division take as long as that many multiply-adds. So each thread updates what it has multiplied.
constexpr int64_t kUpdateOperations = 32;

/// The runs, and where their sums lie: a workspace (runs, panels, rows, nr).
class Runs {
public:
  Runs(KernelBuilder& k, const MatmulPlan& plan, int64_t nr)
      : k_(k), dtype_(sumType(plan.dtype)), nr_(nr), rows_(plan.rows), panels_(plan.b.panels(nr)), summed_(plan.b.depth),
        count_(Size::min(kMostRuns, Size::max(1, Size::floorDiv(summed_, kLeastRows)))), each_(Size::ceilDiv(summed_, count_)),
        sums_(k.addWorkspace(bytesOf(dtype_, count_ * panels_ * rows_ * Size(nr)))) {}

  Size count() const { return count_; }
  Size panels() const { return panels_; }
  Value begin(Value run) const { return k_.mul(run, k_.size(each_)); }
  Value length(Value run) const { return k_.min(k_.size(each_), k_.sub(k_.size(summed_), begin(run))); }

  Value sumsAt(Value run, Value row, Value panel, Value column) const {
    Value place = k_.add(k_.mul(k_.add(k_.mul(run, k_.size(panels_)), panel), k_.size(rows_)), row);
    return k_.at(k_.workspace(sums_), k_.add(k_.mul(place, nr_), column), dtype_);
  }

  /// 1 where there are several, else 0.
  Size areMany() const { return Size::min(1, count_ - Size(1)); }

  /// A tile of `rows` rows of a panel, from `first` on, as a run's sums.
  void keep(Value run, Value first, Value rows, Value panel, const Matrix& tile) const {
    mlir::Type element = k_.typeOf(dtype_), vector = k_.vectorOf(element, k_.lanes(dtype_));
    k_.loop(0, rows, 1, [&](Value row) {
      k_.loop(0, k_.index(nr_), k_.lanes(dtype_), [&](Value column) {
        Value sums = k_.load(vector, k_.at(tile.base, k_.add(k_.mul(row, tile.stride), column), element));
        k_.store(sums, sumsAt(run, k_.add(first, row), panel, column));
      });
    });
  }

  /// `rows` rows of a panel, from `first` on, to a tile.
  void join(Value first, Value rows, Value panel, const Matrix& tile) const {
    mlir::Type element = k_.typeOf(dtype_), vector = k_.vectorOf(element, k_.lanes(dtype_));
    k_.loop(0, rows, 1, [&](Value row) {
      k_.loop(0, k_.index(nr_), k_.lanes(dtype_), [&](Value column) {
        auto sumsOf = [&](Value run) { return k_.load(vector, sumsAt(run, k_.add(first, row), panel, column)); };
        Values all = k_.loop(k_.index(1), k_.size(count_), k_.index(1), {sumsOf(k_.index(0))},
                             [&](Value run, const Values& before) { return Values{k_.add(before[0], sumsOf(run))}; });
        k_.store(all[0], k_.at(tile.base, k_.add(k_.mul(row, tile.stride), column), element));
      });
    });
  }

private:
  KernelBuilder& k_;
  DType dtype_; // of sums
  int64_t nr_;
  Size rows_, panels_, summed_; // summed_: rows of both operands
  Size count_, each_;           // each_: rows of a run
  unsigned sums_;
};

} // namespace

bool isInRuns(const MatmulPlan& plan) {
  std::optional<int64_t> rows = plan.rows.constant(), columns = plan.b.columns.constant();
  bool isLong = plan.b.depth.constant().value_or(2 * kLeastRows) >= 2 * kLeastRows, isOne = ir::product(plan.batch) == Size(1);
  return plan.transposed && plan.b.transposed && !plan.b.nr && isLong && isOne && rows && columns &&
         kMostRuns * *rows * *columns * bytesOfSum(plan.dtype) <= kL2Bytes;
}

void multiplyInRuns(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, const Epilogue& epilogue, SumsBeside& beside,
                    TotalsBeside& totals) {
  auto matrix = [&] { return plan.batch.empty() ? Value() : k.index(0); };
  Runs runs(k, plan, schedule.nr);
  // Of few runs an item takes fewer panels, so that threads get some.
  Size blocks = Size::ceilDiv(plan.rows, schedule.rowBlock), inItem = panelsOfItem(schedule, runs.count() * blocks, runs.panels());
  Size groups = Size::ceilDiv(runs.panels(), inItem);
  Size joined = Size::ceilDiv(plan.rows, kJoinedRows) * runs.areMany();
  totals.addWorkspaces(joined + (Size(1) - runs.areMany()) * blocks * groups);
  SumsOverRows sums(k, beside.sums(), runs.count());
  k.stage(runs.count() * blocks * groups, plan.rows * plan.b.columns * plan.b.depth * Size(2) + beside.operations(), [&](Value item) {
    Value group = k.rem(item, k.size(groups)), block = k.div(item, k.size(groups)), run = k.div(block, k.size(blocks));
    Value rows = k.size(plan.rows), columns = k.size(plan.b.columns), from = runs.begin(run), begin = k.mul(group, k.size(inItem));
    Value first = k.mul(k.rem(block, k.size(blocks)), schedule.rowBlock);
    Matrix a{k.at(k.input(plan.a), k.add(k.mul(from, rows), first), plan.dtype), rows};
    TransposedBlock product{plan.dtype,       a,     k.min(k.index(schedule.rowBlock), k.sub(rows, first)),
                            runs.length(run), begin, k.min(k.add(begin, k.size(inItem)), k.size(runs.panels()))};
    product.b = {k.at(k.input(plan.b.input), k.add(k.mul(from, columns), k.size(plan.b.before)), plan.dtype), columns};
    product.columns = columns;
    Values bases = totals.startItem(plan.dtype);
    Piece piece{matrix(), first, {}, {}, 1, {}};
    Value isOne = k.compare(ir::Predicate::EQ, k.size(runs.count()), k.index(1));
    if (!beside.sums().empty()) // by the first item of the run, whose thread made its rows
      k.when(k.compare(ir::Predicate::EQ, k.rem(item, k.size(blocks * groups)), k.index(0)), [&] { sums.addShare(run); });
    multiplyTransposed(k, schedule, product, [&](Value panel, Value inBlock, Value many, const Matrix& tile) {
      Piece here = piece.below(k, inBlock);
      k.when(isOne, [&] { epilogue.storePanel(here, many, panel, schedule.nr, tile, bases); });
      k.when(k.notOf(isOne), [&] { runs.keep(run, here.row, many, panel, tile); });
    });
    k.when(isOne, [&] { totals.endItem(item, bases); });
  });
  std::vector<StagePart> parts = sums.joinParts();
  auto join = [&](Value item) {
    Piece first{matrix(), k.mul(item, kJoinedRows), {}, {}, 1, {}};
    Value rows = k.min(k.index(kJoinedRows), k.sub(k.size(plan.rows), first.row));
    Matrix tile{k.scratch(bytesOf(sumType(plan.dtype), Size(kJoinedRows * schedule.nr))), k.index(schedule.nr)};
    Values bases = totals.startItem(plan.dtype);
    k.loop(k.index(0), k.size(runs.panels()), k.index(1), [&](Value panel) {
      runs.join(first.row, rows, panel, tile);
      epilogue.storePanel(first, rows, panel, schedule.nr, tile, bases);
    });
    totals.endItem(item, bases);
  };
  parts.push_back({joined, join});
  k.stage(itemsOf(parts), runs.areMany() * (runs.count() + Size(kUpdateOperations)) * plan.rows * plan.b.columns,
          [&](Value item) { writePart(k, item, parts); });
  totals.joinStage();
}

} // namespace moec::codegen::cpu
