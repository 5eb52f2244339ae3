// `--trace` of compile and run: the file as a viewer reads it.

#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

#include <map>
#include <set>

using namespace moec::test;
using testing::HasSubstr;
using testing::IsSubsetOf;

namespace {

const std::string kModel = MOEC_SOURCE "/models/zoo/batched-experts.json";

struct Span {
  std::string name, category;
  double begin = 0, end = 0;
  int64_t thread = 0;
  nlohmann::json arguments;
};

class Traces : public CommandTest {
protected:
  std::map<int64_t, std::string> threads; // of the last trace read

  /// Every span, after checks of what holds for all: spans of a thread are nested or apart, and every thread has a name.
  std::vector<Span> read(const std::string& file) {
    auto json = nlohmann::json::parse(slurp(file));
    std::vector<Span> spans;
    threads.clear();
    for (const auto& event : json.at("traceEvents")) {
      if (event.at("ph") == "M") {
        EXPECT_EQ(event["name"], "thread_name");
        threads[event.at("tid")] = event["args"]["name"];
        continue;
      }
      EXPECT_EQ(event.at("ph"), "X") << event;
      double begin = event.at("ts"), length = event.at("dur");
      EXPECT_GE(begin, 0);
      EXPECT_GE(length, 0);
      EXPECT_TRUE(event.contains("pid"));
      spans.push_back({event.at("name"), event.at("cat"), begin, begin + length, event.at("tid"), event.value("args", nlohmann::json::object())});
    }
    std::map<int64_t, std::vector<const Span*>> open;
    constexpr double kRounding = 2e-3; // of two times in microseconds
    for (const Span& span : spans) {
      EXPECT_TRUE(threads.contains(span.thread)) << span.name;
      auto& stack = open[span.thread];
      while (!stack.empty() && stack.back()->end <= span.begin + kRounding)
        stack.pop_back();
      if (!stack.empty())
        EXPECT_LE(span.end, stack.back()->end + kRounding) << span.name << " ends behind " << stack.back()->name;
      stack.push_back(&span);
    }
    EXPECT_EQ(std::count_if(threads.begin(), threads.end(), [](const auto& thread) { return thread.second == "main"; }), 1);
    return spans;
  }

  static std::vector<Span> of(const std::vector<Span>& spans, const std::string& category) {
    std::vector<Span> result;
    for (const Span& span : spans)
      if (span.category == category)
        result.push_back(span);
    return result;
  }
  static std::multiset<std::string> names(const std::vector<Span>& spans) {
    std::multiset<std::string> result;
    for (const Span& span : spans)
      result.insert(span.name);
    return result;
  }
};

TEST_F(Traces, OfACompilationHasPhasesPassesAndKernels) {
  std::vector<std::string> command{"compile", kModel, "-o", path("out.moec"), "--target", "cpu:x86-64-v3", "--trace", path("t.json")};
  ASSERT_EQ(moec(command).code, 0);
  auto spans = read(path("t.json"));
  EXPECT_EQ(names(of(spans, "phase")), (std::multiset<std::string>{"import", "fuse", "schedule", "plan", "emit", "pack"}));
  EXPECT_THAT((std::vector<std::string>{"fuse gates", "fuse experts", "fuse matmuls", "pack weights"}), IsSubsetOf(names(of(spans, "pass"))));
  auto inspected = nlohmann::json::parse(moec({"inspect", path("out.moec"), "--json"}).out);
  std::multiset<std::string> symbols, kernels;
  for (const auto& kernel : inspected["kernels"])
    symbols.insert(kernel["symbol"]);
  auto emitted = of(spans, "kernel");
  for (const Span& kernel : emitted) {
    kernels.insert(kernel.arguments["kernel"]);
    EXPECT_EQ(kernel.arguments["cache"], "miss");
    EXPECT_EQ(kernel.arguments["target"], "cpu:x86-64-v3");
    EXPECT_THAT(kernel.arguments["kernel"].get<std::string>(), HasSubstr(kernel.name));
  }
  EXPECT_EQ(kernels, symbols);
  ASSERT_EQ(of(spans, "cache").size(), 2u);
  EXPECT_EQ(of(spans, "cache")[0].arguments["cache"], "miss");

  ASSERT_EQ(moec(command).code, 0);
  spans = read(path("t.json"));
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].arguments["cache"], "hit");

  command.push_back("--draws-as-inputs"); // another program of the same kernels
  ASSERT_EQ(moec(command).code, 0);
  emitted = of(read(path("t.json")), "kernel");
  EXPECT_EQ(emitted.size(), symbols.size());
  for (const Span& kernel : emitted)
    EXPECT_EQ(kernel.arguments["cache"], "hit");
}

TEST_F(Traces, OfARunHasLaunchesAndStagesOnTheirThreads) {
  auto inspected = nlohmann::json::parse(moec({"inspect", kModel, "--json"}).out);
  std::string row = "[0.5";
  for (int i = 1; i < 60; ++i)
    row += ", 0.5";
  row += "]";
  std::string x = file("x.json", fmt::format("[{0}, {0}, {0}]", row)), blend = file("blend.json", "[0.1, 0.2, 0.3, 0.4]");
  std::vector<std::string> command{"run", kModel, "--init", "0", "--input", "x=" + x, "--input", "blend=" + blend, "--threads", "2"};
  Outcome plain = moec(command);
  ASSERT_EQ(plain.code, 0) << plain.err;
  command.insert(command.end(), {"--trace", path("t.json")});
  EXPECT_EQ(moec(command).out, plain.out);
  auto spans = read(path("t.json"));
  auto launches = of(spans, "launch"), stages = of(spans, "stage");
  ASSERT_EQ(launches.size(), inspected["prepare"].size() + inspected["forward"].size());
  size_t prepared = inspected["prepare"].size();
  for (size_t i = 0; i < launches.size(); ++i) {
    const auto& expected = i < prepared ? inspected["prepare"][i] : inspected["forward"][i - prepared];
    EXPECT_EQ(launches[i].name, expected["kind"].get<std::string>() + " " + expected["layer"].get<std::string>());
    EXPECT_EQ(launches[i].arguments["kernel"], expected["kernel"]);
    EXPECT_EQ(launches[i].arguments["layer"], expected["layer"]);
    EXPECT_THAT(launches[i].arguments["outputs"].get<std::string>(), HasSubstr("f64["));
    EXPECT_EQ(threads[launches[i].thread], "main");
  }
  for (const Span& stage : stages) {
    auto around = std::find_if(launches.begin(), launches.end(),
                               [&](const Span& launch) { return launch.begin <= stage.begin + 2e-3 && stage.end <= launch.end + 2e-3; });
    ASSERT_NE(around, launches.end()) << stage.name;
    EXPECT_EQ(stage.name, around->arguments["kernel"].get<std::string>());
    EXPECT_EQ(stage.arguments["layer"], around->arguments["layer"]);
    EXPECT_GT(stage.arguments["items"], 0);
  }
  auto calls = of(spans, "run");
  auto call = std::find_if(calls.begin(), calls.end(), [](const Span& span) { return span.name == "call"; });
  ASSERT_NE(call, calls.end());
  EXPECT_EQ(call->arguments, nlohmann::json({{"batch", 3}}));
}

TEST_F(Traces, TheFileMustBeWritable) {
  Outcome outcome = moec({"compile", kModel, "-o", path("out.moec"), "--target", "cpu:x86-64-v3", "--trace", path("no/such/folder/t.json")});
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.err, HasSubstr("no/such/folder/t.json"));
}

} // namespace
