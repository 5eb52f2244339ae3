// A routing recorded in one run and replayed in another: a gate of each kind, on every device.

#include "runtime/Compile.h"
#include "runtime/Session.h"
#include "runtime/Training.h"
#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"
#include "tests/e2e/Support.h"
#include "tests/routing/Expect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

using namespace moec;
using namespace moec::test;

namespace {

/// Of each kind of gate the first file with experts to choose among.
std::vector<RoutingRow> rowsWithChoices() {
  std::vector<RoutingRow> rows;
  std::set<std::string> kinds;
  for (const RoutingRow& row : routingRows())
    if (row.family == "gate" && !kinds.contains(row.kind) && RoutingGolden(row).experts() > 1) {
      kinds.insert(row.kind);
      rows.push_back(row);
    }
  return rows;
}

/// The case with the most tokens that moec does not refuse.
std::string largestCase(const RoutingGolden& golden) {
  std::string largest;
  int64_t most = 0;
  for (const std::string& name : golden.row.cases) {
    if (golden.refuses(name, "eval") || golden.refuses(name, "train"))
      continue;
    if (int64_t elements = golden.part(name, "x", DType::F32).at("").elements(); elements > most)
      largest = name, most = elements;
  }
  return largest;
}

class Replay : public testing::TestWithParam<std::tuple<RoutingRow, std::string>> {
protected:
  Replay() : golden_(std::get<0>(GetParam())), device_(std::get<1>(GetParam())), case_(largestCase(golden_)) {}

  Program compiled(bool replay) {
    TemporaryFolder folder;
    auto path = folder.path() / "gate.json";
    std::ofstream(path) << golden_.model(DType::F32);
    bool isCuda = device_.starts_with("ptx-emulator:");
    CompileOptions options{.drawsAsInputs = true, .train = true, .accumulate = true};
    options.targets = {isCuda ? "cuda:" + device_.substr(device_.find(':') + 1) : "cpu"};
    options.record = true;
    options.replay = replay;
    return compile(path, options);
  }

  /// What the plan asks for, of the case and of choices.
  TensorMap inputsOf(const Plan& plan, const TensorMap& choices = {}) {
    TensorMap asked = golden_.inputsOf(plan, case_, DType::F32);
    for (const InputInfo& input : plan.inputs)
      if (auto given = choices.find(input.name); given != choices.end())
        asked.insert(*given);
    return asked;
  }

  TensorMap weights() { return golden_.part(case_, "weights/", DType::F32); }

  RoutingGolden golden_;
  std::string device_, case_;
};

TensorMap choicesOf(const TensorMap& results) {
  TensorMap choices;
  for (const auto& [name, tensor] : results)
    if (isChoices(name))
      choices.emplace(name, tensor.clone());
  return choices;
}

bool sameBits(const Tensor& a, const Tensor& b) { return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.data(), b.data(), a.bytes()) == 0; }

/// All results have the same bits; weights where something was chosen.
void expectSame(const TensorMap& replayed, const TensorMap& recorded) {
  for (const auto& [name, tensor] : recorded) {
    ASSERT_TRUE(replayed.contains(name)) << name;
    const Tensor& own = replayed.at(name);
    auto choices = recorded.find(name.substr(0, name.rfind('.')) + ".choices");
    if (!name.ends_with(".weights") || choices == recorded.end()) {
      EXPECT_TRUE(sameBits(own, tensor)) << name;
      continue;
    }
    auto chosen = choices->second.as<int32_t>();
    auto a = own.as<float>(), b = tensor.as<float>();
    for (size_t i = 0; i < chosen.size(); ++i)
      if (chosen[i] >= 0)
        EXPECT_EQ(a[i], b[i]) << name << " " << i;
  }
}

/// The sum of what a token's experts make of it, each one linear layer, by what the record says.
std::vector<double> mixture(const GateRecord& record, const TensorMap& weights, const Tensor& x) {
  const Tensor &matrix = weights.at("moe.experts.weight"), &bias = weights.at("moe.experts.bias");
  int64_t out = matrix.shape()[1], in = matrix.shape()[2], choices = record.choices.shape()[1];
  std::vector<double> y;
  for (int64_t token = 0; token < record.choices.shape()[0]; ++token)
    for (int64_t row = 0; row < out; ++row) {
      double sum = 0;
      for (int64_t choice = token * choices; choice < (token + 1) * choices; ++choice) {
        int64_t expert = record.choices.as<int32_t>()[choice];
        if (!record.kept.as<uint8_t>()[choice])
          continue;
        double value = bias.as<float>()[expert * out + row];
        for (int64_t column = 0; column < in; ++column)
          value += static_cast<double>(matrix.as<float>()[(expert * out + row) * in + column]) * x.as<float>()[token * in + column];
        sum += record.weights.as<float>()[choice] * value;
      }
      y.push_back(sum);
    }
  return y;
}

} // namespace

