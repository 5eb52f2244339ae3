// A row's bits do not depend on how many rows a call has, nor on which ones stand beside it, in models whose meaning lets none look at another.

#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace moec::test {

namespace {

struct Case {
  const char *name, *file, *patch;
  friend std::ostream& operator<<(std::ostream& stream, const Case& test) { return stream << test.name; }
};

class Invariance : public testing::TestWithParam<Case> {};

/// The rows of a tensor whose first dimension is the batch, in an order.
Tensor rowsOf(const Tensor& all, const std::vector<int64_t>& order) {
  Shape shape = all.shape();
  size_t bytes = all.bytes() / static_cast<size_t>(shape[0]);
  shape[0] = static_cast<int64_t>(order.size());
  Tensor some(all.dtype(), shape);
  for (size_t i = 0; i < order.size(); ++i)
    std::memcpy(static_cast<uint8_t*>(some.data()) + i * bytes, static_cast<const uint8_t*>(all.data()) + static_cast<size_t>(order[i]) * bytes, bytes);
  return some;
}

} // namespace

TEST_P(Invariance, RowsOfOneToNineInAnyOrderHaveTheBitsOfEachAlone) {
  constexpr int64_t kMost = 9;
  CompileOptions options;
  options.targets = {"cpu"};
  options.checkSizes = true;
  Program program = compile(patchedModel(GetParam().file, GetParam().patch), options);
  Session session(program, "cpu", DeviceOptions{.threads = 2});
  session.init(0);
  Plan sized = session.plan();
  for (auto& [name, value] : sized.checkSizes)
    if (name == "batch")
      value = kMost;
  TensorMap inputs = generatedInputs(sized, 5);
  auto run = [&](const std::vector<int64_t>& order) {
    TensorMap some;
    for (auto& [name, tensor] : inputs)
      some[name] = rowsOf(tensor, order);
    return session.run(some);
  };

  std::vector<TensorMap> alone;
  for (int64_t row = 0; row < kMost; ++row)
    alone.push_back(run({row}));
  size_t compared = 0;
  for (int64_t rows = 2; rows <= kMost; ++rows)
    for (int64_t turn : {0, 4}) {
      std::vector<int64_t> order(kMost);
      std::iota(order.begin(), order.end(), 0);
      std::rotate(order.begin(), order.begin() + turn, order.end());
      if (turn)
        std::reverse(order.begin(), order.end());
      order.resize(static_cast<size_t>(rows));
      TensorMap together = run(order);
      for (auto& [name, tensor] : together) {
        ASSERT_EQ(tensor.shape()[0], rows) << name;
        size_t bytes = tensor.bytes() / static_cast<size_t>(rows);
        for (size_t i = 0; i < order.size(); ++i, ++compared)
          ASSERT_EQ(std::memcmp(static_cast<const uint8_t*>(tensor.data()) + i * bytes, alone[static_cast<size_t>(order[i])].at(name).data(), bytes), 0)
              << name << ": row " << order[i] << " has other bits as row " << i << " of " << rows << " than alone";
      }
    }
  EXPECT_GE(compared, 88u);
}

INSTANTIATE_TEST_SUITE_P(Zoo, Invariance,
                         testing::Values(Case{"vit", "vit.json", "{}"}, Case{"soft_moe", "soft-moe.json", "{}"},
                                         // Every choice is served: a capacity would make a row's routing depend on the rows before it.
                                         Case{"vit_moe", "vit-moe.json",
                                              R"({"blocks": {"feed_forward": {"gate": {"kind": "top_k", "capacity": null, "random_routing": null}}}})"}),
                         [](auto& info) { return std::string(info.param.name); });

} // namespace moec::test
