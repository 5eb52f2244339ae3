#include "tests/codegen/ProductCheck.h"

#include "ir/reference/Evaluate.h"
#include "ir/reference/Interpreter.h"
#include "tests/codegen/Tolerance.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

namespace moec::testing {

mlir::Value Weights::operator()(KernelMaker& maker, DType type, const std::vector<int64_t>& sizes) const {
  std::vector<std::string> texts;
  for (int64_t size : sizes)
    texts.push_back(std::to_string(size));
  if (!nr_)
    return maker.tensor(type, texts);
  size_t rank = sizes.size();
  texts[rank - 2] = std::to_string((sizes[rank - 2] + *nr_ - 1) / *nr_);
  texts.push_back(std::to_string(*nr_));
  auto unpacked = [&](DType dtype) { return maker.make<ir::UnpackOp>(maker.tensor(dtype, texts), sizes[rank - 2], inPairs_); };
  if (!as_)
    return unpacked(type);
  if (as_->kind == WeightsAs::Kind::BF16)
    return maker.make<ir::CastOp>(unpacked(DType::BF16), mlir::TypeAttr::get(maker.builder().getF32Type()));
  mlir::Value codes = unpacked(DType::U8);
  texts[rank - 1] = std::to_string((sizes[rank - 1] + as_->group - 1) / as_->group);
  mlir::Value scales = unpacked(DType::BF16);
  return maker.make<ir::DequantizeOp>(codes, scales, maker.builder().getI64IntegerAttr(as_->group));
}

namespace {

std::vector<Tensor> packedWeights(const Tensor& w, int64_t nr, const std::optional<WeightsAs>& as, bool inPairs) {
  if (!as)
    return {reference::pack(w, nr, inPairs)};
  if (as->kind == WeightsAs::Kind::BF16)
    return {reference::pack(w.cast(DType::BF16), nr)};
  reference::Quantized quantized = reference::quantize(w, as->group);
  return {reference::pack(quantized.codes, nr), reference::pack(quantized.scales, nr)};
}

/// The elements of a result before those that nothing defines: all, or those of the first rowsKept rows (of results of ofRows rows).
int64_t keptElements(const Tensor& result, const ProductCase& test) {
  size_t rank = result.shape().size();
  if (test.rowsKept < 0 || !isFloat(result.dtype()) || rank < 1 || rank > 2 || (test.ofRows && result.shape()[0] != test.ofRows))
    return result.elements();
  return std::min(result.elements(), test.rowsKept * (rank == 1 ? 1 : result.shape()[1]));
}

void compare(const Tensor& got, const Tensor& want, const ProductCase& test, const std::string& where) {
  ASSERT_EQ(got.shape(), want.shape()) << where;
  ASSERT_EQ(got.dtype(), want.dtype()) << where;
  std::vector<double> a = got.toDoubles(), b = want.toDoubles();
  a.resize(static_cast<size_t>(keptElements(got, test)));
  b.resize(a.size());
  double largest = 0;
  for (double value : b)
    largest = std::max(largest, std::abs(value));
  double limit = isFloat(got.dtype()) ? tolerance(got.dtype(), test.terms) * largest : 0;
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_LE(std::abs(a[i] - b[i]), limit) << where << ", element " << i << " of " << a.size() << ": got " << a[i] << ", expected " << b[i];
}

/// Results in the memory of arguments, where the kernel allows it, have the bits of results apart.
void expectSameInPlace(ir::KernelOp kernel, LoadedKernel& loaded, const std::vector<Tensor>& inputs, const std::vector<Tensor>& apart, const ProductCase& test,
                       const std::string& target) {
  llvm::SmallVector<codegen::InPlace> places = codegen::inPlaceOf(kernel);
  llvm::append_range(places, test.over);
  for (int threads = 1; threads <= (places.empty() ? 0 : 2); ++threads) {
    std::vector<Tensor> own, outputs;
    for (const Tensor& input : inputs)
      own.push_back(input.clone());
    for (const Tensor& result : apart)
      std::memset(outputs.emplace_back(result.dtype(), result.shape()).data(), 0xff, result.bytes());
    for (const codegen::InPlace& place : places)
      outputs[place.output] = own[place.input];
    loaded.run(own, outputs, {test.bindings, test.seed, test.step, threads});
    for (size_t i = 0; i < apart.size(); ++i)
      EXPECT_EQ(std::memcmp(outputs[i].data(), apart[i].data(), static_cast<size_t>(keptElements(apart[i], test)) * byteSize(apart[i].dtype())), 0)
          << target << ", " << threads << " threads: result " << i << " has other bits where results lie over arguments";
  }
}

} // namespace

void expectReference(const ProductCase& test) {
  auto context = makeContext();
  for (const std::string& target : test.targets) {
    std::vector<Tensor> inputs = test.inputs;
    std::optional<int64_t> nr;
    bool inPairs = false;
    if (test.weights >= 0) {
      KernelMaker plain(*context);
      std::string error;
      auto schedule = codegen::makeEmitter(target, error)->chooseSchedule(test.write(plain, Weights(std::nullopt)));
      ASSERT_TRUE(schedule) << target;
      nr = schedule.getAs<mlir::IntegerAttr>("nr").getInt();
      inPairs = schedule.contains("tiles");
      std::vector<Tensor> packed = packedWeights(inputs[test.weights], *nr, test.as, inPairs);
      inputs.erase(inputs.begin() + test.weights);
      inputs.insert(inputs.begin() + test.weights, packed.begin(), packed.end());
    }
    KernelMaker maker(*context);
    ir::KernelOp kernel = test.write(maker, Weights(nr, test.as, inPairs));
    reference::Call call{.bindings = test.bindings, .seed = test.seed, .step = test.step};
    std::vector<Tensor> expected = reference::evaluate(kernel, inputs, call);
    LoadedKernel loaded(kernel, target);
    std::vector<Tensor> one = loaded.run(inputs, {test.bindings, test.seed, test.step, 1});
    std::vector<Tensor> two = loaded.run(inputs, {test.bindings, test.seed, test.step, 2});
    ASSERT_EQ(one.size(), expected.size());
    for (size_t i = 0; i < one.size(); ++i) {
      std::string where = target + ", result " + std::to_string(i);
      compare(one[i], expected[i], test, where);
      EXPECT_EQ(std::memcmp(one[i].data(), two[i].data(), one[i].bytes()), 0) << where << ": two threads give other bits than one";
    }
    expectSameInPlace(kernel, loaded, inputs, one, test, target);
  }
}

Tensor routingTensor(const std::vector<int32_t>& experts, int64_t expertCount, int64_t choices) {
  std::vector<std::vector<int32_t>> lists(expertCount);
  for (size_t row = 0; row < experts.size(); ++row)
    if (experts[row] >= 0)
      lists[experts[row]].push_back(static_cast<int32_t>(row));
  return reference::toTensor(reference::routingOf(lists, static_cast<int64_t>(experts.size()) / choices, choices));
}

mlir::Value exchange(KernelMaker& maker, mlir::Value x) {
  auto rank = static_cast<int64_t>(ir::sizesOf(x).size());
  llvm::SmallVector<int64_t> permutation;
  for (int64_t i = 0; i < rank; ++i)
    permutation.push_back(i + 2 < rank ? i : 2 * rank - 3 - i);
  return maker.make<ir::TransposeOp>(x, maker.builder().getDenseI64ArrayAttr(permutation));
}

} // namespace moec::testing
