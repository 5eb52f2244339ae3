// The memory that `moec inspect` foretells for a run on the CPU is what the runtime takes, to the byte.

#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/MemoryForecast.h"
#include "runtime/Compile.h"
#include "runtime/Session.h"
#include "runtime/core/Error.h"
#include "runtime/io/SafeTensors.h"
#include "tests/cli/MemoryCounter.h"
#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

using namespace moec;
using namespace moec::cli;
using namespace moec::test;

namespace {

class MemoryOfARun : public testing::TestWithParam<std::tuple<std::string, int, int>> {};

TEST_P(MemoryOfARun, IsWhatInspectForetells) {
  auto [name, batch, threads] = GetParam();
  Program program = compile(std::string(MOEC_SOURCE "/models/zoo/") + name + ".json", {.targets = {"cpu:x86-64-v3"}, .kernelCache = sharedKernels()});
  MemoryCounter counter;
  Session session(program, "cpu", {.threads = threads, .allocator = counter.allocator()});
  Bindings sizes = checkSizes(session.plan(), {});
  sizes["batch"] = batch;
  MemoryForecast forecast = forecastMemory(program, session.plan(), sizes, threads);
  session.load(initialWeights(session.plan(), 0));
  EXPECT_EQ(counter.most, forecast.loading());
  counter.most = 0;
  TensorMap outputs = session.run(generatedInputs(session.plan(), sizes, 0));
  EXPECT_EQ(counter.most, forecast.call());
  EXPECT_EQ(counter.now, forecast.call());
  outputs.clear();
  EXPECT_EQ(counter.now, forecast.call() - forecast.results);
  // Weights that are drawn end in the same memory.
  MemoryCounter drawn;
  Session other(program, "cpu", {.threads = threads, .allocator = drawn.allocator()});
  other.init(0);
  outputs = other.run(generatedInputs(session.plan(), sizes, 0));
  EXPECT_EQ(drawn.now, forecast.call());
  // So do those of a file, which never stand there in both forms.
  auto file = std::filesystem::path(testing::TempDir()) / fmt::format("moec-memory-{}.safetensors", ::getpid());
  writeSafeTensors(file, initialWeights(session.plan(), 0));
  MemoryCounter read;
  Session third(program, "cpu", {.threads = threads, .allocator = read.allocator()});
  third.loadForCalls(file);
  std::filesystem::remove(file);
  int64_t largest = 0; // what one packing reads
  for (const BufferInfo& buffer : session.plan().buffers)
    if (buffer.kind == BufferKind::Parameter)
      largest = std::max(largest, bytesOf(buffer, {}));
  EXPECT_LE(read.most, forecast.loading() - forecast.onlyPacked + largest);
  TensorMap again = third.run(generatedInputs(session.plan(), sizes, 0));
  EXPECT_EQ(read.now, forecast.call());
  for (const auto& [name, tensor] : outputs)
    EXPECT_TRUE(std::ranges::equal(std::span(static_cast<const char*>(tensor.data()), tensor.bytes()),
                                   std::span(static_cast<const char*>(again.at(name).data()), again.at(name).bytes())))
        << name;
  if (forecast.onlyPacked > 0)
    EXPECT_THROW(third.weights(), Error);
}

INSTANTIATE_TEST_SUITE_P(Zoo, MemoryOfARun,
                         testing::Values(std::tuple("batched-experts", 1, 1), std::tuple("batched-experts", 33, 3), std::tuple("vit-moe", 2, 2),
                                         std::tuple("soft-moe", 5, 1), std::tuple("gating-lm", 3, 2)),
                         [](const auto& info) {
                           std::string name = fmt::format("{}_{}_{}", std::get<0>(info.param), std::get<1>(info.param), std::get<2>(info.param));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(MemoryOfTwoNames, OfOneResultCountsACopy) {
  ProgramData data = compile(MOEC_SOURCE "/models/zoo/soft-moe.json", {.targets = {"cpu:x86-64-v3"}, .kernelCache = sharedKernels()}).data();
  Plan& plan = data.plans.at(0);
  plan.outputs.push_back(plan.outputs.at(0));
  plan.outputs.back().name = "again";
  Program program(std::move(data));
  MemoryCounter counter;
  Session session(program, "cpu", {.threads = 1, .allocator = counter.allocator()});
  Bindings sizes = checkSizes(session.plan(), {});
  session.init(0);
  TensorMap outputs = session.run(generatedInputs(session.plan(), sizes, 0));
  MemoryForecast forecast = forecastMemory(program, session.plan(), sizes, 1);
  EXPECT_EQ(counter.now, forecast.call());
  outputs.erase("again");
  EXPECT_EQ(counter.now, forecast.call() - forecast.results);
}

class MemoryShown : public CommandTest {};

TEST_F(MemoryShown, ByInspectForGivenSizes) {
  std::string model = MOEC_SOURCE "/models/zoo/batched-experts.json";
  auto run = [&](const std::string& batch) {
    Outcome outcome = moec({"inspect", model, "--target", "cpu:x86-64-v3", "--size", "batch=" + batch, "--threads", "3", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out)["memory"]["run"];
  };
  auto small = run("4"), large = run("4000");
  EXPECT_EQ(small["threads"], 3);
  EXPECT_GT(large["call"], small["call"]);
  EXPECT_EQ(large["loading"], small["loading"]);
  EXPECT_GE(large["peak_with_weights"].get<int64_t>(), large["call"].get<int64_t>() + large["given"].get<int64_t>());
  EXPECT_LE(large["reading"], large["drawing"]);
  EXPECT_EQ(large["given"], 4000 * 60 * 8 + 4 * 8); // x and blend
  Outcome text = moec({"inspect", model, "--target", "cpu:x86-64-v3"});
  EXPECT_THAT(text.out, testing::HasSubstr("peak of run"));
}

} // namespace
