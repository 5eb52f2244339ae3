#include "codegen/cpu/LayerSchedule.h"

#include <array>

namespace moec::codegen::cpu {
namespace {

constexpr int64_t kBlockBytes = 128 << 10;    // of a block's rows, beside the weights
constexpr int64_t kGroupBytes = 16 << 10;     // of a group's rows: half of the first-level cache
constexpr int64_t kRowsOfExpert = 96;         // in a block, where there is room: an expert's last register block is seldom whole
constexpr int64_t kBlockOperations = 1 << 21; // about 50 microseconds: a call of a few hundred tokens is several blocks, which threads share
constexpr int64_t kMostEntry = 1 << 20;       // of a schedule: more is no size of a block

/// Multiply-adds count twice; what stands between products does not count.
int64_t operationsOfToken(const LayerPlan& plan) {
  int64_t operations = 0;
  for (const LayerProduct& product : plan.products)
    operations += 2 * plan.choices * product.columns() * product.depth();
  for (const ScoreProduct& product : plan.gate.products)
    operations += 2 * product.w.columns.constant().value_or(1024) * product.w.depth.constant().value_or(1024);
  return operations;
}

/// Whether an operand of the ops behind a product has one row for each row of the routing, whose order a block does not know.
bool isOfRows(mlir::Value value, const Size& rows) {
  auto type = mlir::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.getRank() >= 2 && ir::sizesOf(value).front() == rows;
}

/// The entries of any layer's schedule by name.
template <class Schedule> auto entriesOf(Schedule& s) {
  using Entry = std::pair<const char*, decltype(&s.block)>;
  return std::array<Entry, 6>{
      {{"block", &s.block}, {"group", &s.group}, {"rows", &s.rows}, {"nr", &s.nr}, {"score_rows", &s.scoreRows}, {"score_nr", &s.scoreNr}}};
}

} // namespace

ProductSchedule LayerSchedule::ofScores(const ScoreProduct& product) const {
  int64_t depth = product.w.depth.constant().value_or(1024);
  return {scoreRows, scoreNr, std::max<int64_t>(depth, 1), ceilDiv(block, scoreRows) * scoreRows, product.w.panels(scoreNr).constant().value_or(1), false};
}

std::optional<std::string> LayerSchedule::illegal(const CpuTarget& target, const LayerPlan& plan) const {
  for (auto [name, entry] : entriesOf(*this))
    if (*entry < 1 || *entry > kMostEntry)
      return name + (" " + std::to_string(*entry)) + " must be between 1 and " + std::to_string(kMostEntry);
  ProductSchedule experts{rows, nr, 1, group, 1, true};
  if (auto why = experts.illegal(target, plan.dtype))
    return why;
  for (const ScoreProduct& product : plan.gate.products)
    if (auto why = ofScores(product).illegal(target, plan.gate.dtype))
      return "scores: " + *why;
  return std::nullopt;
}

mlir::DictionaryAttr LayerSchedule::attr(mlir::MLIRContext* context) const {
  mlir::Builder builder(context);
  llvm::SmallVector<mlir::NamedAttribute> fields;
  for (auto [name, value] : entriesOf(*this))
    fields.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(*value)));
  return builder.getDictionaryAttr(fields);
}

std::optional<LayerSchedule> LayerSchedule::from(mlir::DictionaryAttr attr) {
  LayerSchedule s;
  for (auto [name, entry] : entriesOf(s)) {
    auto value = attr ? attr.getAs<mlir::IntegerAttr>(name) : mlir::IntegerAttr();
    if (!value)
      return std::nullopt;
    *entry = value.getInt();
  }
  return s;
}

mlir::FailureOr<LayerSchedule> LayerSchedule::of(ir::KernelOp kernel, const LayerPlan& plan, const CpuTarget& target) {
  std::optional<LayerSchedule> given = from(kernel.getScheduleAttr());
  if (!given)
    return kernel.emitOpError("has no complete schedule: block, group, rows, nr, score_rows and score_nr are needed");
  const LayerSchedule& s = *given;
  if (auto why = s.illegal(target, plan))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  auto agrees = [&](const ProductOperand& w, int64_t nr) -> mlir::LogicalResult {
    if (!w.nr)
      return kernel.emitOpError("takes plain weights: they must be packed (moe.pack)");
    if (*w.nr != nr)
      return kernel.emitOpError("has panels of ") << *w.nr << " columns and a schedule for " << nr;
    if (w.inPairs)
      return kernel.emitOpError("takes panels in pairs: a moe_layer has no tiles");
    return mlir::success();
  };
  for (const LayerProduct& product : plan.products) {
    if (product.w.dtype != plan.dtype)
      return kernel.emitOpError("takes converted weights: a moe_layer multiplies by ") << name(plan.dtype);
    if (failed(agrees(product.w, s.nr)))
      return mlir::failure();
  }
  for (const ScoreProduct& product : plan.gate.products)
    if (failed(agrees(product.w, s.scoreNr)))
      return mlir::failure();
  return s;
}

