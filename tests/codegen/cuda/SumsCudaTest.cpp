// Owner of: CUDA kernels of kind `sums`. Every result is held against the reference interpreter; the order of a sum is the rows', so its bits are always the
// same.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <fmt/format.h>

namespace moec::testing {
namespace {

class SumsCuda : public ::testing::TestWithParam<const char*> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::string element() const { return GetParam(); }
  DType type() const { return *parseDType(GetParam()); }
};

int64_t anyOf(int64_t i, int64_t count) { return static_cast<int64_t>(draw(9, 1, 0, static_cast<uint64_t>(i))[0] % static_cast<uint32_t>(count)); }

TEST_P(SumsCuda, embeddingsOfSpreadAndOfEqualIds) {
  for (auto [entries, width] : {std::pair{9, 17}, {65, 128}, {40, 150}}) {
    std::string dy = fmt::format("tensor<?x5x{0}x{1}, #moe.sizes<\"n\", \"5\", \"{0}\">>", width, element());
    std::string table = fmt::format("tensor<{}x{}x{}>", entries, width, element());
    for (DType index : {DType::I64, DType::I32}) {
      std::string ids = fmt::format("tensor<?x5x{}, #moe.sizes<\"n\", \"5\">>", name(index));
      ParsedKernel kernel = parseKernel("sums", fmt::format("%i: {}, %d: {}, %a: {}", ids, dy, table), table,
                                        fmt::format(R"(
    %g = moe.embedding_grad %i, %d entries {0} : {1}, {2}
    %y = moe.add %g, %a : {3}, {3}
    moe.yield %y : {3})",
                                                    entries, ids, dy, table));
      for (int64_t rows : {0, 1, 70})
        for (bool equal : {false, true}) {
          std::vector<int64_t> all;
          for (int64_t i = 0; i < rows * 5; ++i)
            all.push_back(equal ? entries - 1 : anyOf(i, entries));
          checkCuda(kernel, {.check = {.bindings = {{"n", rows}}, .inputs = {Tensor::of(std::move(all), {rows, 5}).cast(index)}, .terms = rows * 5}});
        }
    }
  }
}

TEST_P(SumsCuda, rowsOfExperts) {
  std::string rows = fmt::format("tensor<?x45x{}, #moe.sizes<\"2*t\", \"45\">>", element()), table = fmt::format("tensor<4x45x{}>", element());
  std::string routing = "!moe.routing<4 experts, \"t\" tokens, 2 choices>";
  ParsedKernel kernel = parseKernel("sums", fmt::format("%x: {}, %r: {}, %a: {}", rows, routing, table), table,
                                    fmt::format(R"(
    %s = moe.expert_sums %x, %r : {0}, {1}
    %y = moe.add %s, %a : {2}, {2}
    moe.yield %y : {2})",
                                                rows, routing, table));
  // Mixed with dropped rows and an empty expert; all to one; all dropped; one token; none.
  auto check = [&](int64_t tokens, auto expertOf) {
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < tokens * 2; ++row)
      experts.push_back(static_cast<int32_t>(expertOf(row)));
    Tensor routes = routingTensor(experts, 4, 2);
    int64_t kept = static_cast<const int32_t*>(routes.data())[4];
    checkCuda(kernel, {.check = {.bindings = {{"t", tokens}}, .inputs = {randomTensor(type(), {tokens * 2, 45}, 5), routes}, .terms = tokens * 2},
                       .kept = kept,
                       .raggedInputs = {0}});
  };
  check(83, [](int64_t row) { return row % 5 == 3 ? -1 : row % 3 == 2 ? 3 : row % 3; });
  check(83, [](int64_t) { return 1; });
  check(6, [](int64_t) { return -1; });
  check(1, [](int64_t row) { return row ? 0 : 3; });
  check(0, [](int64_t) { return 0; });
}

TEST_P(SumsCuda, bucketsOfDistances) {
  for (const char* way : {"bidirectional", ""})
    for (auto [buckets, farthest, queries, keys] : {std::array{32, 128, 150, 150}, {8, 20, 30, 30}, {4, 3, 5, 9}, {4, 3, 9, 5}, {8, 20, 1, 1}, {8, 20, 0, 0}}) {
      SCOPED_TRACE(::testing::Message() << buckets << " buckets " << way << ", " << queries << " x " << keys);
      std::string dy = fmt::format("tensor<3x?x?x{}, #moe.sizes<\"3\", \"n\", \"m\">>", element()), table = fmt::format("tensor<{}x3x{}>", buckets, element());
      ParsedKernel kernel = parseKernel("sums", fmt::format("%d: {}, %a: {}", dy, table), table,
                                        fmt::format(R"(
    %g = moe.relative_bias_grad %d buckets {} max_distance {} {} : {}
    %y = moe.sub %g, %a : {}, {}
    moe.yield %y : {})",
                                                    buckets, farthest, way, dy, table, table, table));
      checkCuda(kernel, {.check = {.bindings = {{"n", queries}, {"m", keys}}, .terms = queries * keys}});
    }
}

INSTANTIATE_TEST_SUITE_P(Floats, SumsCuda, ::testing::Values("f32", "f64", "bf16"), [](const auto& info) { return std::string(info.param); });

} // namespace
} // namespace moec::testing
