#include "ir/ops/Infer.h"

using namespace mlir;

namespace moec::ir {

static LogicalResult checkGroup(OptionalLocation location, StringRef constraint, int64_t group) {
  return group >= 1 ? success() : emitOptionalError(location, constraint, ": group is at least 1: it is ", group);
}

MOEC_INFER(QuantizeOp) {
  FailureOr<Shaped> w = shaped(location, adaptor.getW());
  if (failed(w))
    return failure();
  if (!w->element.isF32() || w->rank() < 2)
    return emitOptionalError(location, "quantize C1: w is f32 of at least 2 dimensions: it is ", dtypeName(w->element), w->text());
  auto group = static_cast<int64_t>(adaptor.getGroup());
  if (failed(checkGroup(location, "quantize C2", group)))
    return failure();
  Sizes scales = w->sizes;
  scales.back() = Size::ceilDiv(w->last(), group);
  types.push_back(tensorOf(w->sizes, elementType(DType::U8, context)));
  types.push_back(tensorOf(scales, elementType(DType::BF16, context)));
  return success();
}

MOEC_INFER(DequantizeOp) {
  FailureOr<Shaped> codes = shaped(location, adaptor.getCodes()), scales = shaped(location, adaptor.getScales());
  if (failed(codes) || failed(scales))
    return failure();
  if (!codes->element.isUnsignedInteger(8) || codes->rank() < 2)
    return emitOptionalError(location, "dequantize C1: codes are u8 of at least 2 dimensions: they are ", dtypeName(codes->element), codes->text());
  auto group = static_cast<int64_t>(adaptor.getGroup());
  if (failed(checkGroup(location, "dequantize C2", group)))
    return failure();
  Sizes wanted = codes->sizes;
  wanted.back() = Size::ceilDiv(codes->last(), group);
  if (!scales->element.isBF16() || scales->sizes != wanted)
    return emitOptionalError(location, "dequantize C3: scales are bf16", describe(wanted), ", one for each group: they are ", dtypeName(scales->element),
                             scales->text());
  types.push_back(tensorOf(codes->sizes, elementType(DType::F32, context)));
  return success();
}

} // namespace moec::ir
