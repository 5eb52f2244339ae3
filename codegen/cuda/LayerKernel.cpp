// moe_layer: a whole small MoE layer by one block; what `gate`, `expert_up`, `expert_mid` and `expert_down` do in launches of their own stands one behind
// the other, a barrier between. Sums have the orders that they have there.
//   for some tokens at a time:     scores, what the rows' ops make of them (GateText.h)
//   the routing, in shared memory: a counting sort (skeletons/assign.cuh)
//   for each of the products:      tiles of the experts' rows (skeletons/layer.cuh), ops behind, rows to a workspace; the last one's at their token's choice
//   for each element of a token:   the sum of its kept choices' weighted rows, ops behind
#include "codegen/analysis/LayerPlan.h"
#include "codegen/cuda/ExpertText.h"
#include "codegen/cuda/GateText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/LayerSchedule.h"
#include "codegen/cuda/RoutingText.h"

namespace moec::codegen::cuda {

namespace {

class LayerWriter {
public:
  LayerWriter(KernelText& k, ir::KernelOp kernel, LayerPlan plan, const LayerSchedule& schedule)
      : k_(k), kernel_(kernel), plan_(std::move(plan)), schedule_(schedule), tokens_(k, plan_.gate, schedule.gate) {}
  mlir::LogicalResult write();

private:
  std::string pointerOf(mlir::Value value);
  std::string routing() { return pointerOf(plan_.routing()); }
  std::string list() { return fmt::format("({} + {})", routing(), plan_.experts + 1); }
  std::string slots() { return fmt::format("({} + {})", routing(), plan_.experts + 1 + rowsOf(plan_)); }
  bool isLast(size_t i) const { return i + 1 == plan_.products.size(); }

  void declareSlices();
  void printTokens(Lines& lines);
  void printRouting(Lines& lines);
  void declareProduct(size_t i);
  mlir::LogicalResult printProduct(Lines& lines, size_t i);
  mlir::LogicalResult printCombined(Lines& lines);
  Size operations() const;

  KernelText& k_;
  ir::KernelOp kernel_;
  LayerPlan plan_;
  LayerSchedule schedule_;
  GateText tokens_;
  std::vector<std::string> rows_; // workspaces: what each product's ops leave
  Lines shared_;                  // declarations of what stays in shared memory
  llvm::DenseMap<mlir::Value, std::string> held_;
};

/// Where a whole tensor or the routing lies: in shared memory what the layer alone needs.
std::string LayerWriter::pointerOf(mlir::Value value) {
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value))
    return k_.input(argument.getArgNumber());
  if (auto i = resultOf(kernel_, value))
    return k_.output(*i);
  std::string& name = held_[value];
  if (!name.empty())
    return name;
  if (mlir::isa<ir::RoutingType>(value.getType())) {
    name = "routes";
    int64_t numbers = plan_.experts + 1 + 2 * rowsOf(plan_);
    shared_.line("__shared__ int routes[{}]; // offsets of {} experts, list and slots of {} rows", numbers, plan_.experts, rowsOf(plan_));
    return name;
  }
  name = fmt::format("kept{}", held_.size() - 1);
  shared_.line("__shared__ {} {}[{}]; // {}", memoryType(dtypeOf(value)), name, *ir::product(ir::sizesOf(value)).constant(), ir::describe(ir::sizesOf(value)));
  return name;
}

/// Slices of all products take turns in one place.
void LayerWriter::declareSlices() {
  Lines lines;
  lines.open("union Slices");
  if (!plan_.gate.products.empty())
    lines.line("ScoreTile::Shared scores;");
  for (size_t i = 0; i < plan_.products.size(); ++i)
    lines.line("Product{0}::Tile::Shared product{0};", i);
  lines.close(";");
  k_.declare(lines.str());
  shared_.line("__shared__ Slices slices;");
}

void LayerWriter::printTokens(Lines& lines) {
  if (plan_.gate.rowOps.empty() && plan_.gate.products.empty())
    return;
  int64_t block = schedule_.gate.tokenBlock;
  if (tokensOf(plan_) > block) {
    lines.add("#pragma unroll 1");
    lines.open("for (int first = 0; first < {}; first += {})", tokensOf(plan_), block);
  } else {
    lines.line("{{ // scores and choices");
    lines.indent();
    lines.line("const int first = 0;");
  }
  lines.add(tokens_.print("ScoreTile", "slices.scores", plan_.wanted, [this](mlir::Value value) { return pointerOf(value); }));
  lines.line("__syncthreads(); // scores, slices and choices are free again, and what stays is there for all");
  lines.close();
}

