// A row's results are the same bits whatever rows stand beside it, how many these are, and where it stands among them: of every model of the zoo in which no
// row depends on others by what the model says (Plan::couplings), at random sizes.

#include "tests/e2e/Support.h"

#include "runtime/core/Error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <numeric>
#include <random>
#include <set>

namespace moec::test {

namespace {

using Rows = std::vector<size_t>;

/// No row of these depends on others by what the model says: what a change couples in them is a mistake.
const std::set<std::string> kOwnRows{"batched-experts.json", "blended-lm.json", "custom-experts.json", "gating-lm.json", "hf-switch.json",
                                     "lucidrains-moe.json",  "mann.json",       "random-lm.json",      "soft-moe.json",  "vit.json"};

std::vector<std::string> zoo() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(sourceDir() / "models/zoo"))
    if (entry.path().extension() == ".json")
      names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// A model's inputs for many rows, of which calls take some.
class Call {
public:
  Call(Session& session, size_t rows, uint32_t seed) : session_(session), rows_(rows) {
    std::mt19937 random(seed);
    Plan sized = session.plan();
    for (auto& [name, value] : sized.checkSizes)
      value = name == "batch" ? static_cast<int64_t>(rows) : name == "tokens" ? value : std::max<int64_t>(1, value - static_cast<int64_t>(random() % 3));
    all_ = generatedInputs(sized, seed);
    Bindings sizes;
    for (const auto& [name, value] : sized.checkSizes)
      sizes[name] = value;
    whole_ = run(all_);
  }

  /// Whether a call with these rows alone gives each the results that it has among all.
  ::testing::AssertionResult agrees(const Rows& rows) {
    TensorMap inputs;
    for (const InputInfo& input : session_.plan().inputs)
      if (auto found = all_.find(input.name); found != all_.end())
        inputs[input.name] = hasRows(input.shape) ? pick(found->second, rows) : found->second;
    for (auto& [name, part] : run(inputs)) {
      Tensor expected = pick(whole_.at(name), rows);
      if (part.shape() != expected.shape() || std::memcmp(part.data(), expected.data(), part.bytes()) != 0)
        return ::testing::AssertionFailure() << "'" << name << "' of rows " << ::testing::PrintToString(rows) << " differs by "
                                             << relativeError(part, expected);
    }
    return ::testing::AssertionSuccess();
  }

private:
  static bool hasRows(const std::vector<Size>& shape) { return !shape.empty() && std::ranges::count(shape.front().symbols(), "batch") > 0; }

  /// Of the results those that have rows.
  TensorMap run(const TensorMap& inputs) {
    TensorMap results = session_.run(inputs);
    for (const OutputInfo& output : session_.plan().outputs)
      if (!hasRows(output.shape))
        results.erase(output.name);
    EXPECT_FALSE(results.empty());
    return results;
  }

  /// A row is a run of the first dimension.
  Tensor pick(const Tensor& whole, const Rows& rows) const {
    Shape shape = whole.shape();
    size_t bytes = whole.bytes() / rows_;
    shape.front() = shape.front() / static_cast<int64_t>(rows_) * static_cast<int64_t>(rows.size());
    Tensor part(whole.dtype(), shape);
    for (size_t i = 0; i < rows.size(); ++i)
      std::memcpy(static_cast<uint8_t*>(part.data()) + i * bytes, static_cast<const uint8_t*>(whole.data()) + rows[i] * bytes, bytes);
    return part;
  }

