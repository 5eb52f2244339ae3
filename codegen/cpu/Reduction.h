#pragma once
// What a reduction of the dialect starts from, does with each element, and makes of the whole. Knows no order and no memory.

#include "codegen/analysis/Operands.h"
#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// Sums and maxima of floats are f64, scalars or vectors.
struct Reduction {
  KernelBuilder& k;
  ir::ReduceKind kind;
  DType dtype; // of the elements and the result

  Reduction(KernelBuilder& k, ir::ReduceOp op) : k(k), kind(op.getKind()), dtype(dtypeOf(op.getX())) {}

  static constexpr DType kSumType = DType::F64;
  mlir::Type type() const { return k.f64(); }
  Value start() const { return kind == ir::ReduceKind::Max ? k.real(type(), -kInfinity) : k.zero(type()); }
  Value next(Value sum, Value element) const {
    element = k.toFloat(element, type());
    if (kind != ir::ReduceKind::Max)
      return k.add(sum, element);
    // A NaN replaces what there is and stays: nothing is greater.
    return k.choose(k.bitOr(k.compare(ir::Predicate::GT, element, sum), k.isNan(element)), element, sum);
  }
  Value finish(Value sum, const Size& count) const {
    if (kind == ir::ReduceKind::Mean)
      sum = k.div(sum, k.toFloat(k.size(count), type()));
    return k.roundTo(dtype, k.toFloat(sum, k.typeOf(dtype)));
  }
};

} // namespace moec::codegen::cpu
