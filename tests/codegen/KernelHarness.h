#pragma once
// Makes one moe.kernel, has it scheduled and emitted for this machine, and calls its machine code as the runtime would. For tests and benchmarks.

#include "codegen/KernelEmitter.h"
#include "runtime/core/KernelAbi.h"
#include "runtime/core/Tensor.h"

#include <functional>

namespace moec::testing {

/// Writes a kernel op by op: first the inputs, then the body with `builder()`, last finish().
class KernelMaker {
public:
  explicit KernelMaker(mlir::MLIRContext& context);
  ~KernelMaker();
  mlir::OpBuilder& builder() { return builder_; }
  mlir::Location loc() { return builder_.getUnknownLoc(); }
  /// An input of the kernel, as the body sees it. Sizes are numbers or size texts.
  mlir::Value tensor(DType type, const std::vector<std::string>& sizes);
  /// Uniform draws that the kernel makes, under the path "test.draws".
  mlir::Value draws(DType type, const std::vector<std::string>& sizes);
  mlir::Value routing(int64_t experts, const std::string& tokens, int64_t choices);
  template <class Op, class... Args> mlir::Value make(Args&&... args) { return Op::create(builder_, loc(), std::forward<Args>(args)...)->getResult(0); }
  ir::KernelOp finish(const std::string& kind, mlir::ValueRange results);

private:
  mlir::Value input(mlir::Type type);
  mlir::RankedTensorType typeOf(DType type, const std::vector<std::string>& sizes);
  mlir::OwningOpRef<mlir::ModuleOp> module_;
  mlir::OpBuilder builder_;
  mlir::Region body_;
};

/// The best target whose code this machine runs: "cpu:x86-64-v4" or "cpu:x86-64-v3".
std::string hostTarget();

/// What kernels are tested for: cpu:x86-64-v3 and hostTarget(); or the one target that the environment's MOEC_TEST_TARGET names: every test is
/// skipped where this machine does not run it.
std::vector<std::string> testTargets();

/// A context with the dialect in it.
std::unique_ptr<mlir::MLIRContext> makeContext();

/// The image of a kernel for a target; chooses a schedule when it has none. A process emits a kernel once, for tests run it at several sizes: its key holds all
/// that its image depends on. Throws std::runtime_error with all diagnostics on failure.
codegen::KernelImage emitKernel(ir::KernelOp kernel, const std::string& target);

class LoadedKernel {
public:
  /// Of what emitKernel() gives.
  LoadedKernel(ir::KernelOp kernel, const std::string& target = testTargets().back());
  /// Of other code for the same launch.
  LoadedKernel(ir::KernelOp kernel, codegen::KernelImage image, const std::string& target);
  ~LoadedKernel();
  LoadedKernel(const LoadedKernel&) = delete;

  struct Call {
    Bindings bindings;
    uint64_t seed = 0;
    uint32_t step = 0;
    int threads = 1;
    std::function<void(size_t stage, int64_t item)> beforeItem = {}; // in its thread
  };
  /// Outputs in order; filled with NaN or -7777 before, so that what is not written is seen.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, const Call& call);
  /// The same into given outputs.
  void run(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, const Call& call);
  /// Poisoned memory for the outputs.
  std::vector<Tensor> outputsOf(const Bindings& bindings) const;
  const codegen::KernelImage& image() const { return image_; }
  void* symbol(const char* name) const; // of the image

private:
  codegen::KernelImage image_;
  std::vector<uint32_t> streams_;
  struct Output {
    DType type;
    std::vector<Size> sizes;
  };
  std::vector<Output> outputs_;
  std::vector<Tensor> workspaces_;
  int file_ = -1; // open as long as the library: dlopen takes two files of one name for the same library
  void* library_ = nullptr;
  KernelFunction function_ = nullptr;
};

/// Deterministic numbers in [-1, 1).
Tensor randomTensor(DType type, const Shape& shape, uint32_t seed);

} // namespace moec::testing
