// Choices taken up again and put in order: take, places, swipe.

#include "ir/ops/Infer.h"

using namespace mlir;

namespace moec::ir {

/// i32 of 2 dimensions, the last a constant.
static bool areIndices(const Shaped& indices) {
  return indices.element.isSignlessInteger(32) && indices.rank() == 2 && indices.last().isConstant() && *indices.last().constant() >= 1;
}

MOEC_INFER(TakeOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX()), indices = shaped(location, adaptor.getIndices());
  if (failed(x) || failed(indices))
    return failure();
  if (!x->isFloat() || x->rank() != 2 || !x->last().isConstant())
    return emitOptionalError(location, "take C1: x is f64, f32 or bf16 of 2 dimensions, the last a constant: it is ", dtypeName(x->element), x->text());
  if (!areIndices(*indices) || indices->sizes[0] != x->sizes[0])
    return emitOptionalError(location, "take C2: indices is i32 of x's rows by a constant: x is ", x->text(), ", indices is ", dtypeName(indices->element),
                             indices->text());
  types.push_back(tensorOf(indices->sizes, x->element));
  return success();
}

MOEC_INFER(PlacesOp) {
  FailureOr<Shaped> indices = shaped(location, adaptor.getIndices()), scores = shaped(location, adaptor.getScores());
  if (failed(indices) || failed(scores))
    return failure();
  if (!areIndices(*indices))
    return emitOptionalError(location, "places C1: indices is i32 of 2 dimensions, the last a constant: it is ", dtypeName(indices->element), indices->text());
  if (!scores->isFloat() || scores->sizes != indices->sizes)
    return emitOptionalError(location, "places C2: scores is f64, f32 or bf16 of indices' shape: indices has ", indices->text(), ", scores is ",
                             dtypeName(scores->element), scores->text());
  if (adaptor.getKeep()) {
    FailureOr<Shaped> keep = shaped(location, adaptor.getKeep());
    if (failed(keep))
      return failure();
    if (!keep->element.isSignlessInteger(1) || keep->sizes != indices->sizes)
      return emitOptionalError(location, "places C3: keep is bool of indices' shape: indices has ", indices->text(), ", keep is ", dtypeName(keep->element),
                               keep->text());
  }
  int64_t experts = static_cast<int64_t>(adaptor.getExperts());
  if (experts < 1)
    return emitOptionalError(location, "places C4: experts is at least 1: it is ", experts);
  if (auto groups = adaptor.getGroups(); groups && !isCanonicalSize(*groups))
    return emitOptionalError(location, "places C5: groups is a canonical size text: it is \"", *groups, "\"");
  Size groups = adaptor.getGroups() ? Size::parse(*adaptor.getGroups()) : Size(1), tokens = indices->sizes[0];
  if (auto g = groups.constant(); g && (*g < 1 || (tokens.isConstant() && *tokens.constant() % *g != 0)))
    return emitOptionalError(location, "places C6: groups is at least 1 and divides the tokens: there are ", tokens.str(), " tokens and ", *g, " groups");
  types.push_back(tensorOf(indices->sizes, indices->element));
  return success();
}

MOEC_INFER(SwipeOp) {
  FailureOr<Shaped> indices = shaped(location, adaptor.getIndices());
  if (failed(indices))
    return failure();
  if (!areIndices(*indices))
    return emitOptionalError(location, "swipe C1: indices is i32 of 2 dimensions, the last a constant: it is ", dtypeName(indices->element), indices->text());
  int64_t experts = static_cast<int64_t>(adaptor.getExperts()), workers = static_cast<int64_t>(adaptor.getWorkers());
  if (experts < 1 || workers < 1 || experts % workers != 0)
    return emitOptionalError(location, "swipe C2: experts is a multiple of workers, both at least 1: they are ", experts, " and ", workers);
  if (auto tokens = indices->sizes[0].constant(); tokens && *tokens % workers != 0)
    return emitOptionalError(location, "swipe C3: workers divides the tokens: there are ", *tokens, " and ", workers, " workers");
  types.push_back(tensorOf(indices->sizes, indices->element));
  return success();
}

} // namespace moec::ir
