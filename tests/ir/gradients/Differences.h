#pragma once
// Gradients of a function of one result, in two ways that share nothing but the reference interpreter: by the rules, and by central differences.

#include "ir/reference/Interpreter.h"

#include <string>

namespace moec::testing {

/// A function @f with numbers for its arguments, and for dy: the gradient of its result.
struct Trial {
  mlir::func::FuncOp function;
  std::vector<Tensor> arguments;
  Tensor dy;
  Bindings sizes;
  bool whole = false; // arguments are whole numbers, and differences take whole steps
};

/// Draws the arguments as their attributes say (Cases.h), the same for the same function.
Trial makeTrial(mlir::func::FuncOp function, const Bindings& sizes);

/// The path of the ops that make sum(f(x) * dy), and so of their gradients.
inline constexpr const char* kLossPlace = "loss";

/// Behind @f, a function @g of f's arguments and dy: the gradients of sum(f(x) * dy) with respect to all arguments of floats, by the reverse pass. `loss` is
/// set to the last op in front of those of the gradients. Null after a diagnostic.
mlir::func::FuncOp addGradient(mlir::func::FuncOp function, mlir::Operation*& loss);

/// What a function of f's arguments and dy returns. Ragged rows behind a routing's count are NaN wherever an op leaves them undefined.
std::vector<Tensor> evaluateGradient(mlir::func::FuncOp gradient, const Trial& trial);

/// For each argument of floats the derivative of sum(f(x) * dy) by each of its elements.
std::vector<std::vector<double>> differences(const Trial& trial);

/// Empty, or where gradients and differences are apart.
std::string disagreement(const std::vector<Tensor>& gradients, const std::vector<std::vector<double>>& expected, const Trial& trial);

} // namespace moec::testing
