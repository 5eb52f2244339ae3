#pragma once
// A set of ops of one block that is to become one moe.kernel. Knows nothing of why.

#include "ir/dialect/Moe.h"

#include "llvm/ADT/SetVector.h"

namespace moec::compiler {

class Cluster {
public:
  explicit Cluster(mlir::Operation* root) : root_(root) { ops_.insert(root); }

  bool add(mlir::Operation* op) { return ops_.insert(op); }
  void remove(mlir::Operation* op) { ops_.remove(op); }
  bool contains(mlir::Operation* op) const { return ops_.contains(op); }
  size_t size() const { return ops_.size(); }
  /// How many inputs and results its kernel would have.
  size_t buffers() const;
  llvm::ArrayRef<mlir::Operation*> ops() const { return ops_.getArrayRef(); }

  /// No path leaves the cluster and comes back: the kernel can be called at one moment.
  bool isConvex() const;

  /// Removes ops, but not `kept` ones, that use a value which is computed outside from one of the cluster's results: what stays is convex, if the kept ops are.
  void prune(llvm::function_ref<bool(mlir::Operation*)> kept);

  /// Adds the elementwise ops behind `value` as long as each keeps its shape and is the only use of the one before, or the only one near, or where all uses
  /// meet again, as in x * sigmoid(1.7 x). Tables of experts' entries that such an op reads come along, and so does what is made elementwise for it alone, from
  /// values in memory and draws; the mask of a dropout, for its backward part too. Returns the last value; `reason` says why it ended.
  mlir::Value growForward(mlir::Value value, std::string& reason);

  /// Adds the op that makes an operand, as one that nobody else reads.
  void addOwn(mlir::OpOperand& operand);

  /// Adds what exchanges the last two dimensions of an operand of a member, for the member alone: kernels of products read either way, and nobody then needs
  /// the copy.
  void addExchange(mlir::OpOperand& operand);

  /// Adds the slice that gives an operand, or what a member exchanges for it, as rows of a weight, for the member alone.
  void addRowsOfWeight(mlir::OpOperand& operand);

  /// Adds the sums over all of `rows` (R, N), which the cluster reads in any case: the gradient of a bias beside that of its weight.
  void addSumsOfRows(mlir::Value rows);

  /// Adds an op unless a way then led out of the cluster and back.
  bool addIfConvex(mlir::Operation* op);

  /// Puts the members, which are convex, one behind the other: what stands between them goes in front of the first, or behind the last where it needs one of
  /// them.
  void gather();

  /// Replaces the ops by a moe.kernel whose label is the root's path. Constants are copied into the region. Fails with a diagnostic when
  /// the cluster is not convex.
  mlir::FailureOr<ir::KernelOp> outline(llvm::StringRef kind, llvm::StringRef reason);

private:
  /// The elementwise ops that make a value for its one user; false when other work stands among them.
  bool collectMakers(mlir::Value value, llvm::SmallVectorImpl<mlir::Operation*>& makers) const;
  void addMakers(mlir::Operation* user);
  /// Whether others may read a mask that a kernel makes beside what `user` does: beside experts' rows it is made up to their count, and no further.
  bool mayGive(mlir::Value mask, mlir::Operation* user) const;

  mlir::Operation* root_;
  llvm::SetVector<mlir::Operation*> ops_;
};

/// Draws compared with numbers, as a dropout does: a byte for each element. Null is none.
bool isMask(mlir::Operation* op);
/// Whether a value is made elementwise of a mask and numbers alone.
bool isOfMask(mlir::Value value);

/// Takes a part of its last axis, reduces that, or joins values along it.
bool alongLastAxis(mlir::Operation* op);

/// The op where it is a sum over the rows of a matrix and stands free; else null.
ir::ReduceOp sumOfRows(mlir::Operation* op);

/// Stands free in a function: not in a kernel, and not one of the ops that never are (read, write, return).
bool isFree(mlir::Operation* op);

/// "gelu", "a matmul kernel": what comes behind a value, for `explain`.
std::string nameInWords(mlir::Operation* op);

/// Adds to why a kernel is as it is.
void addReason(ir::KernelOp kernel, const std::string& why);

/// Restores def-before-use order after kernels were made.
mlir::LogicalResult sortBody(mlir::func::FuncOp function);

} // namespace moec::compiler