void LayerWriter::printRouting(Lines& lines) {
  const RoutingChain& chain = plan_.gate.routings.front();
  std::vector<std::string> masks;
  for (mlir::Value keep : chain.keeps)
    masks.push_back(pointerOf(keep));
  auto assign = ir::AssignOp(chain.assign);
  RoutingText text(k_, chain, 0, schedule_.gate, routing(), pointerOf(assign.getIndices()), assign.getKeep() ? pointerOf(assign.getKeep()) : "", masks);
  text.declare();
  lines.line("{{ // the routing");
  lines.indent();
  lines.add(text.assignAll());
  lines.line("__syncthreads();");
  lines.close();
}

/// The policy of skeletons/layer.cuh.
void LayerWriter::declareProduct(size_t i) {
  const LayerProduct& product = plan_.products[i];
  std::string type = memoryType(plan_.dtype), row = "row";
  if (product.gathered)
    row = plan_.choices == 1 ? "list[row]" : fmt::format("(list[row] / {})", plan_.choices);
  Lines lines;
  lines.open("struct Product{}", i);
  lines.line("using Tile = {};", tileType(schedule_.product, plan_.dtype, copyBytes(plan_.dtype, product.w.depth)));
  lines.line("static constexpr int experts = {}, columns = {}, depth = {};", plan_.experts, product.columns(), product.depth());
  lines.line("const int *offsets, *list; // of the routing; a row of the list is token * {} + choice", plan_.choices);
  lines.line("const {0} *rows, *weights; // ({1}, depth), (experts, columns, depth)", type, product.gathered ? tokensOf(plan_) : rowsOf(plan_));
  lines.line("__device__ __forceinline__ const {}* readable() const {{ return weights; }}", type);
  lines.line("__device__ __forceinline__ const {}* rowOfA(int row) const {{ return rows + (long long){} * depth; }}", type, row);
  lines.line("__device__ __forceinline__ const {}* rowOfB(int expert, int column) const {{ return weights + ((long long)expert * columns + column) * depth; }}",
             type);
  lines.close(";");
  k_.declare(lines.str());
}

mlir::LogicalResult LayerWriter::printProduct(Lines& lines, size_t i) {
  const LayerProduct& product = plan_.products[i];
  mlir::Value result = ir::GroupedMatmulOp(product.op).getResult();
  std::string weights = pointerOf(ir::CombineOp(plan_.combine).getWeights()), to = rows_[i];
  lines.line("{{ // the experts' rows times {} x {} weights", product.columns(), product.depth());
  lines.indent();
  lines.line("using Tile = Product{}::Tile;", i);
  lines.line("const int* rows = {};", list());
  lines.line("const Product{} product = {{{}, rows, {}, {}}};", i, routing(), i == 0 ? pointerOf(product.rows) : rows_[i - 1], k_.input(product.w.input));
  lines.open("multiplyLayer(slices.product{0}, product, [&](const LayerTiles<Product{0}>& tile, const {1} (&sums)[Tile::rows][Tile::columns])", i,
             memoryType(plan_.dtype));
  lines.line("const int expert = tile.rows.expert, first = tile.rows.first, count = tile.rows.count, column0 = tile.column0;");
  auto printRow = [&](Lines& inside, const EpilogueText& epilogue) -> mlir::LogicalResult {
    auto values = epilogue.print(k_, inside, {product.sink});
    if (failed(values))
      return mlir::failure();
    std::string index = linearIndex(k_, ir::sizesOf(result), {isLast(i) ? "place" : "row", "column"});
    inside.add(storeText(plan_.dtype, to, index, isLast(i) ? fmt::format("{}[place] * {}", weights, values->front()) : values->front()));
    return mlir::success();
  };
  std::optional<int64_t> placeChoices = isLast(i) ? std::optional(plan_.choices) : std::nullopt;
  if (failed(printTileSums(k_, lines, result, schedule_.product.tileN, placeChoices, printRow)))
    return mlir::failure();
  lines.close(");");
  lines.close();
  return mlir::success();
}

mlir::LogicalResult LayerWriter::printCombined(Lines& lines) {
  mlir::Value result = ir::CombineOp(plan_.combine).getResult();
  llvm::SmallVector<mlir::Value> sinks;
  for (unsigned i : plan_.results)
    sinks.push_back(yieldOf(kernel_)->getOperand(i));
  lines.line("// a token's rows become one");
  lines.add("#pragma unroll 4");
  lines.open("for (int element = threadIdx.x; element < {}; element += {})", tokensOf(plan_) * plan_.width(), kLayerThreads);
  lines.line("const int token = element / {0}, column = element % {0};", plan_.width());
  printCombine(k_, lines, plan_.dtype, plan_.choices, Size(plan_.width()), slots(), rows_.back());
  auto values = EpilogueText{result, {"token", "column"}, "sum", ""}.print(k_, lines, sinks);
  if (failed(values))
    return mlir::failure();
  for (auto [i, value] : llvm::zip(plan_.results, *values))
    lines.add(storeText(dtypeOf(yieldOf(kernel_)->getOperand(i)), k_.output(i), "element", value));
  lines.close();
  return mlir::success();
}

