// The JSON reader: places, limits, what is refused.

#include "models/json/Parse.h"

#include <gtest/gtest.h>

#include <fstream>

using namespace moec::models;

namespace {

Json parse(const std::string& text) {
  Diagnostics diagnostics;
  std::optional<Json> json = parseJson(text, diagnostics);
  EXPECT_TRUE(json) << diagnostics.text();
  return json.value_or(Json());
}

std::string errors(const std::string& text) {
  Diagnostics diagnostics;
  EXPECT_FALSE(parseJson(text, diagnostics)) << text;
  return diagnostics.text();
}

TEST(Json, KeepsPlacesOfValuesAndKeys) {
  Json json = parse("{\"a\": 1,\n  \"b\" : [true, -2.5e1,\n \"x\\\"y\"], \"c\":{}}");
  EXPECT_EQ(json.position(), (Position{1, 1}));
  const Json::Object& members = json.object();
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].keyPosition, (Position{1, 2}));
  EXPECT_EQ(members[0].value.position(), (Position{1, 7}));
  EXPECT_EQ(members[1].keyPosition, (Position{2, 3}));
  EXPECT_EQ(members[1].value.position(), (Position{2, 9}));
  const Json::List& list = members[1].value.list();
  EXPECT_EQ(list[0].position(), (Position{2, 10}));
  EXPECT_EQ(list[1].position(), (Position{2, 16}));
  EXPECT_EQ(list[2].position(), (Position{3, 2}));
  EXPECT_EQ(list[2].string(), "x\"y");
  EXPECT_EQ(members[2].keyPosition, (Position{3, 11}));
  EXPECT_EQ(members[2].value.position(), (Position{3, 15}));
}

// A number is only over when the next byte has been read.
TEST(Json, NumberBeforeAnyByteKeepsItsPlace) {
  for (const char* text : {"[12,3]", "[12]", "[ 12 ]", "[12\n]", "{\"k\":12}"}) {
    Json json = parse(text);
    const Json& number = json.isList() ? json.list()[0] : json.object()[0].value;
    EXPECT_EQ(number.integer(), 12);
    EXPECT_EQ(number.position().column, static_cast<int>(std::string_view(text).find("12")) + 1) << text;
  }
  EXPECT_EQ(parse("  7").position(), (Position{1, 3}));
}

TEST(Json, CountsCharactersNotBytes) {
  Json json = parse("[\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\", 1]");
  EXPECT_EQ(json.list()[1].position(), (Position{1, 9}));
  EXPECT_EQ(parse("\xEF\xBB\xBF[1]").list()[0].position(), (Position{1, 2}));
}

TEST(Json, IntegersAndDoublesStayApart) {
  Json json = parse("[1, 1.0, 1e2, -9223372036854775808, 9223372036854775807]");
  EXPECT_TRUE(json.list()[0].isInteger());
  EXPECT_FALSE(json.list()[1].isInteger());
  EXPECT_FALSE(json.list()[2].isInteger());
  EXPECT_EQ(json.list()[3].integer(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(json.list()[4].integer(), std::numeric_limits<int64_t>::max());
}

TEST(Json, RefusesWithPlaceAndReason) {
  EXPECT_EQ(errors("{\"a\": 1,\n \"a\": 2}"), "model.json:2:2: error: the key \"a\" is written twice in this object\n");
  EXPECT_EQ(errors("[9223372036854775808]"), "model.json:1:2: error: the integer 9223372036854775808 does not fit into 64 bits\n");
  auto starts = [](const std::string& text, const std::string& expected) { EXPECT_EQ(errors(text).substr(0, expected.size()), expected) << text; };
  starts("{\"a\": 1,}", "model.json:1:9: error: this is not JSON: syntax error while parsing object key - unexpected '}'");
  starts("[1,\n 2", "model.json:2:3: error: this is not JSON: syntax error while parsing array - unexpected end of input");
  starts("{\"a\" 1}", "model.json:1:6: error: this is not JSON:");
  starts("", "model.json:1:1: error: this is not JSON:");
  starts("[1] x", "model.json:1:5: error: this is not JSON:");
  starts("[\"\x01\"]", "model.json:1:3: error: this is not JSON:");
  starts("[\"\xFF\"]", "model.json:1:3: error: this is not JSON:");
  starts("[1e999]", "model.json:1:2: error: this is not JSON: number overflow");
  starts("[NaN]", "model.json:1:2: error: this is not JSON:");
  starts("// no\n[]", "model.json:1:1: error: this is not JSON:");
}

TEST(Json, DepthHasALimit) {
  auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  parse(nested(256));
  EXPECT_EQ(errors(nested(257)), "model.json:1:257: error: objects and lists are more than 256 levels deep\n");
  errors(std::string(1 << 20, '['));
}

TEST(Json, SizeHasALimit) {
  std::string text = "[" + std::string(kLargestText - 2, ' ') + "]";
  parse(text);
  EXPECT_EQ(errors(text + " "), "model.json: error: the file has 16777217 bytes; at most 16777216 (16 MiB) are read\n");
}

TEST(Json, LargeFilesAreRefusedUnread) {
  std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "moec-large.json";
  {
    std::ofstream file(path);
  }
  std::filesystem::resize_file(path, uintmax_t{1} << 34); // 16 GiB, no block of it on disk
  Diagnostics diagnostics("large.json");
  EXPECT_FALSE(readText(path, diagnostics));
  EXPECT_EQ(diagnostics.text(), "large.json: error: the file has 17179869184 bytes; at most 16777216 (16 MiB) are read\n");
  std::filesystem::remove(path);
  Diagnostics missing("none.json");
  EXPECT_FALSE(readText(path, missing));
  EXPECT_EQ(missing.text(), "none.json: error: the file cannot be opened: No such file or directory\n");
}

TEST(Json, DiagnosticsAreSortedAndEachOnce) {
  Diagnostics diagnostics("m.json");
  diagnostics.error({3, 1}, "c");
  diagnostics.error({1, 9}, "b");
  diagnostics.error({3, 1}, "c");
  diagnostics.error({1, 2}, "a");
  EXPECT_EQ(diagnostics.text(), "m.json:1:2: error: a\nm.json:1:9: error: b\nm.json:3:1: error: c\n");
}

TEST(Json, DiagnosticsKeepAThousandAndCountTheRest) {
  Diagnostics diagnostics("m.json");
  for (int i = 1; i <= 3000; ++i)
    diagnostics.error({i, 1}, "e");
  EXPECT_TRUE(diagnostics.isFull());
  EXPECT_EQ(diagnostics.entries().size(), 1000u);
  EXPECT_TRUE(diagnostics.text().ends_with("m.json:100:1: error: e\nm.json: error: and 2900 more\n"));
}

} // namespace
