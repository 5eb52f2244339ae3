#include "ir/dialect/Moe.h"

#include "runtime/core/Error.h"

#include "llvm/ADT/TypeSwitch.h"

#include "ir/dialect/MoeDialect.cpp.inc"
#include "ir/dialect/MoeEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/dialect/MoeAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/dialect/MoeTypes.cpp.inc"
#define GET_OP_CLASSES
#include "ir/dialect/MoeOps.cpp.inc"

using namespace mlir;

namespace moec::ir {

void MoeDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ir/dialect/MoeAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "ir/dialect/MoeTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "ir/dialect/MoeOps.cpp.inc"
      >();
}

void registerDialects(DialectRegistry& registry) { registry.insert<MoeDialect, func::FuncDialect>(); }

//===--- attributes and types ---===//

std::optional<Size> parseSize(StringRef text) {
  try {
    return Size::parse(std::string_view(text.data(), text.size()));
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool isCanonicalSize(StringRef text) {
  std::optional<Size> size = parseSize(text);
  return size && size->str() == text;
}

static LogicalResult checkCanonical(function_ref<InFlightDiagnostic()> emitError, StringRef constraint, StringRef text) {
  std::optional<Size> size = parseSize(text);
  if (!size)
    return emitError() << constraint << ": \"" << text << "\" is not a size";
  if (size->str() != text)
    return emitError() << constraint << ": the size \"" << text << "\" is not in canonical form, which is \"" << size->str() << "\"";
  return success();
}

LogicalResult SizesAttr::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<StringAttr> dims) {
  for (StringAttr dim : dims)
    if (failed(checkCanonical(emitError, "sizes C1", dim.getValue())))
      return failure();
  return success();
}

LogicalResult SizesAttr::verifyEncoding(ArrayRef<int64_t> shape, Type elementType, function_ref<InFlightDiagnostic()> emitError) const {
  if (shape.size() != getDims().size())
    return emitError() << "sizes C2: one text per dimension: the tensor has " << shape.size() << " dimensions, #moe.sizes has " << getDims().size();
  for (auto [index, dim] : llvm::enumerate(getDims())) {
    std::optional<int64_t> constant = Size::parse(dim.getValue()).constant();
    if (constant ? shape[index] != *constant : !ShapedType::isDynamic(shape[index])) {
      InFlightDiagnostic diagnostic = emitError() << "sizes C3: a dimension is dynamic exactly when its size is not a constant: "
                                                  << "dimension " << index << " is ";
      if (ShapedType::isDynamic(shape[index]))
        diagnostic << "dynamic";
      else
        diagnostic << shape[index];
      return diagnostic << ", its text is \"" << dim.getValue() << "\"";
    }
  }
  if (llvm::none_of(shape, ShapedType::isDynamic))
    return emitError() << "sizes C4: a tensor of constant sizes carries no #moe.sizes";
  return success();
}

LogicalResult InitAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringAttr kind, FloatAttr a, FloatAttr b) {
  static constexpr StringRef known[] = {"zeros", "ones", "constant", "uniform", "normal", "truncated_normal", "orthogonal"};
  if (!llvm::is_contained(known, kind.getValue()))
    return emitError() << "init C1: unknown kind \"" << kind.getValue() << "\"; known: zeros, ones, constant, uniform, normal, truncated_normal, orthogonal";
  if (!a.getType().isF64() || !b.getType().isF64())
    return emitError() << "init C2: the numbers are f64: they are " << a.getType() << " and " << b.getType();
  return success();
}

LogicalResult RoutingType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t experts, StringAttr tokens, int64_t choices, StringAttr bound) {
  if (experts < 1 || choices < 1)
    return emitError() << "routing C1: experts and choices are at least 1: they are " << experts << " and " << choices;
  if (bound && failed(checkCanonical(emitError, "routing C4", bound.getValue())))
    return failure();
  return checkCanonical(emitError, "routing C2", tokens.getValue());
}

//===--- sizes and dtypes ---===//

