// gate: scores of tokens, what the rows' ops make of them, and the routing.
//   scores: a block computes its tokens' scores into shared memory, then each token's row by a group of threads, then counts rows for each expert
//   then the routing (RoutingText.h)
#include "codegen/analysis/Rows.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/ProductText.h"
#include "codegen/cuda/RoutingText.h"

namespace moec::codegen::cuda {

namespace {

class GateWriter {
public:
  GateWriter(KernelText& k, ir::KernelOp kernel, GatePlan plan, const GateSchedule& schedule)
      : k_(k), kernel_(kernel), plan_(std::move(plan)), schedule_(schedule), texts_(k, lines_, plan_.rowOps, leading(), schedule.rows()) {}
  mlir::LogicalResult write();

private:
  ir::Sizes leading() const { return plan_.rowOps.empty() ? ir::Sizes{plan_.tokens} : leadingOfRows(plan_.rowOps); }
  bool hasRowStage() const { return !plan_.rowOps.empty() || !plan_.products.empty(); }
  std::string pointerOf(mlir::Value value);
  mlir::LogicalResult check();
  void printProduct(size_t i);
  void rowStage(llvm::ArrayRef<RoutingText> routings);

  KernelText& k_;
  ir::KernelOp kernel_;
  GatePlan plan_;
  GateSchedule schedule_;
  Lines lines_;
  RowText texts_;
  llvm::DenseMap<mlir::Value, std::string> workspaces_; // of what a routing is made from and nobody else wants
};

/// Where a whole tensor lies.
std::string GateWriter::pointerOf(mlir::Value value) {
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value))
    return k_.input(argument.getArgNumber());
  if (auto i = resultOf(kernel_, value))
    return k_.output(*i);
  std::string& name = workspaces_[value];
  if (name.empty())
    name = k_.addWorkspace(dtypeOf(value), ir::product(ir::sizesOf(value)));
  return name;
}

mlir::LogicalResult GateWriter::check() {
  if (mlir::failed(texts_.check()))
    return mlir::failure();
  for (const ScoreProduct& product : plan_.products) {
    if (product.w.nr)
      return kernel_.emitOpError("takes packed weights: CUDA kernels read them as they are");
    if (plan_.dtype != DType::F32 && plan_.dtype != DType::F64)
      return kernel_.emitOpError("multiplies matrices of ") << name(plan_.dtype) << ": CUDA products are f32 and f64";
  }
  for (const RoutingChain& chain : plan_.routings)
    if (!(ir::sizesOf(ir::AssignOp(chain.assign).getIndices()).front() == plan_.tokens) && hasRowStage())
      return kernel_.emitOpError("assigns other tokens than its rows are of");
  return mlir::success();
}

// scores0 = rows of x times the transpose of w.
void GateWriter::printProduct(size_t i) {
  const ScoreProduct& product = plan_.products[i];
  ProductSchedule tile = schedule_.product();
  const Size& depth = product.w.depth;
  int64_t experts = *product.w.columns.constant(), stride = GateSchedule::stride(experts);
  std::string type = memoryType(plan_.dtype), x = k_.input(product.x), w = k_.input(product.w.input), scores = fmt::format("scores{}", i), d = k_.size(depth);
  k_.use("gate.cuh");
  if (i == 0) {
    k_.declare(fmt::format("using Tile = {};", tileType(tile, plan_.dtype, copyBytes(plan_.dtype, depth))));
    lines_.line("__shared__ Tile::Shared slices;");
  } else {
    lines_.line("__syncthreads(); // the slices are free again");
  }
  lines_.line("__shared__ {} {}[{}];", type, scores, schedule_.tokenBlock * stride);
  lines_.line("scoreTokens<Tile, {}, {}>(slices, {}, (int){}, {},", experts, stride, scores, d, x);
  lines_.line("    [&](int m) -> const {}* {{ return first + m < {} ? {} + (long long)(first + m) * {} : nullptr; }},", type, k_.size(plan_.tokens), x, d);
  lines_.line("    [&](int e) -> const {}* {{ return {} + (long long)e * {}; }});", type, w, d);
  texts_.elements().bind(ir::MatmulOp(product.op).getResult(),
                         [scores, stride](const Coordinates& at) { return fmt::format("{}[place * {} + {}]", scores, stride, at.back()); });
}

