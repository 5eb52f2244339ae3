#pragma once
// The text that kernels of many tensors share (`update`, `totals`): the numbers that all read, computed once, and the pieces of tensors that blocks work on. A
// block finds its tensor in a constant table of places, and the pointers there in a workspace that the kernel's first stage fills. Knows no op but elementwise
// ones.

#include "codegen/analysis/TensorFamilies.h"
#include "codegen/cuda/ElementText.h"

namespace moec::codegen::cuda {

/// Where a kernel's table of so many 64-bit numbers stands: in constant memory, of which a module has 64 KiB, where it takes no more than a third of that.
const char* tableSpace(int64_t numbers);

class FamilyText {
public:
  /// A diagnostic where a tensor holds a constant of many numbers.
  static mlir::FailureOr<FamilyText> of(KernelText& k);

  const TensorFamilies& parts() const { return parts_; }
  /// Before the first stage: room for pointers and numbers.
  void addWorkspaces();

  /// Whether something stands in the workspaces before pieces can be worked on.
  bool needsPointers() const;
  void printPointers(Lines& lines);
  /// By one thread. `total` gives the variable that holds a reduction's result.
  void printNumbers(Lines& lines, llvm::function_ref<std::string(ir::ReduceOp)> total = {});

  Size operations() const;
  /// What a block does: finds the piece blockIdx.x, elements [first, end) of a tensor, and goes over it with all threads. `use` prints what is done with the
  /// values of an element; `before` and `behind` stand around the loop. `pointers` are those of the family's results.
  struct Piece {
    int64_t threads = 0, each = 0;
    std::function<void(Lines&, const TensorFamily&)> before, behind;
    std::function<void(Lines&, const TensorFamily&, const std::vector<std::string>& pointers, const std::vector<std::string>& values)> use;
  };
  void printPieces(Lines& lines, const Piece& piece);

private:
  FamilyText(KernelText& k, TensorFamilies parts) : k_(k), parts_(std::move(parts)) {}
  std::string numberPlace(mlir::Value number) const;
  std::vector<std::string> printPlace(Lines& lines, const TensorFamily& family, int64_t firstPiece, int64_t elements, std::vector<std::string>& outputs);
  std::vector<std::string> printValues(Lines& lines, const TensorFamily& family, const std::vector<std::string>& inputs);

  KernelText& k_;
  TensorFamilies parts_;
  std::string pointers_;                 // a workspace: of all inputs, then all outputs
  std::map<DType, std::string> numbers_; // workspaces, by the numbers' dtype: a place for each of parts_.read
};

} // namespace moec::codegen::cuda