static std::optional<DType> findDtype(Type element) {
  if (element.isF64())
    return DType::F64;
  if (element.isF32())
    return DType::F32;
  if (element.isBF16())
    return DType::BF16;
  if (element.isSignlessInteger(64))
    return DType::I64;
  if (element.isSignlessInteger(32))
    return DType::I32;
  if (element.isUnsignedInteger(8))
    return DType::U8;
  if (element.isSignlessInteger(1))
    return DType::Bool;
  return std::nullopt;
}

bool isModelTensor(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && findDtype(tensor.getElementType()) &&
         (isa_and_nonnull<SizesAttr>(tensor.getEncoding()) || (!tensor.getEncoding() && tensor.hasStaticShape()));
}

Sizes sizesOf(RankedTensorType type) {
  Sizes sizes;
  if (auto encoding = dyn_cast_or_null<SizesAttr>(type.getEncoding())) {
    for (auto [dim, text] : llvm::zip(type.getShape(), encoding.getDims()))
      sizes.push_back(ShapedType::isDynamic(dim) ? Size::parse(text.getValue()) : Size(dim));
    return sizes;
  }
  return Sizes(type.getShape().begin(), type.getShape().end());
}

RankedTensorType tensorOf(const Sizes& sizes, Type element) {
  SmallVector<int64_t> shape;
  SmallVector<StringAttr> texts;
  for (const Size& size : sizes) {
    shape.push_back(size.constant().value_or(ShapedType::kDynamic));
    texts.push_back(StringAttr::get(element.getContext(), size.str()));
  }
  if (llvm::none_of(shape, ShapedType::isDynamic))
    return RankedTensorType::get(shape, element);
  return RankedTensorType::get(shape, element, SizesAttr::get(element.getContext(), texts));
}

Size product(const Sizes& sizes) {
  Size result = 1;
  for (const Size& size : sizes)
    result = result * size;
  return result;
}

std::optional<Sizes> broadcastSizes(const Sizes& a, const Sizes& b) {
  const Sizes& longer = a.size() >= b.size() ? a : b;
  const Sizes& shorter = a.size() >= b.size() ? b : a;
  Sizes result = longer;
  for (size_t i = 0; i < shorter.size(); ++i) {
    Size& place = result[longer.size() - shorter.size() + i];
    if (place == Size(1))
      place = shorter[i];
    else if (shorter[i] != Size(1) && shorter[i] != place)
      return std::nullopt;
  }
  return result;
}

std::string describe(const Sizes& sizes) {
  std::string text = "[";
  for (const Size& size : sizes)
    text += (text.size() > 1 ? ", " : "") + size.str();
  return text + "]";
}

Type elementType(DType type, MLIRContext* context) {
  switch (type) {
  case DType::F64:
    return Float64Type::get(context);
  case DType::F32:
    return Float32Type::get(context);
  case DType::BF16:
    return BFloat16Type::get(context);
  case DType::I64:
    return IntegerType::get(context, 64);
  case DType::I32:
    return IntegerType::get(context, 32);
  case DType::U8:
    return IntegerType::get(context, 8, IntegerType::Unsigned);
  case DType::Bool:
    return IntegerType::get(context, 1);
  }
  llvm_unreachable("every dtype has an element type");
}

DType dtypeOf(Type element) {
  std::optional<DType> found = findDtype(element);
  assert(found && "not an element type of the dialect");
  return *found;
}

//===--- ops ---===//

std::string pathOf(Location location) {
  if (auto name = dyn_cast<NameLoc>(location))
    return name.getName().str();
  return "";
}

Purpose purposeOf(ModuleOp module) {
  for (const char* name : {"loss", "train_step", "accumulate"})
    if (module.lookupSymbol<func::FuncOp>(name))
      return Purpose::Training;
  if (module.lookupSymbol<func::FuncOp>("evaluate"))
    return Purpose::Evaluation;
  if (module.lookupSymbol<func::FuncOp>("generate"))
    return Purpose::Generation;
  return Purpose::Inference;
}

bool isElementwise(Operation* op) { return op->hasTrait<ElementwiseOp>(); }

} // namespace moec::ir
