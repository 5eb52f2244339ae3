#pragma once
// Prints how one element of a value (LoopsPlan.h, isOfElements) is computed from the kernel's arguments: the fused elementwise regions, whatever kernel they
// stand in. Knows ops that work element by element, changes of shape, and reductions as loops; knows no tile, no thread and no stage.

#include "codegen/cuda/KernelText.h"

#include <functional>
#include <map>

namespace moec::codegen::cuda {

/// One C++ expression (int or long long) per dimension: variables or literals, no side effects.
using Coordinates = std::vector<std::string>;

/// The result of an elementwise op from its operands, expressions of their register types. Functions are those of math.cuh. Empty for an op
/// that has no text here.
std::string elementwise(mlir::Operation* op, llvm::ArrayRef<std::string> operands);
/// About how many operations an element of the op's result takes.
int64_t elementCost(mlir::Operation* op);
/// The skeletons that the op's text needs: "math.cuh", "random.cuh", or nothing.
std::string_view skeletonOf(mlir::Operation* op);

class ElementText {
public:
  /// Prints into `out` from now on.
  ElementText(KernelText& k, Lines& out) : k_(k), out_(&out) {}

  /// A value that is at hand: an expression for its element (a sum of the product's tile, a place in shared memory). Asked once for each place. Empty
  /// where it is not at hand: there it is computed.
  using Source = std::function<std::string(const Coordinates&)>;
  void bind(mlir::Value value, Source source) { sources_[value] = std::move(source); }
  /// What it is bound to, or null.
  Source sourceOf(mlir::Value value) const { return sources_.lookup(value); }

  /// Prints what computes the element; gives a variable or a literal that holds it, of the value's register type. The same value at the same
  /// place is printed once, until forget().
  std::string element(mlir::Value value, const Coordinates& at);
  /// What was printed stands in a scope that ended, or coordinates changed their values.
  void forget() { known_.clear(); }

  /// A fresh name that begins so.
  std::string fresh(std::string_view name);

private:
  std::string compute(mlir::Value value, const Coordinates& at);
  std::string load(mlir::BlockArgument argument, const Coordinates& at);
  std::string reshape(ir::ReshapeOp op, const Coordinates& at);
  std::string concat(ir::ConcatOp op, const Coordinates& at);
  std::string reduce(ir::ReduceOp op, const Coordinates& at);
  std::string constant(ir::ConstantOp op, const Coordinates& at);
  std::string embedding(ir::EmbeddingOp op, const Coordinates& at);
  // PositionText.cpp
  std::string relativeBias(ir::RelativeBiasOp op, const Coordinates& at);
  std::string rotary(ir::RotaryOp op, const Coordinates& at);
  std::string sliceAt(ir::SliceAtOp op, const Coordinates& at);
  /// The op's table at file scope, declared at its first use.
  std::string tableOf(mlir::Operation* op, std::string_view type, const std::vector<std::string>& elements);
  std::string define(DType type, std::string_view name, std::string_view expression);

  KernelText& k_;
  Lines* out_;
  llvm::DenseMap<mlir::Value, Source> sources_;
  std::map<std::pair<void*, Coordinates>, std::string> known_;
  std::map<std::string, int, std::less<>> names_;
  llvm::DenseMap<mlir::Operation*, std::string> tables_; // of constants, declared at file scope
};

/// The row-major index of a place, as one expression of type long long: "(at0 * 64 + at1) * n0 + at2".
std::string linearIndex(KernelText& k, const ir::Sizes& sizes, const Coordinates& at);
/// The place of an operand that broadcasts to the place `at` of its result: aligned from the last dimension, "0" where its size is 1.
Coordinates broadcastPlace(const ir::Sizes& operand, const Coordinates& at);
/// Declares `const long long` or `const int` coordinates of a row-major index (an expression) into `sizes`; gives their names.
Coordinates printCoordinates(KernelText& k, Lines& out, std::string_view index, const ir::Sizes& sizes, std::string_view prefix);
/// "out0[i] = value;" with the dtype's rounding.
std::string storeText(DType type, std::string_view pointer, std::string_view index, std::string_view value);
/// An element in memory as an expression of the register type.
std::string loadText(DType type, std::string_view pointer, std::string_view index);

} // namespace moec::codegen::cuda
