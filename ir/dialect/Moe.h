#pragma once
// The dialect `moe` as C++ classes, and the one way to make its tensor types. Knows no phase, no JSON and no machine.

#include "ir/dialect/Precompiled.h"
#include "runtime/core/DType.h"
#include "runtime/core/Plan.h"
#include "runtime/core/Size.h"

namespace moec::ir {

/// Marks ops whose every result element depends only on the operands' elements at the same (broadcast) place.
template <class ConcreteOp> class ElementwiseOp : public mlir::OpTrait::TraitBase<ConcreteOp, ElementwiseOp> {};

/// Whether a type is a tensor of the dialect: ranked, of a dtype of runtime/core/DType.h, every dynamic size told by
/// #moe.sizes.
bool isModelTensor(mlir::Type type);

} // namespace moec::ir

#include "ir/dialect/MoeDialect.h.inc"
#include "ir/dialect/MoeEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/dialect/MoeAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/dialect/MoeTypes.h.inc"
#define GET_OP_CLASSES
#include "ir/dialect/MoeOps.h.inc"

namespace moec::ir {

using Sizes = std::vector<Size>;

/// A size text of an attribute; nothing when it is not one.
std::optional<Size> parseSize(llvm::StringRef text);
/// Whether a text is a size as Size::str() writes it. Only such texts stand in attributes and types.
bool isCanonicalSize(llvm::StringRef text);

/// The sizes of a tensor's dimensions, static or symbolic.
Sizes sizesOf(mlir::RankedTensorType type);
inline Sizes sizesOf(mlir::Value value) { return sizesOf(mlir::cast<mlir::RankedTensorType>(value.getType())); }
/// A tensor type of these sizes, with #moe.sizes exactly when one is symbolic.
mlir::RankedTensorType tensorOf(const Sizes& sizes, mlir::Type element);
Size product(const Sizes& sizes);
/// NumPy's broadcast of two shapes; nothing when a pair of sizes differs and neither is 1.
std::optional<Sizes> broadcastSizes(const Sizes& a, const Sizes& b);
std::string describe(const Sizes& sizes); // "[batch, 65, 32]"

mlir::Type elementType(DType type, mlir::MLIRContext* context); // Bool is i1, U8 is ui8
DType dtypeOf(mlir::Type element);

/// The path in the model of an op: the name of its NameLoc ("layers.0.moe"), or "" without one.
std::string pathOf(mlir::Location location);

bool isElementwise(mlir::Operation* op);

/// What a module is for, by the names of its functions.
Purpose purposeOf(mlir::ModuleOp module);

/// Attribute of a moe.parameter of a gate: a choice of experts hangs on each of its bits.
inline constexpr llvm::StringLiteral kRouterName = "moe.router";

/// Creates a compute op, or reports at `location` the constraint that its operands break. The generated builders end
/// the process there: they are for operands that are known to fit.
template <class Op>
mlir::FailureOr<Op> tryCreate(mlir::OpBuilder& builder, mlir::Location location, mlir::ValueRange operands, typename Op::Properties properties = {}) {
  llvm::SmallVector<mlir::Type> types;
  if (failed(Op::inferReturnTypes(builder.getContext(), location, operands, {}, &properties, {}, types)))
    return mlir::failure();
  return Op::create(builder, location, types, operands, properties);
}

/// Registers what a context needs to hold the dialect (moe, func).
void registerDialects(mlir::DialectRegistry& registry);

} // namespace moec::ir
