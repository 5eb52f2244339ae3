#include "codegen/cpu/CpuEmitter.h"

#include "codegen/KindTable.h"
#include "codegen/analysis/Operands.h"
#include "codegen/cpu/Candidates.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/LayerGradSchedule.h"
#include "codegen/cpu/ObjectCompiler.h"

#include <fmt/format.h>

namespace moec::codegen::cpu {

namespace {

/// Counts up when the code of some kernel changes: it is part of every key.
constexpr int kEmitterVersion = 14;

using Kind = KernelKind<KernelBuilder, CpuTarget>;

// Sums take their terms in an order that no count of rows changes: products in increasing depth whatever the block, rows by themselves. What is of training
// alone promises nothing: its sums go over the rows.
constexpr Kind kKinds[] = {
    {"rows", buildRows, scheduleRows, RowBits::Own},
    {"loops", buildLoops, scheduleLoops, RowBits::Own},
    {"sums", buildSums, scheduleSums},
    {"update", buildUpdate, scheduleUpdate},
    {"totals", buildTotals, scheduleTotals},
    {"pack", buildPack, schedulePack, RowBits::Own},
    {"matmul", buildMatmul, scheduleMatmul, RowBits::Own},
    {"expert_up", buildExpertUp, scheduleExpertUp, RowBits::Own},
    {"expert_mid", buildExpertUp, scheduleExpertUp, RowBits::Own},
    {"expert_down", buildExpertDown, scheduleExpertDown, RowBits::Own},
    {"attention", buildAttention, scheduleAttention, RowBits::Own},
    {"attention_grad", buildAttentionGrad, scheduleAttentionGrad},
    {"cached_attention", buildCachedAttention, scheduleCachedAttention, RowBits::Own},
    {"append", buildAppend, scheduleAppend, RowBits::Own},
    {"weight_grad", buildWeightGrad, scheduleWeightGrad},
    {"weight_update", buildWeightUpdate, scheduleWeightUpdate},
    {"gate", buildGate, scheduleGate, RowBits::Own},
    {"places", buildPlaces, schedulePlaces, RowBits::Own},
    {"swipe", buildSwipe, scheduleSwipe, RowBits::Own},
    {"moe_layer", buildLayer, scheduleLayer, RowBits::Own},
    {"layer_grad", buildLayerGrad, scheduleLayerGrad},
};

const Kind* kindOf(ir::KernelOp kernel) { return findKind(kKinds, kernel, "CPU"); }

} // namespace

mlir::DictionaryAttr CpuEmitter::chooseSchedule(ir::KernelOp kernel) {
  const Kind* kind = kindOf(kernel);
  return kind ? kind->schedule(kernel, target_) : nullptr;
}

LayerChoice CpuEmitter::chooseLayer(ir::KernelOp layer) {
  return layer.getKind() == "layer_grad" ? chooseLayerGrad(layer, target_) : cpu::chooseLayer(layer, target_);
}

std::vector<mlir::DictionaryAttr> CpuEmitter::candidates(ir::KernelOp kernel, mlir::DictionaryAttr schedule) {
  return candidatesOf(kernel, schedule, chooseSchedule(kernel), target_);
}

std::optional<std::string> CpuEmitter::refuse(ir::KernelOp kernel, mlir::DictionaryAttr schedule) {
  return refusalOf(kernel, schedule, chooseSchedule(kernel), target_);
}

std::string CpuEmitter::keyWithoutSchedule(ir::KernelOp kernel) {
  // What panels cost depends on who makes them, of which the kernel's body knows nothing.
  return keyWithoutScheduleOf(kernel, fmt::format("emitter {} {}{}", kEmitterVersion, target_.name, makesPanels(kernel) ? " packed by calls" : ""));
}

std::optional<std::string> CpuEmitter::dependsOnNeighbours(ir::KernelOp kernel) {
  const Kind* kind = kindOf(kernel);
  if (kind && kind->rows == RowBits::Own)
    return {};
  return fmt::format("kernels of kind \"{}\" on {} promise nothing of a row's bits", std::string_view(kernel.getKind()), target_.name);
}

std::string CpuEmitter::key(ir::KernelOp kernel) {
  auto place = debugInfo_ ? modelPlaceOf(kernel.getLoc()) : std::nullopt;
  return keyOf(kernel, fmt::format("emitter {} {}{}", kEmitterVersion, target_.name, place ? " at " + describe(*place) : ""));
}

mlir::FailureOr<mlir::ModuleOp> CpuEmitter::build(ir::KernelOp kernel, KernelBuilder& k) {
  const Kind* kind = kindOf(kernel);
  if (!kind || mlir::failed(kind->build(k, kernel)))
    return mlir::failure();
  std::string error;
  mlir::FailureOr<mlir::ModuleOp> module = k.finish(error);
  if (mlir::failed(module))
    kernel.emitError() << "internal: " << error;
  return module;
}

mlir::FailureOr<KernelImage> CpuEmitter::emit(ir::KernelOp kernel) {
  std::string symbol = symbolOf(kernel), error;
  KernelBuilder k(kernel, symbol, target_, debugInfo_);
  mlir::FailureOr<mlir::ModuleOp> module = build(kernel, k);
  if (mlir::failed(module))
    return mlir::failure();
  mlir::FailureOr<std::vector<uint8_t>> image = compileToImage(*module, target_, symbol, error);
  if (mlir::failed(image))
    return kernel.emitError() << "internal: " << error;
  return KernelImage{symbol, std::move(*image), k.sizes(), k.stages(), k.workspaces()};
}

mlir::FailureOr<std::string> CpuEmitter::print(ir::KernelOp kernel, CodeText form) {
  KernelBuilder k(kernel, symbolOf(kernel), target_, debugInfo_);
  mlir::FailureOr<mlir::ModuleOp> module = build(kernel, k);
  if (mlir::failed(module))
    return mlir::failure();
  if (form == CodeText::None)
    return std::string();
  std::string error;
  mlir::FailureOr<std::string> text = printCode(*module, target_, form, error);
  if (mlir::failed(text))
    return kernel.emitError() << "internal: " << error;
  return text;
}

} // namespace moec::codegen::cpu
