#pragma once
// From one op of the IR to its evaluator. For Interpreter.cpp alone.

#include "ir/reference/Interpreter.h"

namespace moec::reference {

/// The results of an op that is neither kernel nor terminator.
std::vector<Tensor> evaluateOp(mlir::Operation* op, llvm::ArrayRef<Tensor> operands, Call& call);

} // namespace moec::reference
