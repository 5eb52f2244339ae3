// for each group of the depth, a vector of columns at a time:
//   scale = bf16(max |w| / 127), NaN where a w is not finite;  code = clamp(round(w / scale))
#include "codegen/cpu/QuantizePanel.h"

#include <limits>

namespace moec::codegen::cpu {
namespace {

constexpr int64_t kMostSteps = 127;

} // namespace

void quantizePanel(KernelBuilder& k, const Matrix& panel, Value depth, Value inside, int64_t group, const QuantizedPanel& to) {
  int64_t lanes = k.lanes(DType::F32), nr = *KernelBuilder::constantOf(panel.stride);
  mlir::Type floats = k.vectorOf(k.f32(), lanes), integers = k.vectorOf(k.i32(), lanes);
  Value zeros = k.zero(floats), most = k.real(floats, kMostSteps);
  auto weights = [&](Value d, int64_t column) { return k.load(floats, k.at(panel.base, k.add(k.mul(d, nr), column), DType::F32)); };
  k.loop(k.index(0), depth, k.index(group), [&](Value begin) {
    Value end = k.min(k.add(begin, group), depth), number = k.div(begin, group);
    for (int64_t column = 0; column < nr; column += lanes) {
      Value largest = k.loop(begin, end, k.index(1), {zeros}, [&](Value d, const Values& so) { return Values{k.max(so[0], k.abs(weights(d, column)))}; })[0];
      Value isFinite = k.compare(ir::Predicate::LT, largest, k.real(floats, kInfinity)); // false for NaN
      Value scale = k.choose(isFinite, k.roundTo(DType::BF16, k.div(largest, most)), k.real(floats, std::numeric_limits<double>::quiet_NaN()));
      Value isInside = k.mask(k.sub(inside, column), lanes), hasSteps = k.compare(ir::Predicate::GT, scale, zeros);
      k.storeElements(DType::BF16, k.choose(isInside, scale, zeros), k.at(to.scales, k.add(k.mul(number, nr), column), DType::BF16));
      Value divisor = k.choose(hasSteps, scale, k.real(floats, 1));
      k.loop(begin, end, k.index(1), [&](Value d) {
        Value steps = k.min(k.max(k.roundEven(k.div(k.choose(hasSteps, weights(d, column), zeros), divisor)), k.neg(most)), most);
        Value code = k.toInteger(steps, k.i32());
        k.storeElements(DType::U8, k.toInteger(k.choose(isInside, code, k.zero(integers)), k.i8()), k.at(to.codes, k.add(k.mul(d, nr), column), DType::U8));
      });
    }
  });
}

} // namespace moec::codegen::cpu
