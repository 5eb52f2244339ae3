// The page of a training: its structure, what it holds, that nothing from outside becomes markup, and its size.

#include "runtime/train/Page.h"

#include "runtime/core/Base64.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <regex>

namespace moec::train {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// A step of a model with gates "layers.<i>.gate"; expert e takes e + 1 of its choices, the first none from step 4 on.
StepRecord step(int64_t number, int gates = 1, int experts = 4) {
  StepRecord record{.step = number,
                    .epoch = number / 10,
                    .records = 64,
                    .loss = 1.0 / static_cast<double>(number),
                    .learningRate = 1e-3,
                    .gradientNorm = 0.5,
                    .seconds = 0.5,
                    .tokensPerSecond = 128};
  for (int i = 0; i < gates; ++i) {
    std::string gate = "layers." + std::to_string(i) + ".gate";
    for (const char* kind : {".balance_loss", ".z_loss"})
      record.auxLosses[gate + kind] = 1 + 0.01 * i + 1.0 / static_cast<double>(number);
    for (int e = 0; e < experts; ++e)
      record.load[gate].push_back(e == 0 && number >= 4 ? 0 : e + 1);
    record.dropped[gate] = number % 2 ? 0 : 1;
  }
  return record;
}

History historyOf(int64_t steps, int gates = 1, int experts = 4) {
  History history;
  for (int64_t i = 1; i <= steps; ++i) {
    history.add(step(i, gates, experts));
    if (i % 5 == 0)
      history.add(EvaluationRecord{.step = i, .records = 10, .loss = 2.0 / static_cast<double>(i), .accuracy = 0.9});
  }
  return history;
}

About about() { return {.model = "tiny", .data = "digits", .target = "cpu:x86-64-v3", .state = "finished", .steps = 12, .facts = {{"batch", "64"}}}; }

/// What the page's script reads.
json dataOf(const std::string& page) {
  std::string front = "<script type=\"application/json\" id=\"data\">";
  size_t at = page.find(front);
  if (at == std::string::npos)
    return nullptr;
  at += front.size();
  return json::parse(page.substr(at, page.find("</script>", at) - at), nullptr, false);
}

size_t countOf(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size())
    ++count;
  return count;
}

TEST(Page, HoldsTheCurves) {
  json data = dataOf(pageText(historyOf(12), about()));
  ASSERT_TRUE(data.is_object());
  EXPECT_EQ(data["step"], json::parse("[1,2,3,4,5,6,7,8,9,10,11,12]"));
  EXPECT_EQ(data["series"]["loss"][3], 0.25);
  EXPECT_EQ(data["series"]["loss"][6], 0.14286) << "five digits";
  EXPECT_FALSE(data["series"].contains("loss_low")) << "a step a point needs no bounds";
  EXPECT_EQ(data["series"]["learning_rate"][0], 0.001);
  EXPECT_EQ(data["evaluations"]["step"], json::parse("[5,10]"));
  EXPECT_EQ(data["evaluations"]["loss"], json::parse("[0.4,0.2]"));
  EXPECT_EQ(data["evaluations"]["accuracy"], json::parse("[0.9,0.9]"));
  EXPECT_EQ(data["aux"].size(), 2u);
  EXPECT_EQ(data["aux"]["layers.0.gate.z_loss"][1], 1.5);
  EXPECT_EQ(data["dropped"]["layers.0.gate"][1], 0.090909) << "1 of 11 choices";
  EXPECT_EQ(data["unit"], "records");
}

TEST(Page, HoldsTheLoadOfExpertsInRelationToAnEvenShare) {
  json load = dataOf(pageText(historyOf(5), about()))["load"];
  EXPECT_EQ(load["step"], json::parse("[1,2,3,4,5]"));
  ASSERT_EQ(load["gates"].size(), 1u);
  const json& gate = load["gates"][0];
  EXPECT_EQ(gate["name"], "layers.0.gate");
  EXPECT_EQ(gate["experts"], 4);
  auto bytes = decodeBase64(gate["cells"].get<std::string>());
  ASSERT_TRUE(bytes && bytes->size() == 2 * 4 * 5);
  auto cell = [&](size_t column, size_t expert) { return ((*bytes)[2 * (column * 4 + expert)] | (*bytes)[2 * (column * 4 + expert) + 1] << 8) / 1024.0; };
  for (size_t expert = 0; expert < 4; ++expert)
    EXPECT_NEAR(cell(0, expert), static_cast<double>(expert + 1) / 2.5, 0.001);
  EXPECT_EQ(cell(4, 0), 0);
  EXPECT_NEAR(cell(4, 3), 4 / 2.25, 0.001);
}

