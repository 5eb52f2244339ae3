#pragma once
// What may be chosen about a kernel of kind `layer_grad`, what is chosen, and when one launch is the right form of the way back through a layer's experts.
// Knows targets and sizes; builds nothing.
//
// By its parts every row goes through memory five times: weighted, multiplied, through the activation, and twice into products of gradients. In one launch a
// group of rows goes through all of it in the first caches. But each block of rows has sums of its own for all elements of the expert's gradients, which are
// added up behind: all experts' weights and gradients must be few.

#include "codegen/analysis/LayerGradPlan.h"
#include "codegen/cpu/ProductSchedule.h"

namespace moec::codegen::cpu {

struct LayerGradSchedule {
  int64_t block = 0;        // rows of an expert whose sums are taken apart from others': the bits depend on it
  int64_t group = 0;        // of them, those that go through all ops before the next ones
  int64_t rows = 0, nr = 0; // register blocks of the products

  std::optional<std::string> illegal(const CpuTarget& target, const LayerGradPlan& plan) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  /// The kernel's own, when it is complete and legal and agrees with packed weights; else a diagnostic.
  static mlir::FailureOr<LayerGradSchedule> of(ir::KernelOp kernel, const LayerGradPlan& plan, const CpuTarget& target);
};

LayerGradSchedule chooseLayerGradSchedule(const LayerGradPlan& plan, const CpuTarget& target);

/// Whether one launch is better than those of the parts.
LayerChoice chooseLayerGrad(ir::KernelOp kernel, const CpuTarget& target);

} // namespace moec::codegen::cpu
