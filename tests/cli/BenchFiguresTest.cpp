// What `moec bench` makes of its measurements, against numbers worked by hand. (The command itself: BenchTest.)

#include "compiler/cli/bench/BenchJson.h"
#include "compiler/cli/bench/BenchPage.h"
#include "compiler/cli/bench/BenchText.h"
#include "compiler/cli/bench/ResultFile.h"
#include "compiler/cli/bench/TokenSizes.h"
#include "runtime/core/Error.h"
#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

using namespace moec;
using namespace moec::cli;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

namespace {

/// A machine of 100 FLOP/s in f32, 50 in f64 and 10 B/s. Calls take 12 s and 10 s; kernel p is launched twice, q once in f64.
BenchReport report() {
  BenchTimes times{
      .name = "m/forward/tokens:4", .pass = "forward", .tokens = 4, .sizes = {{"batch", 4}}, .calls = 3, .seconds = {12, 10}, .clocked = {12.5, 11.5}};
  times.launches = {{LaunchList::Forward, 0, "a", "expert_up", "p", {200, 0, 10}, {2, 3}},        // 2 s of arithmetic, 1 s of memory
                    {LaunchList::Forward, 1, "b", "gate", "q", {0, 50, 20}, {4, 4}},              // 1 s and 2 s
                    {LaunchList::Forward, 2, "c, \"d\"", "expert_up", "p", {100, 0, 5}, {4, 2}}}; // 1 s and 0.5 s
  times.limits = {{100, 40, 10}, {80, 50, 9}};
  return {.model = "m<1>",
          .build = "0",
          .device = "cpu",
          .target = "cpu:x86-64-v3",
          .cpu = "chip",
          .token = "token",
          .made = "inference",
          .threads = 2,
          .readBytes = 1 << 20,
          .benchmarks = {times}};
}

TEST(BenchFigures, KernelsAreTheirLaunchesTogether) {
  BenchReport of = report();
  std::vector<BenchKernel> kernels = kernelsOf(of.benchmarks[0], of.peaks());
  ASSERT_EQ(kernels.size(), 3u);
  const BenchKernel &p = kernels[0], &q = kernels[1], &sum = kernels[2];
  EXPECT_EQ(p.kernel, "p");
  EXPECT_EQ(p.launches, 2);
  EXPECT_THAT(p.layers, ElementsAre("a", "c, \"d\""));
  EXPECT_EQ(p.flops(), 300);
  EXPECT_EQ(p.work.bytes, 15);
  EXPECT_EQ(p.best, 5); // of 6 and 5
  EXPECT_EQ(p.median, 5.5);
  EXPECT_EQ(p.share, 11.0 / 24);
  EXPECT_EQ(p.bound.seconds, 3);
  EXPECT_EQ(p.bound.inTurn, 4.5);
  EXPECT_EQ(p.bound.side, bench::Bound::Side::Arithmetic);
  EXPECT_EQ(p.ofLimit(), 0.6);
  EXPECT_EQ(q.kernel, "q");
  EXPECT_EQ(q.bound.seconds, 2);
  EXPECT_EQ(q.bound.inTurn, 3);
  EXPECT_EQ(q.bound.side, bench::Bound::Side::Memory);
  EXPECT_EQ(q.ofLimit(), 0.5);
  EXPECT_EQ(sum.kind, "sum");
  EXPECT_EQ(sum.launches, 3);
  EXPECT_EQ(sum.best, 9); // of 10 and 9
  EXPECT_EQ(sum.bound.seconds, 5);
  EXPECT_EQ(sum.bound.inTurn, 7.5);
  EXPECT_EQ(sum.ofLimit(), 5.0 / 9);
  EXPECT_EQ(sum.share + outsideShare(of.benchmarks[0]), 1);
  EXPECT_EQ(of.benchmarks[0].best(), 10);
  EXPECT_EQ(of.benchmarks[0].tokensPerSecond(), 4.0 / 11);
}

TEST(BenchFigures, ATable) {
  std::string text = toText(report());
  EXPECT_THAT(text, HasSubstr("m<1> on cpu (cpu:x86-64-v3), 2 threads, chip\n"));
  EXPECT_THAT(text, HasSubstr("100 FLOP/s in f32, 50 FLOP/s in f64"));
  EXPECT_THAT(text, HasSubstr("10 B/s read from memory: the best of 2 measurements"));
  EXPECT_THAT(text, HasSubstr("m/forward/tokens:4  batch=4  11.0 s  10.0 s  500 ms      0.36        2 x 3\n"));
  EXPECT_THAT(text, testing::ContainsRegex("expert_up  a, and 1 more +2 +45.8 % +5.50 s +5.00 s +300 +15 B +3.00 s  arithmetic +4.50 s +60.0 %\n"));
  EXPECT_THAT(text, testing::ContainsRegex("  sum +3 +79.2 % +9.50 s +9.00 s +350 +35 B +5.00 s +7.50 s +55.6 %\n"));
  EXPECT_THAT(text, testing::ContainsRegex("  outside +20.8 %\n"));
}

TEST(BenchFigures, CsvQuotesWhatItMust) {
  EXPECT_EQ(toCsv(report()),
            "benchmark,tokens,kernel,kind,layers,launches,share,median,best,spread,tokens_per_second,flops,bytes,limit,limited_by,limit_in_turn,of_limit\n"
            "m/forward/tokens:4,4,,,,,1,11,10,0.5,0.36363636363636365,,,,,,\n"
            "m/forward/tokens:4,4,p,expert_up,\"a c, \"\"d\"\"\",2,0.4583333333333333,5.5,5,,,300,15,3,arithmetic,4.5,0.6\n"
            "m/forward/tokens:4,4,q,gate,b,1,0.3333333333333333,4,4,,,50,20,2,memory,3,0.5\n"
            "m/forward/tokens:4,4,,sum,\"a b c, \"\"d\"\"\",3,0.7916666666666666,9.5,9,,,350,35,5,arithmetic,7.5,0.5555555555555556\n");
}

TEST(BenchFigures, APageShowsEachKernelAndNeedsNothing) {
  std::string page = toPage(report());
  EXPECT_THAT(page, HasSubstr("<h1>m&lt;1&gt;</h1>"));
  EXPECT_THAT(page, Not(HasSubstr("m<1>")));
  EXPECT_THAT(page, HasSubstr("<title>expert_up a, and 1 more: 60 FLOP/s of 5.00 s, 60.0 % of the limit by arithmetic</title>"));
  EXPECT_THAT(page, HasSubstr("class=\"point double\"")); // the gate
  EXPECT_THAT(page, HasSubstr("55.6 %<span class=\"bar\"><i style=\"width:56%\"></i></span>"));
  for (const char* foreign : {"http:", "https:", "<script", "@import", "src=", "nan", "inf\""})
    EXPECT_THAT(page, Not(HasSubstr(foreign)));
  // p has 300 / 15 = 20 FLOP a byte, and the axis goes from 1 to 100 between 100 and 1096: 100 + 996 log10(20) / 2.
  EXPECT_THAT(page, HasSubstr("cx=\"747.9\""));
}

TEST(BenchFigures, WithoutArithmeticThereIsNoPoint) {
  BenchReport moves = report();
  for (BenchLaunch& launch : moves.benchmarks[0].launches)
    if (launch.kernel == "q")
      launch.work.flops64 = 0;
  std::string page = toPage(moves);
  EXPECT_THAT(page, HasSubstr("Not in the picture, for they do no arithmetic: 2."));
  EXPECT_THAT(page, Not(HasSubstr("<title>gate")));
}

class BenchFiles : public test::CommandTest {
protected:
  std::string readError(const std::string& text) const {
    try {
      readBenchReport(file("r.json", text));
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Data);
      return error.what();
    }
    return "";
  }
};