void GateWriter::rowStage(llvm::ArrayRef<RoutingText> routings) {
  RowSchedule rows = schedule_.rows();
  int64_t block = schedule_.tokenBlock, turns = (block + rows.rowsPerBlock - 1) / rows.rowsPerBlock;
  k_.declare(fmt::format("using Rows = Group<{}>;", rows.groupThreads));
  lines_.line("const int first = (int)blockIdx.x * {};", block);
  for (size_t i = 0; i < plan_.products.size(); ++i)
    printProduct(i);

  RowText::Row row;
  row.slot = "slot";
  row.live = "live";
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel_)->getOperands())) {
    bool isScores = llvm::any_of(plan_.products, [&](const ScoreProduct& product) { return ir::MatmulOp(product.op).getResult() == value; });
    if (isScores || plan_.isRowValue(value))
      row.sinks.push_back({value, k_.output(static_cast<unsigned>(i))});
  }
  for (mlir::Value value : plan_.routed())
    if (plan_.isRowValue(value) && !resultOf(kernel_, value))
      row.sinks.push_back({value, pointerOf(value)});
  lines_.line("const int lane = Rows::lane(), slot = (int)threadIdx.x / Rows::threads;");
  if (turns > 1) {
    lines_.add("#pragma unroll 1");
    lines_.open("for (int mine = slot; mine < {}; mine += {})", turns * rows.rowsPerBlock, rows.rowsPerBlock);
  } else {
    lines_.line("const int mine = slot;");
  }
  bool even = block % rows.rowsPerBlock == 0;
  lines_.line("const bool live = {}first + mine < {};", even ? "" : fmt::format("mine < {} && ", block), k_.size(plan_.tokens));
  lines_.line("const int row = live ? first + mine : first; // a warp works as one: groups without a token do the first, unwritten");
  if (!plan_.products.empty())
    lines_.line("const int place = {};", even ? "mine" : fmt::format("mine < {} ? mine : 0", block));
  row.at = printCoordinates(k_, lines_, "row", leading(), "at");
  texts_.print(row);
  if (turns > 1) {
    lines_.line("Rows::sync(); // before the next token's choices");
    lines_.close();
  }
  std::string counts;
  for (const RoutingText& routing : routings)
    counts += routing.counts();
  lines_.add(counts); // the tokens' experts are there: a count waits for all threads before it reads one
  Size operations = texts_.operations();
  for (const ScoreProduct& product : plan_.products)
    operations = operations + product.w.columns * product.w.depth * Size(2);
  k_.stage({.name = "scores",
            .summary = fmt::format("A block does {} tokens; {} threads together compute a token's row.", block, rows.groupThreads),
            .blocks = Size::ceilDiv(plan_.tokens, block),
            .threads = static_cast<int>(kGateThreads),
            .residentBlocks = 4,
            .operations = plan_.tokens * operations,
            .body = lines_.str()});
}

mlir::LogicalResult GateWriter::write() {
  if (mlir::failed(check()))
    return mlir::failure();
  std::vector<RoutingText> routings;
  for (auto [i, chain] : llvm::enumerate(plan_.routings)) {
    std::vector<std::string> masks;
    for (mlir::Value keep : chain.keeps)
      masks.push_back(pointerOf(keep));
    routings.emplace_back(k_, chain, static_cast<unsigned>(i), schedule_, pointerOf(ir::AssignOp(chain.assign).getIndices()), masks);
    routings.back().declare();
  }
  if (hasRowStage())
    rowStage(routings);
  for (RoutingText& routing : routings) {
    if (!hasRowStage())
      routing.countStage();
    routing.stages();
  }
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildGate(KernelText& k, ir::KernelOp kernel) {
  auto plan = GatePlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = GateSchedule::of(kernel, *plan);
  if (failed(schedule))
    return mlir::failure();
  return GateWriter(k, kernel, *plan, *schedule).write();
}

mlir::DictionaryAttr scheduleGate(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = GatePlan::of(kernel);
  if (failed(plan))
    return {};
  GateSchedule schedule = chooseGate(*plan, target);
  if (auto why = schedule.illegal(*plan)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cuda
