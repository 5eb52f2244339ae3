#include "compiler/passes/Passes.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace moec::compiler {

namespace {

using FunctionBody = LogicalResult (*)(func::FuncOp);

/// A pass function under a name, for moec-opt. It works on @forward.
class ForwardPass : public PassWrapper<ForwardPass, OperationPass<ModuleOp>> {
public:
  ForwardPass(StringRef name, StringRef description, FunctionBody body) : name_(name), description_(description), body_(body) {}
  StringRef getArgument() const override { return name_; }
  StringRef getDescription() const override { return description_; }
  StringRef getName() const override { return name_; }
  void runOnOperation() override {
    auto forward = getOperation().lookupSymbol<func::FuncOp>("forward");
    if (!forward) {
      getOperation().emitError("the module has no function @forward");
      return signalPassFailure();
    }
    if (failed(body_(forward)))
      signalPassFailure();
  }

private:
  StringRef name_, description_;
  FunctionBody body_;
};

class AssignBuffersPass : public PassWrapper<AssignBuffersPass, OperationPass<ModuleOp>> {
public:
  StringRef getArgument() const override { return "moe-assign-buffers"; }
  StringRef getDescription() const override { return "give every value a buffer"; }
  StringRef getName() const override { return "moe-assign-buffers"; }
  void runOnOperation() override {
    if (failed(assignBuffers(getOperation())))
      signalPassFailure();
  }
};

class JoinLayersPass : public PassWrapper<JoinLayersPass, OperationPass<ModuleOp>> {
public:
  JoinLayersPass() = default;
  JoinLayersPass(const JoinLayersPass& other) : PassWrapper(other) {}
  StringRef getArgument() const override { return "moe-join-layers"; }
  StringRef getDescription() const override { return "the kernels of a small MoE layer in one"; }
  StringRef getName() const override { return "moe-join-layers"; }
  void runOnOperation() override {
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    auto forward = getOperation().lookupSymbol<func::FuncOp>("forward");
    if (!emitter || !forward) {
      getOperation().emitError(emitter ? "the module has no function @forward" : error);
      return signalPassFailure();
    }
    if (failed(joinLayers(forward, *emitter)))
      signalPassFailure();
  }

  Option<std::string> target{*this, "target", llvm::cl::desc("whose emitter is asked"), llvm::cl::init("cuda:sm_90a")};
};

struct Entry {
  const char *name, *description;
  FunctionBody body;
};

constexpr Entry entries[] = {
    {"moe-sink-reshapes", "move reshapes behind elementwise ops", sinkReshapes},
    {"moe-fuse-gates", "scores, choice and assignment in one kernel", fuseGates},
    {"moe-fuse-experts", "dispatch with the experts' first layer, the last layer with combine", fuseExperts},
    {"moe-fuse-attention", "attention with the slices of its projection", fuseAttention},
    {"moe-fuse-matmuls", "products with the elementwise ops behind them", fuseMatmuls},
    {"moe-fuse-rows", "norms, softmax and choices with the elementwise ops around them", fuseRows},
    {"moe-fuse-loops", "everything else", fuseLoops},
};

} // namespace

void registerPasses() {
  for (const Entry& entry : entries)
    registerPass([entry] { return std::make_unique<ForwardPass>(entry.name, entry.description, entry.body); });
  registerPass([] { return std::make_unique<AssignBuffersPass>(); });
  registerPass([] { return std::make_unique<JoinLayersPass>(); });
}

} // namespace moec::compiler
