#include "ir/ops/Infer.h"

using namespace mlir;

namespace moec::ir {

LogicalResult ReshapeOp::verify() {
  RankedTensorType from = getX().getType(), to = getResult().getType();
  if (from.getElementType() != to.getElementType())
    return emitError() << "reshape C1: the dtype stays: x is " << dtypeName(from.getElementType()) << ", the result is " << dtypeName(to.getElementType());
  Size before = product(sizesOf(from)), after = product(sizesOf(to));
  if (before != after)
    return emitError() << "reshape C2: the element counts agree: x has " << before.str() << ", the result has " << after.str();
  return success();
}

MOEC_INFER(TransposeOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x))
    return failure();
  ArrayRef<int64_t> permutation = adaptor.getPermutation();
  SmallVector<int64_t> sorted(permutation);
  llvm::sort(sorted);
  if (x->rank() == 0 || sorted != llvm::to_vector(llvm::seq<int64_t>(0, x->rank())))
    return emitOptionalError(location, "transpose C1: x has dimensions and permutation holds each of x's ", x->rank(), " dimensions once: it is ",
                             adaptor.getPermutationAttr());
  Sizes sizes;
  for (int64_t from : permutation)
    sizes.push_back(x->sizes[from]);
  types.push_back(tensorOf(sizes, x->element));
  return success();
}

static LogicalResult checkAxis(OptionalLocation location, StringRef constraint, int64_t axis, const Shaped& x) {
  if (axis >= 0 && axis < x.rank())
    return success();
  return emitOptionalError(location, constraint, ": axis is a dimension of x: x has ", x.rank(), " dimensions, axis is ", axis);
}

static LogicalResult checkSizeText(OptionalLocation location, StringRef constraint, StringRef what, StringRef text) {
  if (isCanonicalSize(text))
    return success();
  return emitOptionalError(location, constraint, ": ", what, " is a canonical size text: it is \"", text, "\"");
}

MOEC_INFER(SizeOp) {
  if (failed(checkSizeText(location, "size C1", "value", adaptor.getValue())))
    return failure();
  bool isNumber = isa<FloatType>(adaptor.getTo()) || adaptor.getTo().isSignlessInteger(32);
  if (!isNumber || !isModelTensor(RankedTensorType::get({}, adaptor.getTo())))
    return emitOptionalError(location, "size C2: to is f64, f32, bf16 or i32: it is ", adaptor.getTo());
  types.push_back(RankedTensorType::get({}, adaptor.getTo()));
  return success();
}

MOEC_INFER(SliceOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  int64_t axis = static_cast<int64_t>(adaptor.getAxis());
  if (failed(x) || failed(checkAxis(location, "slice C1", axis, *x)) || failed(checkSizeText(location, "slice C2", "start", adaptor.getStart())) ||
      failed(checkSizeText(location, "slice C2", "size", adaptor.getSize())))
    return failure();
  Size start = Size::parse(adaptor.getStart()), size = Size::parse(adaptor.getSize());
  if (start.constant().value_or(0) < 0 || size.constant().value_or(1) < 1)
    return emitOptionalError(location, "slice C3: start is at least 0 and size at least 1: they are ", start.str(), " and ", size.str());
  if ((x->sizes[axis] - start - size).constant().value_or(0) < 0)
    return emitOptionalError(location, "slice C4: start + size is at most the axis' size: that is ", x->sizes[axis].str(), ", start + size is ",
                             (start + size).str());
  Sizes sizes = x->sizes;
  sizes[axis] = size;
  types.push_back(tensorOf(sizes, x->element));
  return success();
}

MOEC_INFER(SliceAtOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x))
    return failure();
  if (x->rank() < 1)
    return emitOptionalError(location, "slice_at C1: x has at least 1 dimension: it has none");
  if (failed(checkPosition(location, "slice_at C2", adaptor.getPosition())) || failed(checkSizeText(location, "slice_at C3", "size", adaptor.getSize())))
    return failure();
  Size size = Size::parse(adaptor.getSize());
  if (size.constant().value_or(1) < 1)
    return emitOptionalError(location, "slice_at C3: size is at least 1: it is ", size.str());
  if ((x->sizes[0] - size).constant().value_or(0) < 0)
    return emitOptionalError(location, "slice_at C4: size is at most x's rows: x has ", x->sizes[0].str(), ", size is ", size.str());
  Sizes sizes = x->sizes;
  sizes[0] = size;
  types.push_back(tensorOf(sizes, x->element));
  return success();
}

MOEC_INFER(ConcatOp) {
  if (adaptor.getXs().empty())
    return emitOptionalError(location, "concat C1: at least one operand: there is none");
  FailureOr<std::vector<Shaped>> xs = shaped(location, adaptor.getXs());
  if (failed(xs))
    return failure();
  Shaped result = xs->front();
  int64_t axis = static_cast<int64_t>(adaptor.getAxis());
  if (failed(checkAxis(location, "concat C2", axis, result)))
    return failure();
  for (size_t i = 1; i < xs->size(); ++i) {
    const Shaped& x = (*xs)[i];
    if (x.element != result.element || x.rank() != result.rank())
      return emitOptionalError(location, "concat C3: the operands share one dtype and rank: operand 0 is ", dtypeName(result.element), " of rank ",
                               result.rank(), ", operand ", i, " is ", dtypeName(x.element), " of rank ", x.rank());
    for (int64_t d = 0; d < x.rank(); ++d)
      if (d != axis && x.sizes[d] != result.sizes[d])
        return emitOptionalError(location, "concat C4: the sizes of the other dimensions agree: dimension ", d, " of operand 0 is ", result.sizes[d].str(),
                                 ", of operand ", i, " ", x.sizes[d].str());
    result.sizes[axis] = result.sizes[axis] + x.sizes[axis];
  }
  types.push_back(tensorOf(result.sizes, result.element));
  return success();
}

LogicalResult BroadcastOp::verify() {
  RankedTensorType from = getX().getType(), to = getResult().getType();
  if (from.getElementType() != to.getElementType())
    return emitError() << "broadcast C1: the dtype stays: x is " << dtypeName(from.getElementType()) << ", the result is " << dtypeName(to.getElementType());
  Sizes x = sizesOf(from), result = sizesOf(to);
  if (broadcastSizes(x, result) != result)
    return emitError() << "broadcast C2: x broadcasts to the result's shape: x is " << describe(x) << ", the result is " << describe(result);
  return success();
}

MOEC_INFER(ReduceOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  int64_t axis = static_cast<int64_t>(adaptor.getAxis());
  if (failed(x) || failed(checkAxis(location, "reduce C1", axis, *x)))
    return failure();
  if (!x->isFloat())
    return emitOptionalError(location, "reduce C2: x is f64, f32 or bf16: it is ", dtypeName(x->element));
  Sizes sizes = x->sizes;
  sizes.erase(sizes.begin() + axis);
  types.push_back(tensorOf(sizes, x->element));
  return success();
}

} // namespace moec::ir