LayerSchedule chooseLayerSchedule(const LayerPlan& plan, const CpuTarget& target) {
  LayerSchedule s;
  const LayerProduct* widest = &plan.products.front();
  int64_t inGroup = 0; // elements of a row in a group
  for (const LayerProduct& product : plan.products) {
    widest = product.columns() > widest->columns() ? &product : widest;
    inGroup += product.depth();
  }
  std::optional<int64_t> packed, packedScores;
  for (const LayerProduct& product : plan.products)
    packed = packed ? packed : product.w.nr;
  ProductShape shape{plan.dtype, Size(1024), Size(widest->columns()), Size(widest->depth()), true, packed};
  shape.sharesWidth = true;
  ProductSchedule experts = chooseProduct(shape, target);
  s.rows = experts.rows;
  s.nr = experts.nr;
  int64_t bytes = bytesOfSum(plan.dtype), group = kGroupBytes / ((inGroup + s.nr) * bytes);
  s.group = std::clamp<int64_t>(group / s.rows, 1, ceilDiv(128, s.rows)) * s.rows;

  int64_t inBlock = plan.choices * plan.width() + plan.products.front().depth(); // elements of a token in a block
  int64_t most = std::min(kBlockBytes / (inBlock * bytes), kBlockOperations / std::max<int64_t>(1, operationsOfToken(plan))),
          wanted = ceilDiv(kRowsOfExpert * plan.experts, plan.choices);
  s.block = std::clamp<int64_t>(ceilDiv(wanted, 16) * 16, 16, std::clamp<int64_t>(most / 16 * 16, 16, 1024));
  if (std::optional<int64_t> tokens = plan.tokens.constant())
    s.block = ceilDiv(*tokens, ceilDiv(std::max<int64_t>(*tokens, 1), s.block)); // blocks about equal

  s.scoreRows = s.rows;
  s.scoreNr = s.nr;
  for (const ScoreProduct& product : plan.gate.products) {
    packedScores = packedScores ? packedScores : product.w.nr;
    ProductSchedule scores = chooseProduct({plan.gate.dtype, plan.tokens, product.w.columns, product.w.depth, false, packedScores}, target);
    s.scoreRows = scores.rows;
    s.scoreNr = scores.nr;
    packedScores = scores.nr;
  }
  s.block = std::max<int64_t>(s.block, 1);
  return s;
}

std::string obstacleToBlocks(const LayerPlan& plan) {
  auto kernel = ir::CombineOp(plan.combine)->getParentOfType<ir::KernelOp>();
  const RoutingChain& chain = plan.gate.routings.front();
  if (chain.isGrouped())
    return "its routing is by groups or within another";
  if (plan.dtype != DType::F32 && plan.dtype != DType::F64 && plan.dtype != DType::BF16)
    return "it multiplies matrices of " + std::string(name(plan.dtype));
  for (const LayerProduct& product : plan.products) {
    llvm::SmallVector<mlir::Value> open{product.sink};
    llvm::DenseSet<mlir::Value> seen;
    for (unsigned number : product.given)
      open.push_back(yieldOf(kernel)->getOperand(number));
    while (!open.empty()) {
      mlir::Value value = open.pop_back_val();
      if (!seen.insert(value).second)
        continue;
      mlir::Operation* op = value.getDefiningOp();
      if (mlir::isa_and_nonnull<ir::GroupedMatmulOp>(op))
        continue;
      if (mlir::isa_and_nonnull<ir::RandomOp>(op))
        return "its experts draw numbers by their rows' places, which the whole call decides";
      if (!op && isOfRows(value, plan.rows()))
        return "its experts read rows by their places, which the whole call decides";
      if (op && !mlir::isa<ir::ExpertRowsOp>(op))
        open.append(op->operand_begin(), op->operand_end());
    }
  }
  std::vector<mlir::Value> read = plan.gate.routed();
  read.push_back(ir::CombineOp(plan.combine).getWeights());
  for (mlir::Value value : read)
    if (!(mlir::isa<mlir::BlockArgument>(value) || plan.gate.isRowValue(value)) || ir::sizesOf(value) != ir::Sizes{plan.tokens, Size(plan.choices)})
      return "its choices or weights are no rows of its tokens";
  return {};
}

int64_t weightBytes(const LayerPlan& plan) {
  int64_t bytes = 0;
  for (const LayerProduct& product : plan.products)
    bytes += plan.experts * product.columns() * product.depth() * static_cast<int64_t>(byteSize(plan.dtype));
  return bytes;
}

} // namespace moec::codegen::cpu