TEST_P(Replay, GivesTheBitsOfTheRecordedRun) {
  if (std::string why = missingForRouting(device_); !why.empty())
    GTEST_SKIP() << why;
  ASSERT_FALSE(case_.empty());
  Session recording(compiled(false), device_);
  recording.load(weights());
  size_t gates = 0;
  recording.onGates([&](const GateRecord& record) {
    ++gates;
    EXPECT_TRUE(record.gate.starts_with("moe.gate")) << record.gate;
    EXPECT_GT(record.weights.elements(), 0);
  });
  TensorMap recorded = recording.run(inputsOf(recording.plan()));
  EXPECT_EQ(gates, golden_.row.kind == "hierarchical" ? 2u : 1u);
  TensorMap choices = choicesOf(recorded);
  if (golden_.row.kind == "dense") { // it chooses nothing
    EXPECT_TRUE(choices.empty());
    return;
  }
  ASSERT_EQ(choices.size(), gates) << "a gate chooses with Site::choose or Site::chosen, so that it is recorded";

  Session replaying(compiled(true), device_);
  replaying.load(weights());
  expectSame(replaying.run(inputsOf(replaying.plan(), choices)), recorded);

  Training trained(compiled(false), device_), replayed(compiled(true), device_);
  trained.load(weights());
  replayed.load(weights());
  TensorMap results = trained.accumulate(inputsOf(trained.plan()));
  expectSame(replayed.accumulate(inputsOf(replayed.plan(), choicesOf(results))), results);
  expectSame(replayed.state(), trained.state());
}

TEST_P(Replay, OfOtherChoicesIsWhatTheyMake) {
  if (std::string why = missingForRouting(device_); !why.empty())
    GTEST_SKIP() << why;
  if (golden_.row.kind == "dense" || golden_.row.kind == "hierarchical")
    GTEST_SKIP() << "a dense gate chooses nothing, and the inner choices of two levels are of rows";
  Session recording(compiled(false), device_), replaying(compiled(true), device_);
  recording.load(weights());
  replaying.load(weights());
  TensorMap choices = choicesOf(recording.run(inputsOf(recording.plan())));
  for (int32_t& expert : choices.at("moe.gate.choices").as<int32_t>()) // the next expert takes each
    expert = expert < 0 ? -1 : static_cast<int32_t>((expert + 1) % golden_.experts());
  GateRecord record;
  replaying.onGates([&](const GateRecord& found) { record = found; });
  Tensor x = golden_.part(case_, "x", DType::F32).at("");
  Tensor y = replaying.run(inputsOf(replaying.plan(), choices)).at("moe");
  EXPECT_TRUE(sameBits(record.choices, choices.at("moe.gate.choices")));
  std::vector<double> wanted = mixture(record, weights(), x);
  EXPECT_LE(relativeError(y, Tensor::of(wanted, y.shape()).cast(DType::F32)), tolerance(DType::F32));

  if (golden_.row.kind != "top_k" || golden_.gate().value("softmax", "chosen") != "chosen")
    return;
  // The weights are the softmax over the logits of these experts.
  TensorMap all = weights();
  const Tensor& router = all.at("moe.gate.weight");
  int64_t width = router.shape()[1], count = record.choices.shape()[1];
  for (int64_t token = 0; token < record.choices.shape()[0]; ++token) {
    std::vector<double> powers;
    double sum = 0;
    for (int64_t choice = 0; choice < count; ++choice) {
      int64_t expert = record.choices.as<int32_t>()[token * count + choice];
      double logit = all.contains("moe.gate.bias") ? all.at("moe.gate.bias").as<float>()[expert] : 0;
      for (int64_t i = 0; i < width; ++i)
        logit += static_cast<double>(router.as<float>()[expert * width + i]) * x.as<float>()[token * width + i];
      powers.push_back(std::exp(logit));
      sum += powers.back();
    }
    for (int64_t choice = 0; choice < count; ++choice)
      EXPECT_NEAR(record.weights.as<float>()[token * count + choice], powers[choice] / sum, 1e-5);
  }
}

TEST(ReplayErrors, SayWhatIsMissing) {
  TemporaryFolder folder;
  auto path = folder.path() / "dense.json";
  std::ofstream(path) << R"({"name": "plain", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "linear", "out": 4}]})";
  Session session(compile(path, {.targets = {"cpu"}, .record = true}), "cpu");
  EXPECT_THROW(session.onGates([](const GateRecord&) {}), Error);
  EXPECT_NO_THROW(session.onGates({}));
  EXPECT_THROW(compile(path, {.targets = {"cpu"}, .record = true, .generate = GenerationSizes{1, 8}}), Error);
}

INSTANTIATE_TEST_SUITE_P(All, Replay,
                         testing::Combine(testing::ValuesIn(rowsWithChoices()),
                                          testing::ValuesIn(std::vector<std::string>(std::begin(kRoutingDevices), std::end(kRoutingDevices)))),
                         [](const auto& info) {
                           std::string device = std::get<1>(info.param);
                           return std::get<0>(info.param).kind + "_" + (device.starts_with("ptx") ? "emulator" : device);
                         });
