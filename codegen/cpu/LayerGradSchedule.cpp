#include "codegen/cpu/LayerGradSchedule.h"

#include <fmt/format.h>

#include <array>

namespace moec::codegen::cpu {
namespace {

constexpr int64_t kGroupBytes = 48 << 10;     // of a group's rows: they lie in the second-level cache's nearest part
constexpr int64_t kBlockOperations = 1 << 21; // about 50 microseconds
constexpr int64_t kLeastBlock = 192;          // rows: adding up a block's sums takes as long as multiplying a row or two
constexpr int64_t kMostBlock = 1024;          // rows: threads share blocks
constexpr int64_t kMostEntry = 1 << 20;       // of a schedule: more is no size of a block
// Of an expert's weight and gradients, and of all experts': each block has sums of its own, and looks for itself through the experts. The bits depend
// on it: it is no cache's size that may be another one.
constexpr int64_t kMostBytes = 256 << 10;

template <class Schedule> auto entriesOf(Schedule& s) {
  using Entry = std::pair<const char*, decltype(&s.block)>;
  return std::array<Entry, 4>{{{"block", &s.block}, {"group", &s.group}, {"rows", &s.rows}, {"nr", &s.nr}}};
}

int64_t expertBytes(const LayerGradPlan& plan) { return (plan.hidden() * plan.width() + plan.elements()) * static_cast<int64_t>(byteSize(plan.dtype)); }

} // namespace

std::optional<std::string> LayerGradSchedule::illegal(const CpuTarget& target, const LayerGradPlan& plan) const {
  for (auto [name, entry] : entriesOf(*this))
    if (*entry < 1 || *entry > kMostEntry)
      return fmt::format("{} {} must be between 1 and {}", name, *entry, kMostEntry);
  if (block % rows != 0)
    return fmt::format("block {} must be a multiple of rows {}", block, rows);
  return ProductSchedule{rows, nr, 1, group, 1, true}.illegal(target, plan.dtype);
}

mlir::DictionaryAttr LayerGradSchedule::attr(mlir::MLIRContext* context) const {
  mlir::Builder builder(context);
  llvm::SmallVector<mlir::NamedAttribute> fields;
  for (auto [name, value] : entriesOf(*this))
    fields.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(*value)));
  return builder.getDictionaryAttr(fields);
}

mlir::FailureOr<LayerGradSchedule> LayerGradSchedule::of(ir::KernelOp kernel, const LayerGradPlan& plan, const CpuTarget& target) {
  LayerGradSchedule s;
  mlir::DictionaryAttr given = kernel.getScheduleAttr();
  for (auto [name, entry] : entriesOf(s)) {
    auto value = given ? given.getAs<mlir::IntegerAttr>(name) : mlir::IntegerAttr();
    if (!value)
      return kernel.emitOpError("has no complete schedule: block, group, rows and nr are needed");
    *entry = value.getInt();
  }
  if (auto why = s.illegal(target, plan))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  if (!plan.w.nr)
    return kernel.emitOpError("takes plain weights: they must be packed (moe.pack)");
  if (*plan.w.nr != s.nr)
    return kernel.emitOpError("has panels of ") << *plan.w.nr << " columns and a schedule for " << s.nr;
  if (plan.w.inPairs || plan.w.scaled || plan.w.dtype != plan.dtype)
    return kernel.emitOpError("takes weights that are packed in pairs or converted: a layer_grad multiplies by panels of ") << name(plan.dtype);
  return s;
}

LayerGradSchedule chooseLayerGradSchedule(const LayerGradPlan& plan, const CpuTarget& target) {
  ProductSchedule product = chooseProduct({plan.dtype, Size(1024), plan.w.columns, plan.w.depth, true, plan.w.nr}, target);
  LayerGradSchedule s;
  s.rows = product.rows;
  s.nr = product.nr;
  int64_t inRow = 0; // elements
  for (const LayerGradPlan::Rows& rows : plan.rows)
    inRow += rows.columns;
  int64_t group = kGroupBytes / (inRow * static_cast<int64_t>(byteSize(plan.dtype)));
  s.group = std::clamp<int64_t>(group / s.rows, 2, ceilDiv(96, s.rows)) * s.rows;
  s.block = ceilDiv(std::clamp(kBlockOperations / std::max<int64_t>(plan.operations(), 1), kLeastBlock, kMostBlock), s.rows) * s.rows;
  return s;
}

LayerChoice chooseLayerGrad(ir::KernelOp kernel, const CpuTarget& target) {
  std::string refusal;
  mlir::ScopedDiagnosticHandler handler(kernel.getContext(), [&](mlir::Diagnostic& diagnostic) {
    refusal = diagnostic.str();
    return mlir::success();
  });
  auto plan = LayerGradPlan::of(kernel);
  if (failed(plan))
    return {false, refusal};
  if (plan->dtype != DType::F32 && plan->dtype != DType::F64)
    return {false, "its rows are of " + std::string(name(plan->dtype))};
  int64_t bytes = plan->experts * expertBytes(*plan);
  if (bytes > kMostBytes)
    return {false, fmt::format("the experts' weights and gradients are {} KiB: more than the {} KiB that stay in the cache", (bytes + 1023) / 1024,
                               kMostBytes / 1024)};
  LayerGradSchedule schedule = chooseLayerGradSchedule(*plan, target);
  if (auto why = schedule.illegal(target, *plan))
    return {false, *why};
  return {true, fmt::format("the experts' weights and gradients, {} KiB, stay in the cache", (bytes + 1023) / 1024)};
}

} // namespace moec::codegen::cpu
