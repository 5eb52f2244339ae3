// for a block of tokens:  scores = x . w by the micro-kernel; then each token's row along vectors, or narrow rows with tokens along them
#include "codegen/cpu/GateRows.h"

#include "codegen/analysis/Rows.h"
#include "codegen/cpu/Product.h"

namespace moec::codegen::cpu {

mlir::LogicalResult checkScores(ir::KernelOp kernel, const GatePlan& plan) {
  if (plan.dtype == DType::BF16 && !plan.products.empty())
    return kernel.emitOpError("multiplies matrices of bf16: a gate's scores are f32 or f64");
  for (const ScoreProduct& product : plan.products) {
    if (!product.w.nr)
      return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" takes plain weights: they must be packed (moe.pack)";
    if (product.w.dtype != plan.dtype)
      return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" takes converted weights: those of a gate are as the model has them";
  }
  return mlir::success();
}

GateRows::GateRows(KernelBuilder& k, const GatePlan& plan, std::vector<ProductSchedule> schedules)
    : k_(k), plan_(plan), schedules_(std::move(schedules)), program_(k, plan.rowOps, plan.rowOps.empty() ? ir::Sizes() : leadingOfRows(plan.rowOps)),
      scores_(plan.products.size()) {
  if (TokenLanes::takes(plan.rowOps, plan.tokens, k.target()))
    lanes_.emplace(k, plan.rowOps);
}

void GateRows::bind(mlir::Value value, const RowProgram::Place& place) {
  program_.bind(value, place);
  if (lanes_)
    lanes_->bind(value, place);
}

void GateRows::bindTensor(mlir::Value value, const Base& base) {
  if (mlir::isa<ir::RoutingType>(value.getType()))
    return program_.bindRouting(value, base);
  program_.bindTensor(value, base);
  if (lanes_)
    lanes_->bindTensor(value, base);
}

Size GateRows::strideOf(size_t product) const {
  const Size& columns = plan_.products[product].w.columns;
  return written_.contains(product) ? columns : alignUp(columns, k_.lanes(plan_.dtype));
}

mlir::LogicalResult GateRows::check() {
  for (auto [i, product] : llvm::enumerate(plan_.products)) {
    mlir::Value result = ir::MatmulOp(product.op).getResult();
    auto place = [this, i = i](Value row) { return k_.at(scores_[i], k_.mul(k_.sub(row, first_), k_.size(strideOf(i))), plan_.dtype); };
    program_.bind(result, place);
    if (lanes_)
      lanes_->bindWide(result, place, strideOf(i).constant().value_or(0));
  }
  return program_.check();
}

Size GateRows::operations() const {
  Size operations = plan_.rowOps.empty() ? Size(0) : program_.operations();
  for (const ScoreProduct& product : plan_.products)
    operations = operations + product.w.columns * product.w.depth * Size(2);
  return operations;
}

// scores (rows, E) = rows of x from the block's first one on, times w.
void GateRows::multiply(size_t i, Value rows) {
  const ScoreProduct& product = plan_.products[i];
  DType dtype = plan_.dtype;
  int64_t lanes = k_.lanes(dtype), nr = schedules_[i].nr;
  mlir::Type vector = k_.vectorOf(k_.typeOf(dtype), lanes);
  Value depth = k_.size(product.w.depth), columns = k_.size(strideOf(i));
  Matrix x{k_.at(k_.input(product.x), k_.mul(first_, depth), dtype), depth};
  ProductBlock block{dtype, x, rows, k_.input(product.w.input), depth, k_.index(0), k_.size(product.w.panels(nr))};
  ProductSchedule ofAll = schedules_[i];
  ofAll.panels = product.w.panels(nr).constant().value_or(ofAll.panels);
  multiplyPanels(k_, ofAll, block, [&](Value panel, Value, Value, const Matrix& tile) {
    Value start = k_.mul(panel, nr), count = k_.min(k_.index(nr), k_.sub(columns, start));
    if (strideOf(i).constant() == nr)
      count = k_.index(nr);
    k_.loop(0, rows, 1, [&](Value row) {
      k_.vectorLoop(count, lanes, [&](Value column, Value mask) {
        Value sums = k_.load(vector, k_.at(tile.base, k_.add(k_.mul(row, nr), column), dtype));
        k_.storeElements(dtype, sums, k_.at(scores_[i], k_.add(k_.mul(row, columns), k_.add(start, column)), dtype), mask);
      });
    });
  });
}

void GateRows::run(Value first, Value rows, int64_t block) {
  first_ = first;
  for (auto [i, product] : llvm::enumerate(plan_.products)) {
    auto to = written_.find(i);
    scores_[i] = to != written_.end() ? k_.at(to->second(), k_.mul(first, k_.size(product.w.columns)), plan_.dtype)
                                      : k_.scratch(bytesOf(plan_.dtype, Size(block) * strideOf(i)));
    multiply(i, rows);
  }
  if (lanes_)
    lanes_->run(first, rows);
  else if (!plan_.rowOps.empty())
    k_.loop(first, k_.add(first, rows), k_.index(1), [&](Value row) { program_.run(row); });
}

} // namespace moec::codegen::cpu
