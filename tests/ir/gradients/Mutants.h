#pragma once
// Gradients made wrong, one op at a time, to see that the harness notices.

#include "ir/dialect/Moe.h"

#include <functional>

namespace moec::testing {

struct Mutation {
  std::string text; // "mul -> add"
  std::function<void(mlir::Operation*)> apply;
};

/// The ways to make an op compute something else of the same type.
std::vector<Mutation> mutationsOf(mlir::Operation* op);
inline void apply(const Mutation& mutation, mlir::Operation* op) { mutation.apply(op); }

/// The op of a cloned function at the place of `op` in the one it was cloned from.
mlir::Operation* sameOp(mlir::Operation* op, mlir::func::FuncOp from, mlir::func::FuncOp clone);

} // namespace moec::testing
