#pragma once
// The kinds of optimizers, one file each, and the graph of one step of the rule that a module names. A rule is the
// module's dictionary `moe.optimizer`, which the import writes: {kind = "adamw", betas = [..], no_decay = [..] ..}.
// What emits the graph knows no JSON.

#include "models/Kind.h"

namespace moec::models {

const Kind& adafactorOptimizer();
const Kind& adamOptimizer();
const Kind& adamwOptimizer();
const Kind& lionOptimizer();
const Kind& sgdOptimizer();

/// Parameters of every kind of optimizer, behind its own: no_decay, clip_norm, ema.
std::vector<Parameter> withCommonParameters(std::vector<Parameter> own);

/// The parameter weight_decay; `doc` says what it does where that is something else.
Parameter weightDecayParameter(std::string fallback = "0", std::string doc = "Before a step the parameter is multiplied by 1 - learning rate * this.");

/// Does a pattern of no_decay mean the parameter of this name?
bool matches(llvm::StringRef pattern, llvm::StringRef name);

struct ParameterGradient {
  ir::ParameterOp parameter;
  mlir::Value gradient; // of the parameter's shape and dtype, or, of a bf16 parameter, f32
};

/// Declares the rule's `moe.state`s behind the module's last parameter or state, and emits at `builder` the gradients'
/// norm, their clipping where the rule asks for it, and the `moe.write` of each parameter and state. A parameter that
/// is not among the gradients stays as it is. `learningRate` is f64 [], `step` i64 [], 1 at the first step.
/// A parameter with `sign_rate` loses that times the sign of its gradient, which is in no norm, is not clipped and knows
/// no weight decay. Gives the norm of all other gradients before clipping, f64 []. Fails, after an error at the module, where it has no rule
/// or one of an unknown kind.
/// The names of the states are those of docs/decisions/0012-training.md. The master weights of a bf16 parameter,
/// `p.master`, are a state `from @p`: it begins as the parameter's numbers, cast.
mlir::FailureOr<mlir::Value> emitUpdates(mlir::ModuleOp module, mlir::OpBuilder& builder, llvm::ArrayRef<ParameterGradient> gradients, mlir::Value learningRate,
                                         mlir::Value step);

} // namespace moec::models
