#pragma once
// How a fused kernel becomes machine code for one target. Knows the dialect; knows no phase, no plan and no device.

#include "ir/dialect/Moe.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace moec::codegen {

/// What emitting a kernel gives: the image and all that a launch of it needs (runtime/core/Plan.h, LaunchInfo).
struct KernelImage {
  std::string symbol;         // exported by the image; from key(), so equal kernels share it
  std::vector<uint8_t> image; // CPU: ELF shared object without undefined symbols; CUDA: runtime/core/CudaImage.h
  std::vector<Size> sizes;    // KernelCall::sizes, over the symbols of this kernel
  std::vector<StageInfo> stages;
  std::vector<Size> workspaces; // bytes of each kernel-private buffer; in KernelCall::buffers behind the outputs
};

/// Whether a MoE layer is to be one launch, and why: words for `explain`.
struct LayerChoice {
  bool joined = false;
  std::string reason;
};

enum class CodeText { None, Llvm, Asm, Cuda, Ptx };

class KernelEmitter {
public:
  virtual ~KernelEmitter() = default;
  /// "cpu:x86-64-v3".
  virtual std::string target() const = 0;
  /// Of a kernel of kind `moe_layer` or `layer_grad`: whether it is better than the kernels of its parts.
  virtual LayerChoice chooseLayer(ir::KernelOp layer) = 0;
  /// Whether there are kernels of kind `weight_update`.
  virtual bool updatesWeights() const { return false; }
  /// A complete schedule for a kernel, from the cost model. Null with a diagnostic when no legal one exists.
  virtual mlir::DictionaryAttr chooseSchedule(ir::KernelOp kernel) = 0;
  /// Schedules that differ from this legal one of the kernel in one choice (what it drags along follows), and give the same bits: what a tuner may try.
  /// None for kernels that are not tuned.
  virtual std::vector<mlir::DictionaryAttr> candidates(ir::KernelOp, mlir::DictionaryAttr) { return {}; }
  /// Why a schedule that somebody names cannot take the place of chooseSchedule()'s, or nothing: it is legal, of bounded scratch, and gives the same bits.
  virtual std::optional<std::string> refuse(ir::KernelOp kernel, mlir::DictionaryAttr schedule);
  /// key() of a kernel as if it had no schedule and no place in the model: what tuned schedules are found by.
  virtual std::string keyWithoutSchedule(ir::KernelOp kernel) = 0;
  /// Why the bits of a row may change with the call's other rows although the ops' meaning does not ask for it (for `--invariant`). Nothing where the kernel is
  /// known to keep rows apart.
  virtual std::optional<std::string> dependsOnNeighbours(ir::KernelOp) { return "kernels of " + target() + " promise nothing of a row's bits"; }
  /// Everything the machine code depends on, as text: body, types, schedule, target, emitter version; no labels, paths of draws or locations. Symbol names
  /// of sizes are kept: equal kernels over the same symbols share an image.
  virtual std::string key(ir::KernelOp kernel) = 0;
  /// KernelImage::symbol, without emitting.
  virtual std::string symbolOf(ir::KernelOp kernel) = 0;
  /// Diagnostic at the kernel's location on failure. Safe to call from several threads for kernels of different contexts or of one context
  /// whose op is only read.
  virtual mlir::FailureOr<KernelImage> emit(ir::KernelOp kernel) = 0;
  /// The code of a kernel as text. A diagnostic for a form that the target does not have.
  virtual mlir::FailureOr<std::string> print(ir::KernelOp kernel, CodeText form) = 0;
};

struct EmitterOptions {
  /// A folder with CUDA text by the user, <symbol>.cu each: it takes the place of the emitter's, and is compiled in a process of its own. Read when the
  /// emitter is made.
  std::filesystem::path kernels;
  /// CPU kernels carry line tables that lead to the model. Equal kernels of different lines are then different kernels.
  bool debugInfo = false;
};

/// Paths of the draws of a kernel in the order of KernelCall::streams: the `path` of each moe.random in its body, in op order.
std::vector<std::string> streamsOf(ir::KernelOp kernel);

/// Everything that a kernel's code depends on, behind `emitter` (the emitter's version, its target and what else it depends on); for KernelEmitter::key().
std::string keyOf(ir::KernelOp kernel, const std::string& emitter);
/// The same without the schedule.
std::string keyWithoutScheduleOf(ir::KernelOp kernel, const std::string& emitter);
/// "<kind>_<32 hexadecimal digits>" of a key.
std::string symbolOf(ir::KernelOp kernel, const std::string& key);

/// The emitter of a target, or null with `error` that names it and the known ones ("cpu:x86-64-v2", "cpu:x86-64-v3", "cuda:sm_90a" ...). Error(Data) for
/// options.kernels that cannot be read.
std::unique_ptr<KernelEmitter> makeEmitter(const std::string& target, std::string& error, const EmitterOptions& options = {});

} // namespace moec::codegen
