#include "runtime/train/FiniteWatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

namespace moec::train {
namespace {

using testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

/// Buffers that a test fills: no launches but their descriptions.
struct Filled : Executable {
  Plan described;
  std::map<int, Tensor> tensors;

  Filled() {
    described.buffers = {{.name = "scores", .shape = {2, 2}},
                         {.name = "rows", .shape = {2, 2}, .raggedBy = 2},
                         {.name = "routing", .dtype = DType::I32, .shape = {3}, .isRouting = true, .experts = 2}};
    described.forward = {{.label = "layers.0.mask", .kind = "loops", .outputs = {0}, .ops = {"moe.select"}},
                         {.label = "layers.0.moe", .kind = "expert_up", .outputs = {2, 1}, .ops = {"moe.grouped_matmul", "moe.add"}}};
    tensors[0] = Tensor(DType::F32, {2, 2});
    tensors[1] = Tensor(DType::F32, {2, 2});
    tensors[2] = Tensor::of<int32_t>({0, 1, 1}, {3}); // one row is kept
  }
  const Plan& plan() const override { return described; }
  void bind(const Bindings&) override {}
  void write(int, const Tensor&) override {}
  Tensor read(int buffer) const override { return tensors.at(buffer); }
  void launch(LaunchList, int, const CallScalars&) override {}
  void releaseUnusedParameters() override {}

  std::optional<std::string> first() {
    FiniteWatch watch(*this);
    watch(LaunchList::Forward, 0);
    watch(LaunchList::Forward, 1);
    return watch.first();
  }
};

} // namespace

TEST(NonFinite, CountsAndPlacesThem) {
  EXPECT_FALSE(findNonFinite(Tensor::of<float>({1, -2, 3e38f}, {3})));
  EXPECT_FALSE(findNonFinite(Tensor::of<int64_t>({1}, {1})));
  auto found = findNonFinite(Tensor::of<float>({1, -kInf, 2, kInf, 3, kNan}, {3, 2}));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->count, 3);
  EXPECT_EQ(found->first, 3) << "the first that is worse than -inf";
  EXPECT_EQ(found->text, "3 of 6 elements are not finite; the first, at [1, 1], is inf");
  found = findNonFinite(Tensor::of<float>({1, -kInf}, {2}).cast(DType::BF16));
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->nanOrInf);
  EXPECT_EQ(found->text, "1 of 2 elements are not finite; the first, at [1], is -inf");
  EXPECT_EQ(findNonFinite(Tensor::of<double>({-kNan}, {}))->text, "it is nan");
  EXPECT_FALSE(findNonFinite(Tensor::of<float>({1, kNan}, {2}), 1)) << "what lies behind does not count";
}

TEST(FiniteWatch, NamesTheFirstLaunch) {
  Filled filled;
  EXPECT_FALSE(filled.first());
  filled.tensors[1] = Tensor::of<float>({1, kNan, 1, 1}, {2, 2});
  EXPECT_EQ(
      *filled.first(),
      "launch 2 of 2 of forward, 'layers.0.moe' (expert_up: moe.grouped_matmul, moe.add): of its result 'rows', f32[2, 2], 1 of 2 elements are not finite; "
      "the first, at [0, 1], is nan");
  filled.tensors[0] = Tensor::of<float>({1, kInf, 1, 1}, {2, 2});
  EXPECT_THAT(*filled.first(), HasSubstr("launch 1 of 2"));
}

TEST(FiniteWatch, RowsThatNoTokenIsInAreNotLookedAt) {
  Filled filled;
  filled.tensors[1] = Tensor::of<float>({1, 1, kNan, kNan}, {2, 2});
  EXPECT_FALSE(filled.first());
}

TEST(FiniteWatch, AMaskOfMinusInfinityGivesWayToWhatComesBehind) {
  Filled filled;
  filled.tensors[0] = Tensor::of<float>({1, -kInf, 1, 1}, {2, 2});
  EXPECT_THAT(*filled.first(), HasSubstr("launch 1 of 2")) << "when there is nothing else";
  filled.tensors[1] = Tensor::of<float>({kNan, 1, 1, 1}, {2, 2});
  EXPECT_THAT(*filled.first(), HasSubstr("launch 2 of 2"));
}

} // namespace moec::train
