// gate: scores of tokens, what the rows' ops make of them, and the routing.
//   scores: a block computes its tokens' scores into shared memory, then each token's row by a group of threads, then counts rows for each expert
//   then the routing (RoutingText.h)
#include "codegen/Limits.h"
#include "codegen/cuda/ExpertsOf.h"
#include "codegen/cuda/GateText.h"
#include "codegen/cuda/GroupRoutingText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/RoutingText.h"

namespace moec::codegen::cuda {

namespace {

class GateWriter {
public:
  GateWriter(KernelText& k, ir::KernelOp kernel, GatePlan plan, const GateSchedule& schedule)
      : k_(k), kernel_(kernel), plan_(std::move(plan)), schedule_(schedule), tokens_(k, plan_, schedule) {}
  mlir::LogicalResult write();

private:
  bool hasRowStage() const { return !plan_.rowOps.empty() || !plan_.products.empty(); }
  std::string pointerOf(mlir::Value value);
  std::string zerosBehindRows() const;
  void rowStage(llvm::ArrayRef<RoutingText> routings);

  KernelText& k_;
  ir::KernelOp kernel_;
  GatePlan plan_;
  GateSchedule schedule_;
  GateText tokens_;
  llvm::DenseMap<mlir::Value, std::string> workspaces_; // of what a routing is made from and nobody else wants
};

/// Where a whole tensor or a routing lies.
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

/// Of the block's tokens those that the outer routing has not: results are 0 there, for a kernel behind this one that knows no routing reads all of them, as
/// where what was chosen is recorded.
std::string GateWriter::zerosBehindRows() const {
  Lines lines;
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel_)->getOperands())) {
    if (!plan_.isScores(value) && !plan_.isRowValue(value))
      continue;
    ir::Sizes sizes = ir::sizesOf(value);
    DType type = dtypeOf(value);
    std::string width = k_.size(ir::product(llvm::ArrayRef(sizes).drop_front()));
    lines.line(
        "for (long long at = (long long)(first < tokens ? tokens : first) * {} + threadIdx.x; at < (first + {}LL < {} ? first + {}LL : {}) * {}; at += {})",
        width, schedule_.tokenBlock, k_.size(plan_.tokens), schedule_.tokenBlock, k_.size(plan_.tokens), width, schedule_.threads);
    lines.line("  {}", storeText(type, k_.output(static_cast<unsigned>(i)), "at", literal(type, 0)));
  }
  return lines.str();
}

void GateWriter::rowStage(llvm::ArrayRef<RoutingText> routings) {
  int64_t block = schedule_.tokenBlock;
  Lines lines;
  k_.declare(fmt::format("using Rows = {};", tokens_.rowsType()));
  lines.line("const int first = (int)blockIdx.x * {};", block);
  if (mlir::Value within = plan_.within()) {
    lines.line("const int tokens = {}[{}]; // rows of the outer routing", pointerOf(within), mlir::cast<ir::RoutingType>(within.getType()).getExperts());
    lines.add(zerosBehindRows());
    lines.line("if (first >= tokens)");
    lines.line("  return;");
  }
  if (!plan_.products.empty()) {
    k_.declare(fmt::format("using Tile = {};", tokens_.tileType()));
    lines.line("__shared__ Tile::Shared slices;");
  }
  llvm::SmallVector<mlir::Value> values;
  for (mlir::Value value : yieldOf(kernel_)->getOperands())
    if (plan_.isScores(value) || plan_.isRowValue(value))
      values.push_back(value);
  for (mlir::Value value : plan_.routed())
    if (plan_.isRowValue(value) && !resultOf(kernel_, value))
      values.push_back(value);
  lines.add(tokens_.print("Tile", "slices", values, [this](mlir::Value value) { return pointerOf(value); }));
  std::string counts;
  for (const RoutingText& routing : routings)
    counts += routing.counts();
  lines.add(counts); // the tokens' experts are there: a count waits for all threads before it reads one
  k_.stage({.name = "scores",
            .summary = fmt::format("A block does {} tokens; {} threads together compute a token's row.", block, schedule_.groupThreads),
            .blocks = Size::ceilDiv(plan_.tokens, block),
            .threads = static_cast<int>(schedule_.threads),
            .residentBlocks = 4,
            .operations = tokens_.operations(),
            .body = lines.str()});
}

mlir::LogicalResult GateWriter::write() {
  if (mlir::failed(tokens_.check()))
    return mlir::failure();
  std::vector<RoutingText> routings;
  std::vector<GroupRoutingText> groupRoutings;
  for (auto [i, chain] : llvm::enumerate(plan_.routings)) {
    auto assign = ir::AssignOp(chain.assign);
    auto pointerOrNone = [&](mlir::Value value) { return value ? pointerOf(value) : std::string(); };
    std::vector<std::string> masks;
    for (mlir::Value keep : chain.keeps)
      masks.push_back(pointerOf(keep));
    std::string routing = pointerOf(chain.routing), indices = pointerOf(assign.getIndices()), enters = pointerOrNone(assign.getKeep());
    auto number = static_cast<unsigned>(i);
    if (chain.isGrouped())
      groupRoutings
          .emplace_back(k_, chain, number, schedule_.threads, GroupRoutingText::Pointers{routing, indices, enters, pointerOrNone(assign.getWithin()), masks})
          .declare();
    else
      routings.emplace_back(k_, chain, number, schedule_, routing, indices, enters, masks).declare();
  }
  if (hasRowStage())
    rowStage(routings);
  for (RoutingText& routing : routings) {
    if (!hasRowStage())
      routing.countStage();
    routing.stages();
  }
  for (GroupRoutingText& routing : groupRoutings)
    routing.stages();
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildGate(KernelText& k, ir::KernelOp kernel) {
  if (takesRoutingsApart(kernel))
    return buildExpertsOf(k, kernel);
  auto plan = GatePlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = GateSchedule::of(kernel, *plan);
  if (failed(schedule))
    return mlir::failure();
  return GateWriter(k, kernel, *plan, *schedule).write();
}

mlir::DictionaryAttr scheduleGate(ir::KernelOp kernel, const CudaTarget& target) {
  if (takesRoutingsApart(kernel))
    return scheduleExpertsOf(kernel);
  auto plan = GatePlan::of(kernel);
  if (failed(plan))
    return {};
  GateSchedule schedule = chooseGate(*plan, target);
  if (auto why = schedule.illegal(*plan)) {
    beyondTarget(kernel, target.name) << "it " << *why << "; fewer experts do, or a CPU target";
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cuda