TEST_F(BenchFiles, AReportIsReadAgain) {
  std::string written = file("r.json", toJson(report()));
  EXPECT_TRUE(isBenchReport(written));
  EXPECT_FALSE(isBenchReport(file("m.json", R"({"name": "m", "format": 1})")));
  EXPECT_FALSE(isBenchReport(file("e.json", "")));
  BenchReport read = readBenchReport(written);
  EXPECT_EQ(read.model, "m<1>");
  EXPECT_EQ(read.threads, 2);
  ASSERT_EQ(read.benchmarks.size(), 1u);
  EXPECT_EQ(read.benchmarks[0].name, "m/forward/tokens:4");
  EXPECT_EQ(read.benchmarks[0].sizes, (Bindings{{"batch", 4}}));
  EXPECT_THAT(read.benchmarks[0].seconds, ElementsAre(12, 10));
  EXPECT_EQ(read.purpose, Purpose::Inference);
  EXPECT_EQ(read.made, "inference");
  BenchReport step = report();
  step.purpose = Purpose::Training;
  step.made = "training, --recompute";
  EXPECT_EQ(readBenchReport(file("s.json", toJson(step))).purpose, Purpose::Training);
  EXPECT_EQ(readBenchReport(file("s.json", toJson(step))).made, "training, --recompute");
}