TEST(Page, IsWholeAndNeedsNothing) {
  std::string page = pageText(historyOf(12), about());
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_TRUE(page.ends_with("</html>\n"));
  EXPECT_EQ(countOf(page, "<script"), 2u);
  EXPECT_EQ(countOf(page, "</script>"), 2u);
  EXPECT_THAT(page, Not(HasSubstr("@"
                                  "DATA")));
  EXPECT_FALSE(std::regex_search(page, std::regex("@[A-Z]+@"))) << "a place that was not filled";
  // No address but the name of SVG's elements, which nobody asks for.
  std::string rest = std::regex_replace(page, std::regex("http://www\\.w3\\.org/2000/svg"), "");
  for (const char* outside : {"http:", "https:", "src=", "url(", "@import", "fetch(", "<link rel=\"stylesheet"})
    EXPECT_THAT(rest, Not(HasSubstr(outside)));
  for (const char* words : {"<title>tiny, training</title>", "<h1>tiny</h1>", "best validation accuracy", "90.00 %", "at step 10", "of 12, finished",
                            "cpu:x86-64-v3", "<tr><th>batch</th><td>64</td></tr>", "768 records in 12 steps"})
    EXPECT_THAT(page, HasSubstr(words));
}

TEST(Page, WhatIsFromOutsideIsText) {
  constexpr const char* evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&@DATA@";
  History history;
  StepRecord record = step(1);
  record.auxLosses[evil] = 1;
  record.load[evil] = {1, 2};
  record.dropped[evil] = 1;
  history.add(record);
  std::string page = pageText(history, {.model = evil, .data = evil, .target = evil, .state = evil, .steps = 1, .facts = {{evil, evil}}});
  EXPECT_EQ(countOf(page, "<script"), 2u);
  EXPECT_EQ(countOf(page, "</script>"), 2u);
  EXPECT_EQ(countOf(page, "<img"), 0u);
  EXPECT_THAT(page, HasSubstr("<h1>&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;@DATA@</h1>"));
  json data = dataOf(page);
  ASSERT_TRUE(data.is_object());
  EXPECT_TRUE(data["aux"].contains(evil));
  EXPECT_EQ(data["load"]["gates"][0]["name"], evil);
}

TEST(Page, BytesThatAreNoTextAreReplaced) {
  History history;
  StepRecord record = step(1);
  record.auxLosses["\xff\xfe"] = 1;
  history.add(record);
  EXPECT_TRUE(dataOf(pageText(history, about())).is_object());
}

TEST(Page, OfNothingAndOfLittle) {
  json empty = dataOf(pageText({}, {.model = "m"}));
  EXPECT_EQ(empty["step"], json::array());
  EXPECT_EQ(empty["load"]["gates"], json::array());
  EXPECT_FALSE(empty["evaluations"].contains("accuracy"));
  History one;
  StepRecord record = step(1);
  record.loss = std::nan("");
  one.add(record);
  std::string page = pageText(one, about());
  EXPECT_THAT(page, HasSubstr("not finite"));
  EXPECT_EQ(dataOf(page)["series"]["loss"], json::parse("[null]"));
}

TEST(Page, OfMoreStepsThanPointsHasBounds) {
  json data = dataOf(pageText(historyOf(3000), about()));
  EXPECT_EQ(data["step"].size(), 1500u);
  EXPECT_EQ(data["step"][0], 2);
  EXPECT_EQ(data["step"][1499], 3000);
  EXPECT_EQ(data["series"]["loss"][0], 0.75);
  EXPECT_EQ(data["series"]["loss_low"][0], 0.5);
  EXPECT_EQ(data["series"]["loss_high"][0], 1);
  EXPECT_EQ(data["load"]["step"].size(), 188u) << "16 steps a column";
  EXPECT_EQ(data["load"]["step"][187], 3000);
}

TEST(Page, StaysSmall) {
  constexpr size_t most = 2'000'000;
  EXPECT_LT(pageText(historyOf(100'000), about()).size(), most / 4);
  std::string deep = pageText(historyOf(2500, 48, 64), about()); // 96 aux losses, 48 maps of 64 experts
  EXPECT_LT(deep.size(), most);
  json data = dataOf(deep);
  EXPECT_EQ(data["aux"].size(), 96u);
  EXPECT_EQ(data["aux_step"].size(), data["aux"]["layers.0.gate.z_loss"].size());
  EXPECT_EQ(data["aux_step"].back(), 2500);
  EXPECT_EQ(data["load"]["gates"].size(), 48u);
  EXPECT_EQ(data["load"]["gates"][0]["cells"].get<std::string>().size(), (data["load"]["step"].size() * 64 * 2 + 2) / 3 * 4);
}

TEST(Page, DurationsAreForPeople) {
  EXPECT_EQ(durationText(0.4), "0 s");
  EXPECT_EQ(durationText(59.4), "59 s");
  EXPECT_EQ(durationText(59.6), "1 m 0 s");
  EXPECT_EQ(durationText(3725), "1 h 2 m");
  EXPECT_EQ(durationText(std::nan("")), "0 s");
  EXPECT_EQ(durationText(-5), "0 s");
}

} // namespace
} // namespace moec::train
