#pragma once
// The kernels that there are: one builder, and one chooser of schedules, for each kind of moe.kernel. The list in CudaEmitter.cpp names them.

#include "codegen/cuda/KernelText.h"

namespace moec::codegen::cuda {

/// A builder writes all stages of the kernel; what it cannot write is a diagnostic at the kernel.
mlir::LogicalResult buildLoops(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildRows(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildMatmul(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildExpertUp(KernelText& k, ir::KernelOp kernel); // expert_mid too
mlir::LogicalResult buildExpertDown(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildAttention(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildGate(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildPlaces(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildSwipe(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildLayer(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildUpdate(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildTotals(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildSums(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildWeightGrad(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildCachedAttention(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildAppend(KernelText& k, ir::KernelOp kernel);
mlir::LogicalResult buildAttentionGrad(KernelText& k, ir::KernelOp kernel);

/// A complete schedule in the kernel's context; null with a diagnostic when none is legal.
mlir::DictionaryAttr scheduleLoops(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleRows(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleMatmul(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleExpertUp(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleExpertDown(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleAttention(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleGate(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr schedulePlaces(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleSwipe(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleLayer(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleUpdate(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleTotals(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleSums(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleWeightGrad(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleCachedAttention(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleAppend(ir::KernelOp kernel, const CudaTarget& target);
mlir::DictionaryAttr scheduleAttentionGrad(ir::KernelOp kernel, const CudaTarget& target);

/// Whether one block is to do a whole layer, a kernel of kind `moe_layer`.
LayerChoice chooseLayer(ir::KernelOp kernel, const CudaTarget& target);

} // namespace moec::codegen::cuda
