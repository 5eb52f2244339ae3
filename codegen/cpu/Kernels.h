#pragma once
// The kernels that there are: one builder, and one chooser of schedules, for each kind of moe.kernel. The list in CpuEmitter.cpp names them.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// A builder writes all stages of the kernel; what it cannot write is a diagnostic at the kernel.
mlir::LogicalResult buildRows(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildLoops(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildSums(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildUpdate(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildTotals(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildPack(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildMatmul(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildExpertUp(KernelBuilder& k, ir::KernelOp kernel); // expert_mid too
mlir::LogicalResult buildExpertDown(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildAttention(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildAttentionGrad(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildCachedAttention(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildAppend(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildWeightGrad(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildWeightUpdate(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildGate(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildPlaces(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildSwipe(KernelBuilder& k, ir::KernelOp kernel);
mlir::LogicalResult buildLayer(KernelBuilder& k, ir::KernelOp kernel); // moe_layer
mlir::LogicalResult buildLayerGrad(KernelBuilder& k, ir::KernelOp kernel);

/// Whether a kernel of kind `weight_update` makes the gradient of experts' weights, as one of kind `weight_grad` does; else it does as one of kind `matmul`.
bool updatesExperts(ir::KernelOp kernel);

/// A complete schedule in the kernel's context; null with a diagnostic when none is legal.
mlir::DictionaryAttr scheduleRows(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleLoops(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleSums(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleUpdate(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleTotals(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr schedulePack(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleMatmul(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleExpertUp(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleExpertDown(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleAttention(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleAttentionGrad(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleCachedAttention(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleAppend(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleWeightGrad(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleWeightUpdate(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleGate(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr schedulePlaces(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleSwipe(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleLayer(ir::KernelOp kernel, const CpuTarget& target);
mlir::DictionaryAttr scheduleLayerGrad(ir::KernelOp kernel, const CpuTarget& target);

/// Of a kernel of kind `moe_layer`: whether it is better than the kernels of its layer's parts.
LayerChoice chooseLayer(ir::KernelOp kernel, const CpuTarget& target);

} // namespace moec::codegen::cpu