Size LayerWriter::operations() const {
  Size operations = tokens_.operations() + Size(16 * rowsOf(plan_) + tokensOf(plan_) * plan_.width() * plan_.choices);
  for (const LayerProduct& product : plan_.products)
    operations = operations + Size(2 * rowsOf(plan_) * product.columns() * product.depth()) +
                 epilogueOperations(ir::GroupedMatmulOp(product.op).getResult(), {product.sink});
  for (unsigned i : plan_.results)
    operations = operations + epilogueOperations(ir::CombineOp(plan_.combine).getResult(), {yieldOf(kernel_)->getOperand(i)});
  return operations;
}

mlir::LogicalResult LayerWriter::write() {
  if (mlir::failed(tokens_.check()))
    return mlir::failure();
  k_.use("layer.cuh");
  k_.declare(fmt::format("using Rows = {};", tokens_.rowsType()));
  if (!plan_.gate.products.empty())
    k_.declare(fmt::format("using ScoreTile = {};", tokens_.tileType()));
  for (size_t i = 0; i < plan_.products.size(); ++i) {
    rows_.push_back(k_.addWorkspace(plan_.dtype, Size(rowsOf(plan_) * plan_.products[i].columns())));
    declareProduct(i);
  }
  declareSlices();
  Lines lines;
  printTokens(lines);
  printRouting(lines);
  for (size_t i = 0; i < plan_.products.size(); ++i)
    if (failed(printProduct(lines, i)))
      return mlir::failure();
  if (failed(printCombined(lines)))
    return mlir::failure();
  k_.stage({.name = "layer",
            .summary = fmt::format("One block does {} tokens, {} choices each of {} experts.", tokensOf(plan_), plan_.choices, plan_.experts),
            .blocks = 1,
            .threads = static_cast<int>(kLayerThreads),
            .residentBlocks = 1,
            .operations = operations(),
            .body = shared_.str() + lines.str()});
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildLayer(KernelText& k, ir::KernelOp kernel) {
  auto plan = planOfBlock(kernel);
  if (failed(plan))
    return mlir::failure();
  for (const LayerProduct& product : plan->products)
    if (product.w.nr)
      return kernel.emitOpError("takes packed weights: CUDA kernels read them as they are");
  if (plan->dtype != DType::F32 && plan->dtype != DType::F64)
    return kernel.emitOpError("multiplies matrices of ") << name(plan->dtype) << ": CUDA products are f32 and f64";
  auto schedule = LayerSchedule::of(kernel, *plan);
  if (failed(schedule))
    return mlir::failure();
  return LayerWriter(k, kernel, *plan, *schedule).write();
}

mlir::DictionaryAttr scheduleLayer(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = planOfBlock(kernel);
  if (failed(plan))
    return {};
  LayerSchedule schedule = chooseLayerSchedule(*plan, target);
  if (auto why = schedule.illegal(*plan)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

LayerChoice chooseLayer(ir::KernelOp kernel, const CudaTarget& target) {
  std::string refusal;
  mlir::ScopedDiagnosticHandler handler(kernel.getContext(), [&](mlir::Diagnostic& diagnostic) {
    refusal = diagnostic.str();
    return mlir::success();
  });
  auto plan = planOfBlock(kernel);
  if (failed(plan)) {
    constexpr std::string_view kWho = "'moe.kernel' op ";
    return {false, refusal.starts_with(kWho) ? "it " + refusal.substr(kWho.size()) : refusal};
  }
  if (plan->dtype != DType::F32 && plan->dtype != DType::F64)
    return {false, "it multiplies matrices of " + std::string(name(plan->dtype))};
  LayerSchedule schedule = chooseLayerSchedule(*plan, target);
  if (auto why = schedule.illegal(*plan))
    return {false, *why};
  double together = schedule.cycles(*plan, target), apart = cyclesApart(*plan);
  std::string figures = fmt::format("one block would take about {:.1f} us for {} tokens, {} launches about {:.1f} us", together / kCyclesOfMicrosecond,
                                    tokensOf(*plan), launchesApart(*plan), apart / kCyclesOfMicrosecond);
  return {together <= apart, figures};
}

} // namespace moec::codegen::cuda
