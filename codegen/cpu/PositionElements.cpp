// ElementPuller: the ops that depend on where a token stands.
#include "codegen/analysis/Operands.h"
#include "codegen/analysis/Positions.h"
#include "codegen/cpu/ElementPuller.h"

namespace moec::codegen::cpu {

using ir::Predicate;

namespace {

struct SineCosine {
  Value sine, cosine;
};

/// 1/n! with the sign of its term, from n = last down to n = first, every second one: by Horner's rule in z.
Value series(KernelBuilder& k, Value z, int first, int last, double sign) {
  double factorial = 1;
  for (int n = 2; n <= first; ++n)
    factorial *= n;
  llvm::SmallVector<double> terms;
  for (int n = first; n <= last; n += 2, sign = -sign) {
    terms.push_back(sign / factorial);
    factorial *= static_cast<double>(n + 1) * static_cast<double>(n + 2);
  }
  Value sum = k.real(z.getType(), terms.back());
  for (size_t i = terms.size() - 1; i-- > 0;)
    sum = k.fma(sum, z, k.real(z.getType(), terms[i]));
  return sum;
}

/// Of an angle up to 2^31, in f64: the quarter turn it lies in and what is left of it, whose Taylor series end below the last digit. Step by step
/// that of skeletons/rotary.cuh.
SineCosine sineCosine(KernelBuilder& k, Value angle) {
  mlir::Type type = k.f64();
  Value quarters = k.roundEven(k.mul(angle, k.real(type, 0x1.45f306dc9c883p-1))); // 2 / pi
  Value back = k.neg(quarters);
  Value r = k.fmaOnce(back, k.real(type, 0x1.921fb54442d18p0), angle); // pi / 2, in two parts
  r = k.fmaOnce(back, k.real(type, 0x1.1a62633145c07p-54), r);
  Value z = k.mul(r, r);
  Value sine = k.fma(k.mul(r, z), series(k, z, 3, 17, -1), r);
  Value cosine = k.fma(z, series(k, z, 2, 18, -1), k.real(type, 1));
  Value turn = k.toInteger(quarters, k.i64());
  auto bit = [&](Value number, int64_t which) { return k.compare(Predicate::NE, k.bitAnd(number, k.index(which)), k.index(0)); };
  Value odd = bit(turn, 1);
  Value s = k.choose(odd, cosine, sine), c = k.choose(odd, sine, cosine);
  return {k.choose(bit(turn, 2), k.neg(s), s), k.choose(bit(k.add(turn, 1), 2), k.neg(c), c)};
}

} // namespace

Value ElementPuller::relativeBias(ir::RelativeBiasOp op, const Values& at) {
  RelativeBuckets buckets = RelativeBuckets::of(op);
  auto type = mlir::RankedTensorType::get({static_cast<int64_t>(buckets.starts.size())}, mlir::IntegerType::get(op.getContext(), 32));
  ir::Sizes sizes = ir::sizesOf(op.getResult()); // query i stands at i + keys - queries, or behind the position
  Value first = op.getPosition() ? elementAt(op.getPosition(), {}) : k_.sub(k_.size(sizes[2]), k_.size(sizes[1]));
  Value relative = k_.sub(at[2], k_.add(at[1], first)), zero = k_.index(0);
  Value distance = k_.sub(zero, relative);
  if (buckets.bidirectional)
    distance = k_.max(distance, relative);
  Value bucket = zero;
  if (!buckets.starts.empty()) {
    Value starts = k_.constantData(mlir::DenseElementsAttr::get(type, llvm::ArrayRef(buckets.starts)));
    for (int64_t step = int64_t{1} << buckets.steps >> 1; step > 0; step /= 2) {
      Value start = k_.load(k_.i32(), k_.at(starts, k_.add(bucket, step - 1), k_.i32()));
      Value behind = k_.compare(Predicate::GE, distance, k_.toInteger(start, k_.i64()));
      bucket = k_.choose(behind, k_.add(bucket, step), bucket);
    }
  }
  if (buckets.bidirectional)
    bucket = k_.choose(k_.compare(Predicate::GT, relative, zero), k_.add(bucket, buckets.count), bucket);
  return elementAt(op.getTable(), {bucket, at[0]});
}

Value ElementPuller::rotary(ir::RotaryOp op, const Values& at) {
  std::vector<double> turns = rotaryTurns(op);
  int64_t half = static_cast<int64_t>(turns.size()), dim = 2 * half;
  mlir::Builder builder(op.getContext());
  auto table = mlir::DenseElementsAttr::get(mlir::RankedTensorType::get({half}, builder.getF64Type()), llvm::ArrayRef(turns));
  Value column = k_.rem(at[2], dim), pair, isFirst;
  if (op.getInterleaved()) {
    pair = k_.div(column, 2);
    isFirst = k_.compare(Predicate::EQ, k_.rem(column, 2), k_.index(0));
  } else {
    pair = k_.rem(column, half);
    isFirst = k_.compare(Predicate::LT, column, k_.index(half));
  }
  int64_t apart = op.getInterleaved() ? 1 : half;
  Value other = k_.choose(isFirst, k_.add(at[2], apart), k_.sub(at[2], apart));
  DType dtype = dtypeOf(op.getX());
  auto wide = [&](Value column) { return k_.toFloat(elementAt(op.getX(), {at[0], at[1], column}), k_.f64()); };
  Value own = wide(at[2]), partner = wide(other);
  Value turn = k_.load(k_.f64(), k_.at(k_.constantData(table), pair, k_.f64()));
  Value place = op.getPosition() ? k_.add(at[1], elementAt(op.getPosition(), {})) : at[1];
  SineCosine of = sineCosine(k_, k_.mul(k_.toFloat(place, k_.f64()), turn));
  Value turned = k_.mul(partner, of.sine), back = k_.neg(turned);
  if (op.getInverse())
    std::swap(turned, back);
  Value result = k_.add(k_.mul(own, of.cosine), k_.choose(isFirst, back, turned));
  return k_.roundTo(dtype, k_.toFloat(result, k_.typeOf(dtype)));
}

Value ElementPuller::sliceAt(ir::SliceAtOp op, const Values& at) {
  Values from = at;
  from[0] = k_.add(at[0], elementAt(op.getPosition(), {}));
  return elementAt(op.getX(), from);
}

} // namespace moec::codegen::cpu
