// "$name" and "$(...)".

#include "models/Expression.h"
#include "models/json/Parse.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

using namespace moec::models;

namespace {

/// The value of text with dim = 32, heads = 5, word = "gelu"; or the errors.
std::string value(const std::string& text) {
  Environment outer, inner;
  outer.values.emplace("dim", Json(int64_t{32}, Position{1, 8}));
  outer.values.emplace("heads", Json(int64_t{7}, {}));
  outer.values.emplace("word", Json(std::string("gelu"), {}));
  inner.values.emplace("heads", Json(int64_t{5}, {}));
  inner.outer = &outer;
  Diagnostics diagnostics;
  std::optional<Json> result = resolve(Json(text, Position{2, 4}), inner, diagnostics);
  return result ? result->text() : diagnostics.text();
}

TEST(Expression, Computes) {
  EXPECT_EQ(value("plain"), "\"plain\"");
  EXPECT_EQ(value("$dim"), "32");
  EXPECT_EQ(value("$heads"), "5"); // the inner one
  EXPECT_EQ(value("$word"), "\"gelu\"");
  EXPECT_EQ(value("$(4*dim)"), "128");
  EXPECT_EQ(value("$(1 + 2*3 - 10/5)"), "5");
  EXPECT_EQ(value("$(-(dim - 2) / 3 * heads)"), "-50");
  EXPECT_EQ(value("$(100/5/2)"), "10");
  EXPECT_EQ(value("$(dim/-1)"), "-32");
  EXPECT_EQ(value("$(9223372036854775807)"), "9223372036854775807");
}

TEST(Expression, SaysWhatIsWrong) {
  const std::string at = "model.json:2:4: error: ";
  EXPECT_EQ(value("$(dim/3)"), at + "in \"$(dim/3)\": 32 is not divisible by 3; \"dim\" is defined at 1:8\n");
  EXPECT_EQ(value("$(dim/0)"), at + "in \"$(dim/0)\": division by zero; \"dim\" is defined at 1:8\n");
  EXPECT_EQ(value("$dmi"), at + "unknown name \"dmi\"; did you mean \"dim\"? known: dim, heads, word\n");
  EXPECT_EQ(value("$(dim*xyzzy)"), at + "unknown name \"xyzzy\"; known: dim, heads, word\n");
  EXPECT_EQ(value("$(word+1)"), at + "in \"$(word+1)\": word is the string \"gelu\"; arithmetic takes integers; \"word\" is given with the call\n");
  EXPECT_EQ(value("$(dim+)"), at + "in \"$(dim+)\": expected a number, a name or a bracket, not \")\"\n");
  EXPECT_EQ(value("$(dim"), at + "in \"$(dim\": a bracket is not closed\n");
  EXPECT_EQ(value("$(dim)2"), at + "in \"$(dim)2\": unexpected \"2\"\n");
  EXPECT_EQ(value("$(2x)"), at + "in \"$(2x)\": \"2x\" is no integer\n");
  EXPECT_EQ(value("$(4*2.5)"), at + "in \"$(4*2.5)\": \"2.5\" is no integer\n");
  EXPECT_EQ(value("$(9223372036854775807+1)"), at + "in \"$(9223372036854775807+1)\": 9223372036854775807 + 1 does not fit into 64 bits\n");
  EXPECT_EQ(value("$(9223372036854775808)"), at + "in \"$(9223372036854775808)\": 9223372036854775808 does not fit into 64 bits\n");
  EXPECT_EQ(value("$"), at + "\"$\": expected a name after \"$\", or \"$(...)\" to compute\n");
  EXPECT_EQ(value("$((0-9223372036854775807-1)/(0-1))"),
            at + "in \"$((0-9223372036854775807-1)/(0-1))\": -9223372036854775808 / -1 does not fit into 64 bits\n");
  EXPECT_NE(value("$" + std::string(5000, '(')).find("brackets are more than 64 levels deep"), std::string::npos);
}

std::string let(const std::string& text) {
  Diagnostics diagnostics;
  std::optional<Environment> values = evaluateLet(*parseJson(text, diagnostics), diagnostics);
  if (!values)
    return diagnostics.text();
  std::string result;
  for (const auto& [name, value] : values->values)
    result += name + "=" + value.text() + " ";
  return result;
}

TEST(Expression, LetInAnyOrder) {
  EXPECT_EQ(let(R"j({"c": "$(a+b)", "a": 1, "b": "$(2*a)", "list": ["$c", {"k": "$b"}]})j"), "a=1 b=2 c=3 list=[3, {\"k\": 2}] ");
  EXPECT_EQ(let(R"j({"a": "$b", "b": "$(c+1)", "c": "$a"})j"), "model.json:1:33: error: \"a\" is defined by itself: a -> b -> c -> a\n");
  EXPECT_EQ(let(R"({"a": "$a"})"), "model.json:1:7: error: \"a\" is defined by itself: a -> a\n");
}

// Each name twice the one before: 2^60 values, if they were made.
TEST(Expression, NamesDoNotGrowWithoutEnd) {
  std::string text = R"({"a0": [1, 1])";
  for (int i = 1; i < 60; ++i)
    text += fmt::format(R"(, "a{}": ["$a{}", "$a{}"])", i, i - 1, i - 1);
  std::string message = let(text + "}");
  EXPECT_NE(message.find("makes this too large: names may bring in 1024 values here, and 65536 all over \"let\""), std::string::npos) << message;
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1);

  Environment wide;
  wide.values.emplace("w", Json(Json::List(1023, Json(int64_t{1}, Position{})), Position{}));
  Diagnostics diagnostics;
  EXPECT_TRUE(resolve(Json(std::string("$w"), Position{1, 1}), wide, diagnostics));
  EXPECT_FALSE(resolve(Json(Json::List(2, Json(std::string("$w"), Position{1, 2})), Position{1, 1}), wide, diagnostics));
}

} // namespace
