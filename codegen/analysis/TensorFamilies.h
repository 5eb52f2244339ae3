#pragma once
// What kernels of many tensors do (`update`, `totals`): numbers that are computed once, and families of tensors whose elements go through the same ops. A
// family's code is written once, however many members it has. Reads the dialect, builds nothing, knows no target.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// Tensors of any number of elements whose elements are worked on alike, each by itself.
struct TensorFamily {
  struct Member {
    std::vector<unsigned> inputs; // places among the kernel's inputs, in the order of `arguments`
    std::vector<unsigned> sinks;  // in the order of `values`: places among the kernel's outputs; of `totals`, among TensorFamilies::totals
    int64_t elements = 0;
  };
  // All of the first member, for which the family's code is written.
  std::vector<mlir::BlockArgument> arguments;
  std::vector<mlir::Operation*> ops; // elementwise ops and constants, in order
  std::vector<mlir::Value> values;   // what is stored; of `totals`, summed up
  std::vector<Member> members;

  /// Of an element of all arguments and, of `update`, results.
  int64_t bytesOfElement = 0;
  /// Of the widest value: what the lanes of vectors are chosen by.
  int64_t widest = 0;
};

struct TensorFamilies {
  /// A diagnostic where the kernel holds what its kind cannot: other ops, operands of another shape that are more than one number, sizes that are no
  /// constants.
  static mlir::FailureOr<TensorFamilies> of(ir::KernelOp kernel);

  std::vector<TensorFamily> families;
  /// Of one element and made of such, each once, in an order in which they can be computed. Reductions of more than one element are among them.
  std::vector<mlir::Operation*> numbers;
  /// Those of `numbers` and of the arguments of one element that families read.
  llvm::SetVector<mlir::Value> read;
  /// Results of one element: the output and the number.
  std::vector<std::pair<unsigned, mlir::Value>> results;
  /// Of `totals`: the reductions of more than one element, each from its own tensor.
  std::vector<ir::ReduceOp> totals;

  /// Whether a number is made by the kernel: neither an argument nor a constant.
  static bool isComputed(mlir::Value number);
  /// Whether there are numbers to compute, or results of one element.
  bool needsNumbers() const;

  /// Of all members.
  int64_t elements() const;
  /// Pieces of at most so many elements; a member begins with a piece of its own.
  int64_t pieces(int64_t elements) const;
  /// About how many operations the elements of all tensors take; `cost`: an op's for one element.
  Size operations(llvm::function_ref<int64_t(mlir::Operation*)> cost) const;
  /// The pieces of each member, in the order of the families and their members.
  template <class Visit> void eachMember(int64_t elements, Visit visit) const {
    int64_t first = 0;
    for (const TensorFamily& family : families)
      for (const TensorFamily::Member& member : family.members) {
        int64_t count = (member.elements + elements - 1) / elements;
        visit(family, member, first, count);
        first += count;
      }
  }

  /// Of values that are equal: the one in `numbers` or among the arguments.
  mlir::Value numberOf(mlir::Value value) const { return equal.lookup(value); }
  llvm::DenseMap<mlir::Value, mlir::Value> equal;
};

/// Whether a value is one number.
bool isNumber(mlir::Value value);
/// A value seen in any shape: what stands above its reshapes.
mlir::Value unshaped(mlir::Value value);

} // namespace moec::codegen
