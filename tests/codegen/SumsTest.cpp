// Owner of: kernels of kind `sums`. Every result is held against the reference interpreter, for each target that this machine runs, and the bits of three
// threads against those of one.
#include "runtime/core/Philox.h"
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/ProductCheck.h"

#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

std::vector<std::string> targets() { return testTargets(); }

void expectSums(const std::string& arguments, const std::string& results, const std::string& body, CheckOptions options) {
  SCOPED_TRACE(arguments + " " + body);
  for (const std::string& target : targets()) {
    options.target = target;
    check(parseKernel("sums", arguments, results, body), options);
  }
}

//===--- embedding_grad ---===//

struct Ids {
  const char* name;
  int64_t entries;
  int64_t (*id)(int64_t place, int64_t entries);
};
void PrintTo(const Ids& one, std::ostream* stream) { *stream << one.name; }

int64_t anyId(int64_t place, int64_t entries) { return static_cast<int64_t>(draw(11, 1, 0, static_cast<uint64_t>(place))[0]) % entries; }

const Ids kIds[] = {
    {"mixed", 100, anyId},
    {"oneEntry", 1, [](int64_t, int64_t) -> int64_t { return 0; }},
    {"allTheSame", 70, [](int64_t, int64_t) -> int64_t { return 69; }},
    {"manyEntries", 8000, anyId},
    {"firstAndLast", 65, [](int64_t place, int64_t entries) { return place % 2 ? entries - 1 : 0; }},
};

class EmbeddingGrad : public ::testing::TestWithParam<std::tuple<Ids, const char*>> {};

