#include "compiler/passes/Functions.h"
#include "compiler/passes/Passes.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace moec::compiler {

namespace {

using FunctionBody = LogicalResult (*)(func::FuncOp);

/// The functions that a pass works on. An error at a module without any.
SmallVector<func::FuncOp> functionsOf(ModuleOp module) {
  SmallVector<func::FuncOp> functions = calledFunctions(module);
  if (functions.empty())
    module.emitError("the module has no function ") << kCalledNames;
  return functions;
}

/// A pass function under a name, for moec-opt. It works on what calls run.
class CalledPass : public PassWrapper<CalledPass, OperationPass<ModuleOp>> {
public:
  CalledPass(StringRef name, StringRef description, FunctionBody body) : name_(name), description_(description), body_(body) {}
  StringRef getArgument() const override { return name_; }
  StringRef getDescription() const override { return description_; }
  StringRef getName() const override { return name_; }
  void runOnOperation() override {
    SmallVector<func::FuncOp> functions = functionsOf(getOperation());
    if (functions.empty() || llvm::any_of(functions, [&](func::FuncOp function) { return failed(body_(function)); }))
      signalPassFailure();
  }

private:
  StringRef name_, description_;
  FunctionBody body_;
};

class MakeTrainingPass : public PassWrapper<MakeTrainingPass, OperationPass<ModuleOp>> {
public:
  MakeTrainingPass() = default;
  MakeTrainingPass(const MakeTrainingPass& other) : PassWrapper(other) {}
  StringRef getArgument() const override { return "moe-make-training"; }
  StringRef getDescription() const override { return "@loss as a step of training"; }
  StringRef getName() const override { return "moe-make-training"; }
  void runOnOperation() override {
    if (failed(makeTraining(getOperation(), {.accumulate = accumulate, .inputGradients = inputGradients, .recompute = recompute})))
      signalPassFailure();
  }

  Option<bool> accumulate{*this, "accumulate", llvm::cl::desc("@accumulate and @apply"), llvm::cl::init(false)};
  Option<bool> inputGradients{*this, "input-gradients", llvm::cl::desc("gradients of inputs are results"), llvm::cl::init(false)};
  Option<bool> recompute{*this, "recompute", llvm::cl::desc("cheap forward values are computed again for the backward part"), llvm::cl::init(false)};
};

class AssignBuffersPass : public PassWrapper<AssignBuffersPass, OperationPass<ModuleOp>> {
public:
  StringRef getArgument() const override { return "moe-assign-buffers"; }
  StringRef getDescription() const override { return "launches wait for their readers, updates for all others; then every value gets a buffer"; }
  StringRef getName() const override { return "moe-assign-buffers"; }
  void runOnOperation() override {
    if (failed(assignBuffers(getOperation())))
      signalPassFailure();
  }
};

/// A pass that asks a target's emitter.
class EmitterPass : public PassWrapper<EmitterPass, OperationPass<ModuleOp>> {
public:
  using Body = LogicalResult (*)(func::FuncOp, codegen::KernelEmitter&);
  EmitterPass(StringRef name, StringRef description, Body body) : name_(name), description_(description), body_(body) {}
  EmitterPass(const EmitterPass& other) : PassWrapper(other), name_(other.name_), description_(other.description_), body_(other.body_) {}
  StringRef getArgument() const override { return name_; }
  StringRef getDescription() const override { return description_; }
  StringRef getName() const override { return name_; }
  void runOnOperation() override {
    std::string error;
    auto emitter = codegen::makeEmitter(target, error);
    if (!emitter) {
      getOperation().emitError(error);
      return signalPassFailure();
    }
    SmallVector<func::FuncOp> functions = functionsOf(getOperation());
    if (functions.empty() || llvm::any_of(functions, [&](func::FuncOp function) { return failed(body_(function, *emitter)); }))
      signalPassFailure();
  }

  Option<std::string> target{*this, "target", llvm::cl::desc("whose emitter is asked"), llvm::cl::init("cuda:sm_90a")};

private:
  StringRef name_, description_;
  Body body_;
};

struct Entry {
  const char *name, *description;
  FunctionBody body;
};

constexpr Entry entries[] = {
    {"moe-hoist-slices", "rows that nobody reads are not computed", hoistSlices},
    {"moe-sink-reshapes", "move reshapes behind elementwise ops", sinkReshapes},
    {"moe-fuse-totals", "sums over whole tensors that are added up", fuseTotals},
    {"moe-fuse-updates", "what parameters and states become, in kernels that write in place", fuseUpdates},
    {"moe-fuse-gates", "scores, choice and assignment in one kernel", fuseGates},
    {"moe-fuse-experts", "dispatch with the experts' first layer, the last layer with combine", fuseExperts},
    {"moe-fuse-attention", "attention with the slices of its projection", fuseAttention},
    {"moe-fuse-matmuls", "products with the elementwise ops behind them", fuseMatmuls},
    {"moe-fuse-gradients", "sums over ids, places and experts, and the gradients of experts' weights", fuseGradients},
    {"moe-fuse-rows", "norms, softmax and choices with the elementwise ops around them", fuseRows},
    {"moe-fuse-loops", "everything else", fuseLoops},
    {"moe-bound-rows", "elementwise ops and norms of experts' rows end at the routing's count", boundRows},
};

} // namespace

void registerPasses() {
  for (const Entry& entry : entries)
    registerPass([entry] { return std::make_unique<CalledPass>(entry.name, entry.description, entry.body); });
  registerPass([] { return std::make_unique<MakeTrainingPass>(); });
  registerPass([] { return std::make_unique<AssignBuffersPass>(); });
  registerPass([] {
    return std::make_unique<EmitterPass>(
        "moe-join-layers", "the kernels of a small MoE layer in one",
        [](func::FuncOp function, codegen::KernelEmitter& emitter) { return joinLayers(function, emitter, /*mayGiveRows=*/true); });
  });
  registerPass([] { return std::make_unique<EmitterPass>("moe-move-updates", "updates of weights in the kernels that make their gradients", moveUpdates); });
  registerPass(
      [] { return std::make_unique<EmitterPass>("moe-join-gradients", "the kernels of the way back through a small layer's experts in one", joinGradients); });
}

} // namespace moec::compiler
