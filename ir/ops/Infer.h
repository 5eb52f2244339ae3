#pragma once
// What the ops' constraint checks share: operands as sizes, and the words of a diagnostic. Every text begins with the
// constraint's number in docs/SPEC.md.

#include "ir/dialect/Moe.h"

namespace moec::ir {

using OptionalLocation = std::optional<mlir::Location>;
using Types = llvm::SmallVectorImpl<mlir::Type>;

/// What inference looks at in a tensor operand.
struct Shaped {
  Sizes sizes;
  mlir::Type element;

  int64_t rank() const { return static_cast<int64_t>(sizes.size()); }
  const Size& last() const { return sizes.back(); }
  bool isFloat() const { return mlir::isa<mlir::FloatType>(element); }
  bool isNumber() const { return isFloat() || element.isSignlessInteger(32) || element.isSignlessInteger(64); }
  std::string text() const { return describe(sizes); }
};

/// A tensor operand, checked to be one of the dialect ("tensor C1").
mlir::FailureOr<Shaped> shaped(OptionalLocation location, mlir::Value value);
mlir::FailureOr<std::vector<Shaped>> shaped(OptionalLocation location, mlir::ValueRange values);
/// A routing operand, checked to be one ("routing C3").
mlir::FailureOr<RoutingType> routingOf(OptionalLocation location, mlir::Value value);

/// Sizes of a routing: T, the pairs T*K, and the rows R that ragged tensors have: as many, or the type's bound.
Size tokensOf(RoutingType type);
Size pairsOf(RoutingType type);
Size rowsOf(RoutingType type);

/// Checks "<constraint>: the operands share one dtype".
mlir::LogicalResult sameElement(OptionalLocation location, llvm::StringRef constraint, llvm::StringRef aName, const Shaped& a, llvm::StringRef bName,
                                const Shaped& b);

/// Checks "<constraint>: the operand is a float".
mlir::LogicalResult checkFloat(OptionalLocation location, llvm::StringRef constraint, llvm::StringRef name, const Shaped& x);

/// Checks "<constraint>: position is an i64 []"; nothing without one.
mlir::LogicalResult checkPosition(OptionalLocation location, llvm::StringRef constraint, mlir::Value position);

/// The name in constraints of an element type: "f32".
std::string dtypeName(mlir::Type element);

} // namespace moec::ir

// The head of an op's inference: its constraints, then its result types.
#define MOEC_INFER(Op)                                                                                                          \
  llvm::LogicalResult Op::inferReturnTypes(mlir::MLIRContext* context, std::optional<mlir::Location> location, Adaptor adaptor, \
                                           llvm::SmallVectorImpl<mlir::Type>& types)