TEST_P(EmbeddingGrad, sumsRowsInOrder) {
  auto [ids, element] = GetParam();
  for (auto [width, type] : {std::pair{"37", "i64"}, {"64", "i32"}, {"1", "i64"}, {"200", "i32"}}) {
    std::string i = fmt::format("tensor<2x?x{}, #moe.sizes<\"2\", \"n\">>", type), y = fmt::format("tensor<{}x{}x{}>", ids.entries, width, element),
                dy = fmt::format("tensor<2x?x{0}x{1}, #moe.sizes<\"2\", \"n\", \"{0}\">>", width, element);
    std::string body = fmt::format("%y = moe.embedding_grad %i, %dy entries {} : {}, {}\n moe.yield %y : {}", ids.entries, i, dy, y);
    for (int64_t n : {1, 131}) {
      std::vector<int64_t> places;
      for (int64_t place = 0; place < 2 * n; ++place)
        places.push_back(ids.id(place, ids.entries));
      CheckOptions options;
      options.bindings = {{"n", n}};
      options.terms = 2 * n;
      options.inputs = {Tensor::of(places, {2, n}).cast(*parseDType(type))};
      expectSums(fmt::format("%i: {}, %dy: {}", i, dy), y, body, options);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fills, EmbeddingGrad, ::testing::Combine(::testing::ValuesIn(kIds), ::testing::Values("f32", "f64", "bf16")),
                         [](const auto& info) { return fmt::format("{}_{}", std::get<0>(info.param).name, std::get<1>(info.param)); });

TEST(EmbeddingGradBehind, elementwiseOpsAndSeveralResults) {
  CheckOptions options;
  options.inputs = {Tensor::of(std::vector<int64_t>{3, 3, 0, 8, 3}, {5})};
  expectSums("%i: tensor<5xi64>, %dy: tensor<5x21xf32>, %s: tensor<9x21xf32>, %w: tensor<21xf32>", "tensor<9x21xf32>, tensor<9x21xf32>", R"(
    %g = moe.embedding_grad %i, %dy entries 9 : tensor<5xi64>, tensor<5x21xf32>
    %a = moe.add %g, %s : tensor<9x21xf32>, tensor<9x21xf32>
    %b = moe.mul %a, %w : tensor<9x21xf32>, tensor<21xf32>
    moe.yield %g, %b : tensor<9x21xf32>, tensor<9x21xf32>)",
             options);
}

/// An item writes one stretch of memory: blocks of columns behind each other are as good as rows.
TEST(EmbeddingGradShapes, itemsAreStretchesOfMemory) {
  ParsedKernel kernel = parseKernel("sums", "%i: tensor<4xi64>, %dy: tensor<4x1000xf32>", "tensor<2x1000xf32>",
                                    "%y = moe.embedding_grad %i, %dy entries 2 : tensor<4xi64>, tensor<4x1000xf32>\n moe.yield %y : tensor<2x1000xf32>");
  EXPECT_EQ(LoadedKernel(kernel.op).image().stages.back().items.constant(), 1);
}

/// Callers refuse such ids; a kernel that meets one anyway must not write outside its buffers.
TEST(EmbeddingGradOutside, idsThatAreNoEntryCountNothing) {
  ParsedKernel kernel = parseKernel("sums", "%i: tensor<4xi64>, %dy: tensor<4x5xf32>", "tensor<3x5xf32>",
                                    "%y = moe.embedding_grad %i, %dy entries 3 : tensor<4xi64>, tensor<4x5xf32>\n moe.yield %y : tensor<3x5xf32>");
  LoadedKernel loaded(kernel.op);
  int64_t far = int64_t{1} << 40;
  Tensor dy = randomTensor(DType::F32, {4, 5}, 1), y = loaded.run({Tensor::of(std::vector<int64_t>{far, 1, -1, 3}, {4}), dy}, {})[0];
  for (size_t i = 0; i < 15; ++i)
    EXPECT_EQ(y.as<float>()[i], i / 5 == 1 ? dy.as<float>()[i] : 0);
}

//===--- expert_sums ---===//

struct Fill {
  const char* name;
  int64_t tokens, experts, choices;
  int32_t (*expert)(int64_t row);
};
void PrintTo(const Fill& one, std::ostream* stream) { *stream << one.name; }

const Fill kFills[] = {
    {"mixed", 37, 5, 2, [](int64_t row) { return static_cast<int32_t>(anyId(row, 5)); }},
    {"emptyExperts", 11, 8, 2, [](int64_t row) { return row % 2 ? 6 : 1; }},
    {"someDropped", 29, 3, 3, [](int64_t row) { return row % 4 == 0 || row < 3 ? -1 : static_cast<int32_t>(anyId(row, 3)); }},
    {"allDropped", 6, 3, 2, [](int64_t) { return -1; }},
    {"oneToken", 1, 4, 1, [](int64_t) { return 3; }},
    {"long", 3000, 2, 1, [](int64_t row) { return static_cast<int32_t>(row % 3 == 0); }},
};

class ExpertSums : public ::testing::TestWithParam<std::tuple<Fill, const char*>> {};

TEST_P(ExpertSums, sumsEachExpertsRows) {
  auto [fill, element] = GetParam();
  for (int64_t width : {37, 128}) {
    std::string rows = fill.choices == 1 ? "t" : fmt::format("{}*t", fill.choices),
                x = fmt::format("tensor<?x{}x{}, #moe.sizes<\"{}\", \"{}\">>", width, element, rows, width),
                y = fmt::format("tensor<{}x{}x{}>", fill.experts, width, element),
                routing = fmt::format("!moe.routing<{} experts, \"t\" tokens, {} choices>", fill.experts, fill.choices);
    std::vector<int32_t> experts;
    for (int64_t row = 0; row < fill.tokens * fill.choices; ++row)
      experts.push_back(fill.expert(row));
    CheckOptions options;
    options.bindings = {{"t", fill.tokens}};
    options.terms = fill.tokens * fill.choices;
    options.inputs = {routingTensor(experts, fill.experts, fill.choices)};
    expectSums(fmt::format("%r: {}, %x: {}, %a: {}", routing, x, y), y,
               fmt::format("%s = moe.expert_sums %x, %r : {0}, {1}\n %y = moe.sub %s, %a : {2}, {2}\n moe.yield %y : {2}", x, routing, y), options);
  }
}

INSTANTIATE_TEST_SUITE_P(Fills, ExpertSums, ::testing::Combine(::testing::ValuesIn(kFills), ::testing::Values("f32", "f64", "bf16")),
                         [](const auto& info) { return fmt::format("{}_{}", std::get<0>(info.param).name, std::get<1>(info.param)); });

//===--- relative_bias_grad ---===//

TEST(RelativeBiasGrad, sumsEachBucket) {
  for (const char* element : {"f32", "f64", "bf16"})
    for (const char* way : {"bidirectional", ""})
      for (auto [buckets, farthest, queries, keys] :
           {std::array{32, 128, 150, 150}, {8, 20, 30, 30}, {4, 3, 5, 9}, {46, 1000, 3, 1200}, {4, 3, 9, 5}, {32, 128, 1, 1}, {34, 40, 33, 34}}) {
        SCOPED_TRACE(::testing::Message() << buckets << " buckets " << way << ", " << queries << " by " << keys);
        std::string dy = fmt::format("tensor<3x?x?x{}, #moe.sizes<\"3\", \"n\", \"m\">>", element), y = fmt::format("tensor<{}x3x{}>", buckets, element);
        CheckOptions options;
        options.bindings = {{"n", queries}, {"m", keys}};
        options.terms = int64_t{queries} * keys;
        expectSums("%dy: " + dy + ", %s: " + y, y,
                   fmt::format("%g = moe.relative_bias_grad %dy buckets {0} max_distance {1} {2} : {3}\n %y = moe.add %g, %s : {4}, {4}\n moe.yield %y : {4}",
                               buckets, farthest, way, dy, y),
                   options);
      }
}

} // namespace
} // namespace moec::testing