  Session& session_;
  size_t rows_;
  TensorMap all_, whole_;
};

/// One row, a few, others in another order, all of them turned round, and some twice.
std::vector<Rows> callsOf(size_t rows, std::mt19937& random) {
  Rows all(rows);
  std::iota(all.begin(), all.end(), 0);
  std::vector<Rows> calls{{0}, {rows - 1}, Rows(all.rbegin(), all.rend())};
  for (size_t count : {size_t{2}, size_t{3}, rows / 2, rows - 1}) {
    std::ranges::shuffle(all, random);
    calls.emplace_back(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
  }
  calls.push_back(all);
  calls.back().insert(calls.back().end(), all.begin(), all.end());
  return calls;
}

void expectInvariant(const Program& program, uint32_t seed) {
  std::mt19937 random(seed);
  for (int threads : {1, 2}) {
    Session session(program, "cpu", DeviceOptions{.threads = threads});
    session.init(seed);
    for (size_t rows : {size_t{5}, 7 + random() % 40}) {
      Call call(session, rows, static_cast<uint32_t>(random()));
      for (const Rows& some : callsOf(rows, random))
        ASSERT_TRUE(call.agrees(some)) << "seed " << seed << ", " << rows << " rows, " << threads << " threads";
    }
  }
}

class Invariance : public testing::TestWithParam<std::string> {};

} // namespace

TEST_P(Invariance, OfWhatTheModelDoesNotCouple) {
  const std::string& file = GetParam();
  CompileOptions options{.targets = {testTarget()}, .drawsAsInputs = true, .checkSizes = true}; // a row's own draws then stand beside it
  options.kernelCache = sharedKernels();
  std::filesystem::path model = patchedModel(file);
  Program program = compile(model, options);
  const Plan& plan = program.data().plans.front();
  EXPECT_EQ(plan.invariant, plan.couplings.empty());
  for (const RowCoupling& coupling : plan.couplings) {
    EXPECT_FALSE(kOwnRows.contains(file)) << describe(coupling);
    EXPECT_THAT(coupling.why, testing::Not(testing::HasSubstr("promise nothing of a row's bits"))) << "a kernel, not the model";
    EXPECT_THAT(coupling.why, testing::Not(testing::HasSubstr("nothing is known"))) << "an op without a rule";
  }
  options.invariant = true;
  if (!plan.invariant) {
    try {
      compile(model, options);
      FAIL() << "--invariant takes a model with " << describe(plan.couplings.front());
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Usage);
      for (const RowCoupling& coupling : plan.couplings)
        EXPECT_THAT(error.what(), testing::HasSubstr(describe(coupling)));
    }
    GTEST_SKIP() << "[SKIP] by what the model says, rows depend on each other: " << describe(plan.couplings.front());
  }
  EXPECT_TRUE(compile(model, options).bytes() == program.bytes()) << "--invariant changes what holds without it";
  expectInvariant(program, 1);
}

// The blog's attention goes over the batch: what this file looks at would be seen.
TEST(InvarianceOfTheBlog, IsNone) {
  Program program =
      compile(patchedModel("switch-lm-blog.json"), {.targets = {testTarget()}, .drawsAsInputs = true, .checkSizes = true, .kernelCache = sharedKernels()});
  ASSERT_FALSE(program.data().plans.front().couplings.empty());
  EXPECT_THAT(describe(program.data().plans.front().couplings.front()), testing::HasSubstr("lets the rows of a call see each other"));
  Session session(program, "cpu");
  session.init(1);
  Call call(session, 5, 1);
  EXPECT_TRUE(call.agrees({0, 1, 2, 3, 4}));
  EXPECT_FALSE(call.agrees({0}));
}

// Row i of the call gets the table's row i.
TEST(InvarianceOfPlaces, IsNone) {
  TemporaryFolder folder;
  std::filesystem::path model = folder.path() / "places.json";
  std::ofstream(model) << R"({"name": "places", "inputs": {"x": {"shape": ["batch", 16]}}, "model": [{"kind": "reshape", "shape": [1, "batch", 16]},
    {"kind": "position_embedding", "length": 512}, {"kind": "reshape", "shape": ["batch", 16], "name": "y"}]})";
  Program program = compile(model, {.targets = {testTarget()}, .kernelCache = sharedKernels()});
  const Plan& plan = program.data().plans.front();
  EXPECT_FALSE(plan.invariant);
  ASSERT_EQ(plan.couplings.size(), 1u);
  EXPECT_THAT(describe(plan.couplings.front()), testing::HasSubstr("slice takes rows by where they stand"));
}

TEST(InvarianceOfTheZoo, IsOfModelsThatThereAre) {
  std::vector<std::string> names = zoo();
  for (const std::string& name : kOwnRows)
    EXPECT_THAT(names, testing::Contains(name));
}

INSTANTIATE_TEST_SUITE_P(Zoo, Invariance, testing::ValuesIn(zoo()), [](auto& info) {
  std::string name = info.param.substr(0, info.param.find('.'));
  std::ranges::replace(name, '-', '_');
  return name;
});

} // namespace moec::test
