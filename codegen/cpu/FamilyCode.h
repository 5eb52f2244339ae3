#pragma once
// The code that kernels of many tensors share (`update`, `totals`): the numbers that all read, computed once, and the pieces of tensors that items work on. A
// piece finds its tensor in a constant table of buffers. Knows no op but elementwise ones.

#include "codegen/analysis/TensorFamilies.h"
#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

class FamilyCode {
public:
  FamilyCode(KernelBuilder& k, TensorFamilies parts) : k_(k), parts_(std::move(parts)) {}

  const TensorFamilies& parts() const { return parts_; }
  /// Before the first stage: room for the numbers.
  void addWorkspaces();
  /// A stage of one item. `total` gives a reduction's sum, in f64.
  void writeNumbers(llvm::function_ref<Value(ir::ReduceOp)> total = {});

  /// Elements [first, first + count) of a member.
  struct Piece {
    Value index; // among all pieces of the kernel
    Value first, count;
    Values inputs, outputs; // pointers, in the order of the family's arguments and values; of `totals` there are no outputs
  };
  /// What the elements of all tensors take.
  Size operations() const;
  /// Of a stage that works on the pieces. An item has its share of every tensor: the first items have the first pieces of each, as in kernels whose items go
  /// through the rows or the matrices of one tensor, so that a thread meets in all of them what it has in its caches. As each goes over all tensors, they are
  /// as many as pieces of all elements in a row would be: tiny tensors make few.
  Size items(int64_t block) const;
  /// Inside of such a stage: the pieces of an item.
  void writePieces(Value item, int64_t block, llvm::function_ref<void(const TensorFamily&, const Piece&)> write);

  int64_t lanesOf(const TensorFamily& family) const;
  /// Vectors of elements, piece by piece: `use` takes the family's values at first + i.
  void writeElements(const TensorFamily& family, const Piece& piece, llvm::function_ref<void(Value i, Value mask, const Values& values)> use);

private:
  using Known = llvm::DenseMap<mlir::Value, Value>;

  Value numberAt(unsigned place);
  Value loadNumber(mlir::Value number);
  Value loadTensor(mlir::Value value, Value pointer, Value place, int64_t lanes, Value mask);
  /// How many pointers of results its pieces have.
  size_t outputsOf(const TensorFamily& family) const { return parts_.totals.empty() ? family.values.size() : 0; }
  Value tableOf(const TensorFamily& family, int64_t firstPiece, int64_t block);

  KernelBuilder& k_;
  TensorFamilies parts_;
  unsigned numbers_ = 0; // workspace: a slot for each of parts_.read
};

/// So many elements that an item streams a few pages of all buffers of its tensor.
int64_t blockOf(const TensorFamilies& parts);

} // namespace moec::codegen::cpu