// By its top level alone, in any order: what sorts keys leaves a result a result.
TEST_F(BenchFiles, AReportIsKnownByItsFormatWhereverItStands) {
  std::string sorted = nlohmann::json::parse(toJson(report())).dump(); // "benchmarks" come first
  ASSERT_LT(sorted.find("benchmarks"), sorted.find("format"));
  EXPECT_TRUE(isBenchReport(file("r.json", sorted)));
  EXPECT_EQ(readBenchReport(file("r.json", sorted)).benchmarks.size(), 1u);
  EXPECT_TRUE(isBenchReport(file("r.json", R"({"format": "moec bench 2"})")));
  for (const char* none : {R"({"model": {"format": "moec bench 1"}})", R"(["format", "moec bench 1"])", R"({"x": ["format"], "y": "moec bench 1"})",
                           R"("format")", R"({"format": ["moec bench 1"]})", R"({"format": "other", "name": "moec bench 1"})", "moec"})
    EXPECT_FALSE(isBenchReport(file("n.json", none))) << none;
}

TEST_F(BenchFiles, LiesAreFound) {
  EXPECT_THAT(readError("{\"format\""), HasSubstr("is no JSON; expected what `moec bench -o FILE` writes"));
  EXPECT_THAT(readError(R"({"format": "moec bench 2"})"), HasSubstr("its format is \"moec bench 2\", and this moec reads \"moec bench 1\""));
  EXPECT_THAT(readError("{\"format\": \"" + std::string(5000, 'x') + "\"}"), HasSubstr("its format is \"" + std::string(80, 'x') + "...\", and"));
  EXPECT_THAT(readError(R"({"format": "moec bench 1", "model": 3})"), HasSubstr("the result, \"model\": expected a text, found 3"));
  auto changed = [&](const char* pointer, nlohmann::json value) {
    auto json = nlohmann::json::parse(toJson(report()));
    json[nlohmann::json::json_pointer(pointer)] = std::move(value);
    return readError(json.dump());
  };
  EXPECT_EQ(changed("/benchmarks/0/tokens", 5), "");
  EXPECT_THAT(changed("/benchmarks/0/tokens", -5), HasSubstr("benchmark 0, \"tokens\": expected an integer from 0 to 2^63-1, found -5"));
  EXPECT_THAT(changed("/benchmarks/0/tokens", 1e300), HasSubstr("expected an integer, found 1e+300"));
  EXPECT_THAT(changed("/benchmarks/0/seconds/1", -1), HasSubstr("benchmark 0, \"seconds\": expected numbers above zero, found -1"));
  EXPECT_THAT(changed("/benchmarks/0/seconds", "fast"), HasSubstr("expected a list, found \"fast\""));
  EXPECT_THAT(changed("/benchmarks/0", 7), HasSubstr("benchmark 0 lacks \"name\""));
  EXPECT_THAT(changed("/benchmarks", nullptr), HasSubstr("\"benchmarks\": expected a list, found null"));
  EXPECT_THAT(changed("/benchmarks/0/pass", "a\033[2J"), HasSubstr("\"pass\": expected \"forward\" or \"step\", found \"a\\u001b[2J\""));
  EXPECT_THAT(changed("/purpose", "sport"), HasSubstr("\"purpose\": expected \"inference\" or \"training\", found \"sport\""));
  EXPECT_THAT(changed("/model", nlohmann::json::array({1})), HasSubstr("\"model\": expected a text, found a list"));
  EXPECT_THAT(changed("/benchmarks/0/sizes", 3), HasSubstr("\"sizes\": expected an object, found 3"));
  EXPECT_THAT(changed("/benchmarks/0/sizes/batch", "4"), HasSubstr("\"sizes\": expected integers, found \"4\""));
  EXPECT_THAT(changed("/benchmarks/0/sizes/batch", 0), HasSubstr("\"sizes\": expected an integer from 1 to 2^63-1, found 0"));
}

