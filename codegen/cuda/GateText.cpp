#include "codegen/cuda/GateText.h"

#include "codegen/analysis/Rows.h"
#include "codegen/cuda/ProductText.h"

namespace moec::codegen::cuda {

std::string GateText::tokens() const { return plan_.within() ? "tokens" : k_.size(plan_.tokens); }

ir::Sizes GateText::leading() const { return plan_.rowOps.empty() ? ir::Sizes{plan_.tokens} : leadingOfRows(plan_.rowOps); }

mlir::LogicalResult GateText::check() {
  ir::KernelOp kernel = k_.kernel();
  if (mlir::failed(texts_.check()))
    return mlir::failure();
  for (const ScoreProduct& product : plan_.products) {
    if (product.w.nr)
      return kernel.emitOpError("takes packed weights: CUDA kernels read them as they are");
    if (plan_.dtype != DType::F32 && plan_.dtype != DType::F64)
      return kernel.emitOpError("multiplies matrices of ") << name(plan_.dtype) << ": a gate's scores are f32 or f64";
  }
  bool hasRows = !plan_.rowOps.empty() || !plan_.products.empty();
  for (const RoutingChain& chain : plan_.routings)
    if (!(ir::sizesOf(ir::AssignOp(chain.assign).getIndices()).front() == plan_.tokens) && hasRows)
      return kernel.emitOpError("assigns other tokens than its rows are of");
  return mlir::success();
}

std::string GateText::tileType() const { return cuda::tileType(schedule_.product(), plan_.dtype, copyBytes(plan_.dtype, plan_.products.front().w.depth)); }

// scores0 = rows of x times the transpose of w.
void GateText::printProduct(size_t i, std::string_view tile, std::string_view slices) {
  const ScoreProduct& product = plan_.products[i];
  const Size& depth = product.w.depth;
  int64_t experts = *product.w.columns.constant(), stride = GateSchedule::stride(experts);
  std::string type = memoryType(plan_.dtype), x = k_.input(product.x), w = k_.input(product.w.input), scores = fmt::format("scores{}", i), d = k_.size(depth);
  k_.use("gate.cuh");
  if (i > 0)
    lines_.line("__syncthreads(); // the slices are free again");
  lines_.line("__shared__ {} {}[{}];", type, scores, schedule_.tokenBlock * stride);
  lines_.line("scoreTokens<{}, {}, {}>({}, {}, (int){}, {},", tile, experts, stride, slices, scores, d, x);
  lines_.line("    [&](int m) -> const {}* {{ return first + m < {} ? {} + (long long)(first + m) * {} : nullptr; }},", type, tokens(), x, d);
  lines_.line("    [&](int e) -> const {}* {{ return {} + (long long)e * {}; }});", type, w, d);
  texts_.elements().bind(ir::MatmulOp(product.op).getResult(),
                         [scores, stride](const Coordinates& at) { return fmt::format("{}[place * {} + {}]", scores, stride, at.back()); });
}

std::string GateText::print(std::string_view tile, std::string_view slices, llvm::ArrayRef<mlir::Value> values, const PointerOf& pointerOf) {
  RowSchedule rows = schedule_.rows();
  int64_t block = schedule_.tokenBlock, turns = (block + rows.rowsPerBlock - 1) / rows.rowsPerBlock;
  for (size_t i = 0; i < plan_.products.size(); ++i)
    printProduct(i, tile, slices);

  RowText::Row row;
  row.slot = "slot";
  row.live = "live";
  for (mlir::Value value : values)
    row.sinks.push_back({value, pointerOf(value)});
  lines_.line("const int lane = Rows::lane(), slot = (int)threadIdx.x / Rows::threads;");
  if (turns > 1) {
    lines_.add("#pragma unroll 1");
    lines_.open("for (int mine = slot; mine < {}; mine += {})", turns * rows.rowsPerBlock, rows.rowsPerBlock);
  } else {
    lines_.line("const int mine = slot;");
  }
  bool even = block % rows.rowsPerBlock == 0;
  lines_.line("const bool live = {}first + mine < {};", even ? "" : fmt::format("mine < {} && ", block), tokens());
  lines_.line("const int row = live ? first + mine : first; // a warp works as one: groups without a token do the first, unwritten");
  if (!plan_.products.empty())
    lines_.line("const int place = {};", even ? "mine" : fmt::format("mine < {} ? mine : 0", block));
  row.at = printCoordinates(k_, lines_, "row", leading(), "at");
  texts_.print(row);
  if (turns > 1) {
    lines_.line("Rows::sync(); // before the next token's choices");
    lines_.close();
  }
  return lines_.str();
}

Size GateText::operations() const {
  Size operations = texts_.operations();
  for (const ScoreProduct& product : plan_.products)
    operations = operations + product.w.columns * product.w.depth * Size(2);
  return plan_.tokens * operations;
}

} // namespace moec::codegen::cuda