TEST_F(BenchFiles, NestingIsRefused) {
  std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_THAT(readError("{\"format\": \"moec bench 1\", \"model\": " + deep + "}"), HasSubstr("objects and lists are more than 16 levels deep"));
  EXPECT_FALSE(isBenchReport(file("d.json", "{\"x\": " + deep + "}")));
}

TEST_F(BenchFiles, ABenchmarkStandsThereOnce) {
  BenchReport twice = report();
  twice.benchmarks.push_back(twice.benchmarks[0]);
  EXPECT_THAT(readError(toJson(twice)), HasSubstr("benchmarks 0 and 1 are both forward/tokens:4"));
  twice.benchmarks[1].tokens = 5;
  EXPECT_EQ(readError(toJson(twice)), "");
}

TEST_F(BenchFiles, MoreThanCanBeComparedIsRefused) {
  auto json = nlohmann::json::parse(toJson(report()));
  nlohmann::json one = json["benchmarks"][0];
  json["benchmarks"][0]["seconds"] = std::vector<double>(100'001, 1);
  EXPECT_THAT(readError(json.dump()), HasSubstr("benchmark 0, \"seconds\": 100001 of them, and more than 100000 are not compared"));
  json["benchmarks"] = nlohmann::json::array();
  for (int i = 0; i < 6; ++i) {
    one["tokens"] = i;
    one["seconds"] = std::vector<int>(i == 5 ? 1 : 100'000, 1);
    json["benchmarks"].push_back(one);
  }
  EXPECT_THAT(readError(json.dump()), HasSubstr("have 500001 \"seconds\" together, and more than 500000 are not compared"));
  json["benchmarks"] = std::vector<int>(1001);
  EXPECT_THAT(readError(json.dump()), HasSubstr("1001 benchmarks, and more than 1000 are not compared"));
}

BenchReport with(std::vector<double> seconds, int64_t tokens = 4, const char* pass = "forward") {
  BenchReport result = report();
  result.benchmarks[0].seconds = std::move(seconds);
  result.benchmarks[0].tokens = tokens;
  result.benchmarks[0].pass = pass;
  return result;
}

TEST(BenchCompare, OfTwoReports) {
  BenchReport a = with({10, 11, 12, 13, 14, 15, 16}), b = with({5, 5.5, 6, 6.5, 7, 7.5, 8});
  b.threads = 4;
  b.benchmarks.push_back(with({1}, 9).benchmarks[0]);
  BenchComparisons result = compareReports("a", a, "b", b, bench::Pairing::Unpaired);
  ASSERT_EQ(result.comparisons.size(), 1u);
  EXPECT_EQ(result.comparisons[0].what, "forward/tokens:4");
  EXPECT_EQ(result.comparisons[0].ratio.value, 0.5);
  EXPECT_STREQ(result.comparisons[0].verdict(), "faster");
  EXPECT_THAT(result.differences, ElementsAre("threads: 2 and 4"));
  EXPECT_THAT(result.onlyA, ElementsAre());
  EXPECT_THAT(result.onlyB, ElementsAre("forward/tokens:9"));
  EXPECT_STREQ(compareReports("b", b, "a", a, bench::Pairing::Unpaired).comparisons[0].verdict(), "slower");
  EXPECT_STREQ(compareReports("a", a, "a", a, bench::Pairing::Unpaired).comparisons[0].verdict(), "no difference shown");
  EXPECT_THAT(toText(result), HasSubstr("forward/tokens:4  batch=4    13.0 s    6.50 s  0.500"));
  EXPECT_THAT(toCsv(result), HasSubstr("\nforward/tokens:4,13,6.5,0.5,"));
}

// The same number of tokens may be other work: the sizes, and how a plan came to be, stand beside the verdict.
TEST(BenchCompare, OtherWorkIsNamed) {
  BenchReport a = with({10, 11, 12, 13, 14, 15}, 24), b = a;
  a.benchmarks[0].sizes = {{"batch", 1}, {"sequence", 24}};
  b.benchmarks[0].sizes = {{"batch", 24}, {"sequence", 1}};
  b.purpose = Purpose::Training;
  b.made = "training, --recompute";
  b.token = "picture";
  BenchComparisons result = compareReports("a", a, "b", b, bench::Pairing::Unpaired);
  EXPECT_THAT(result.differences,
              ElementsAre("what counts as a token: token and picture", "purpose: inference and training", "plan: inference and training, --recompute",
                          "sizes of forward/tokens:24: batch=1, sequence=24 and batch=24, sequence=1"));
  EXPECT_THAT(toText(result), HasSubstr("forward/tokens:24  differ "));
  EXPECT_THAT(toText(result), HasSubstr("A and B differ in sizes of forward/tokens:24: batch=1, sequence=24 and batch=24, sequence=1\n"));
  auto json = nlohmann::json::parse(toJson(result));
  EXPECT_EQ(json["comparisons"][0]["sizes_b"], nlohmann::json({{"batch", 24}, {"sequence", 1}}));
}

TEST(BenchCompare, WordsOfAFileNeitherSteerATerminalNorFillIt) {
  BenchReport a = with({1, 2, 3, 4, 5, 6}), b = a;
  for (std::string BenchReport::* word :
       {&BenchReport::model, &BenchReport::build, &BenchReport::device, &BenchReport::target, &BenchReport::cpu, &BenchReport::token, &BenchReport::made})
    b.*word = "\033[2J\n" + std::string(5000, 'x');
  b.benchmarks[0].sizes = {{"\033[2J" + std::string(5000, 'x'), 4}};
  std::string text = toText(compareReports("a", a, "b", b, bench::Pairing::Unpaired));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(text, HasSubstr("A and B differ in model: m<1> and \\u001b[2J\\u000a" + std::string(75, 'x') + "...\n"));
  EXPECT_LT(text.size(), 3000u);
}

TEST(BenchCompare, FewerResamplesOfManyTimesAreTold) {
  BenchReport a = with({10, 11, 12, 13, 14, 15});
  BenchComparisons result = compareReports("a", a, "a", a, bench::Pairing::Unpaired);
  EXPECT_EQ(result.method(), bench::methodOf(bench::Pairing::Unpaired));
  result.comparisons.push_back(result.comparisons[0]);
  result.comparisons[1].ratio.resamples = 8333;
  EXPECT_THAT(toText(result), HasSubstr("8333 to 10000 resamples (fewer of many repetitions)"));
}

TEST(BenchCompare, SaysWhyNot) {
  auto message = [](const BenchReport& a, const BenchReport& b) {
    try {
      compareReports("a.json", a, "b.json", b, bench::Pairing::Unpaired);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  std::vector<double> six{1, 2, 3, 4, 5, 6};
  EXPECT_EQ(message(with(six), with(six, 8)), "a.json and b.json have no benchmark in common: a.json has forward/tokens:4, b.json has forward/tokens:8");
  EXPECT_THAT(message(with(six), with(six, 4, "step")), HasSubstr("b.json has step/tokens:4"));
  EXPECT_THAT(message(with(six), with({1, 2})), HasSubstr("a.json and b.json, forward/tokens:4: 2 repetitions are too few"));
}

/// A plan that has these inputs and nothing else.
Plan planOf(std::vector<std::pair<std::string, std::vector<Size>>> inputs) {
  Plan plan;
  for (auto& [name, shape] : inputs)
    plan.inputs.push_back({.name = name, .shape = std::move(shape)});
  plan.checkSizes = {{"batch", 3}, {"target", 7}};
  return plan;
}

std::string tokensError(const Plan& plan, const Bindings& given, int64_t tokens) {
  try {
    sizesOfTokens(plan, given, tokens);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Usage);
    return error.what();
  }
  return "";
}

TEST(TokenSizes, TheLastSizeThatIsLeftChanges) {
  Size batch = Size::symbol("batch"), sequence = Size::symbol("sequence"), target = Size::symbol("target");
  Plan rows = planOf({{"x", {batch, 60}}}), text = planOf({{"ids", {batch, sequence}}, {"targets", {batch, target}}});
  EXPECT_EQ(sizesOfTokens(rows, {}, 64), (Bindings{{"batch", 64}}));
  EXPECT_EQ(sizesOfTokens(text, {}, 64), (Bindings{{"batch", 1}, {"sequence", 64}, {"target", 7}}));
  EXPECT_EQ(sizesOfTokens(text, {{"batch", 4}}, 64), (Bindings{{"batch", 4}, {"sequence", 16}, {"target", 7}}));
  EXPECT_EQ(sizesOfTokens(text, {{"sequence", 8}, {"target", 2}}, 64), (Bindings{{"batch", 8}, {"sequence", 8}, {"target", 2}}));
  EXPECT_EQ(tokensOf(text, {{"batch", 3}, {"sequence", 5}, {"target", 7}}), 15);
  EXPECT_EQ(tokensOf(planOf({{"x", {4, 60}}}), {}), 1);
}

TEST(TokenSizes, SaysWhatItCannotDo) {
  Size batch = Size::symbol("batch"), sequence = Size::symbol("sequence"), heads = Size::symbol("heads");
  Plan text = planOf({{"ids", {batch, sequence}}}), three = planOf({{"x", {batch, sequence, heads}}});
  EXPECT_THAT(tokensError(planOf({{"x", {4, 60}}}), {}, 8),
              HasSubstr("--tokens 8: the model has no size that counts tokens: the shape of its input 'x' is the same"));
  EXPECT_THAT(tokensError(planOf({}), {}, 8), HasSubstr("the model has no input"));
  EXPECT_THAT(tokensError(text, {{"batch", 1}, {"sequence", 2}}, 8), HasSubstr("--size says all that counts tokens: batch, sequence; leave one of them out"));
  EXPECT_THAT(tokensError(text, {{"batch", 3}}, 8), HasSubstr("no multiple of 3, which is what the other sizes of input 'ids' make"));
  EXPECT_THAT(tokensError(three, {}, 8), HasSubstr("which of batch, sequence, heads shall it change?"));
  EXPECT_THAT(tokensError(text, {{"bacth", 3}}, 8), HasSubstr("the model has no size \"bacth\"; did you mean \"batch\"?"));
}

TEST(TokenSizes, NumbersWithCommas) {
  EXPECT_THAT(parseTokens("1,8,64"), ElementsAre(1, 8, 64));
  for (const char* wrong : {"", "1,", ",1", "1, 8", "0", "-1", "x", "1.5", "99999999999999999999"})
    EXPECT_THROW(parseTokens(wrong), Error) << wrong;
  EXPECT_THROW(parseTokens("8,8"), Error);
}

} // namespace
