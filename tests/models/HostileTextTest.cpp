// Model files made to hurt: numbers that nothing holds, bytes that are no text, names that are paths or steer a terminal, sizes that would take all memory.

#include "models/Expression.h"
#include "models/json/Parse.h"
#include "models/json/Words.h"
#include "runtime/core/Printable.h"

#include <gtest/gtest.h>

using namespace moec;
using namespace moec::models;

namespace {

std::string errors(const std::string& text) {
  Diagnostics diagnostics;
  EXPECT_FALSE(parseJson(text, diagnostics)) << text;
  return diagnostics.text();
}

/// Every text is refused with one error, here.
void expectAt(const std::string& text, int line, int column, const std::string& says = "") {
  Diagnostics diagnostics;
  EXPECT_FALSE(parseJson(text, diagnostics)) << text;
  ASSERT_EQ(diagnostics.entries().size(), 1u) << diagnostics.text();
  EXPECT_EQ(diagnostics.entries()[0].position, (Position{line, column})) << diagnostics.text();
  EXPECT_NE(diagnostics.text().find(says), std::string::npos) << diagnostics.text();
}

TEST(HostileText, NumbersBeyondAnyType) {
  for (const char* number : {"9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999999"})
    expectAt(std::string("{\n \"a\": ") + number + "}", 2, 7, std::string("the integer ") + number + " does not fit into 64 bits");
  expectAt("[" + std::string(100000, '7') + "]", 1, 2, "number overflow");
  for (const char* number : {"1e999", "-1e999", "1e99999999999999999999"})
    expectAt(std::string("[0,\n") + number + "]", 2, 1, "number overflow");
  for (const char* number : {"01", "+1", ".5", "5.", "1e", "0x10", "Infinity", "-", "--1", "1_000"})
    errors(std::string("[") + number + "]");
  Diagnostics diagnostics;
  EXPECT_TRUE(parseJson("[1e-999, -0, 1e308]", diagnostics)); // these are numbers
}

TEST(HostileText, BytesThatAreNoText) {
  for (const char* bytes : {"\xFF", "\x80", "\xC0\x80", "\xC3", "\xE2\x82", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xF0\x80\x80\x80"}) {
    std::string message = errors(std::string("{\"na") + bytes + "me\": 1}");
    EXPECT_NE(message.find("model.json:1:"), std::string::npos);
    EXPECT_FALSE(hasControls(message.substr(0, message.size() - 1))) << message;
  }
  for (const char* escape : {"\\ud800", "\\udc00", "\\ud800\\u0041", "\\ud800\\ud800", "\\u12", "\\x41", "\\"})
    errors(std::string("[\"") + escape + "\"]");
  expectAt(std::string("[\"a\0b\"]", 7), 1, 4);
  expectAt(std::string("[\0]", 3), 1, 2);
  expectAt("[\"a\x1b[31m\"]", 1, 4);
  expectAt("[\"a\nb\"]", 1, 4);
  expectAt("\xEF\xBB\xBF\xEF\xBB\xBF[]", 1, 1); // one byte order mark, not two
  errors("\xEF\xBB[]");
  expectAt(std::string("[1]\0 and more", 13), 1, 4, "a zero byte"); // not the end
  errors(std::string("\xFF\xFE[\0]\0", 6));                         // UTF-16
}

TEST(HostileText, KnownWordsOfAFileNeitherSteerATerminalNorFillIt) {
  std::vector<std::string> known{"a", "di\x7fm", "b\x1b[31m\n"};
  EXPECT_EQ(joined(known), "a, di\\u007fm, b\\u001b[31m\\u000a");
  EXPECT_EQ(suggestion("dim", known), "; did you mean \"di\\u007fm\"? known: " + joined(known));
  std::vector<std::string> many(100000, std::string(1000, 'x'));
  EXPECT_LT(unknownWord("name", "y", many).size(), 30000u);
}

TEST(HostileText, NamesOfLetInMessages) {
  for (const char* text : {R"j({"a\u001b[31m": "$c", "b": 1})j", R"j({"\u0007": "$b", "b": "$b"})j", R"j({"a\u007f": "$(b+1)", "b": "$c"})j"}) {
    Diagnostics diagnostics;
    std::optional<Json> let = parseJson(text, diagnostics);
    ASSERT_TRUE(let) << text;
    EXPECT_FALSE(evaluateLet(*let, diagnostics)) << text;
    ASSERT_FALSE(diagnostics.entries().empty()) << text;
    for (const Diagnostics::Entry& entry : diagnostics.entries())
      EXPECT_FALSE(hasControls(entry.message)) << entry.message;
  }
}

TEST(HostileText, DuplicateKeys) {
  expectAt("{\"a\": 1, \"a\": 1}", 1, 10, "written twice");
  expectAt("{\"a\": 1, \"\\u0061\": 1}", 1, 10, "written twice"); // the same key, spelt otherwise
  expectAt("{\"b\": {\"a\": 1,\n\"a\": 1}}", 2, 1, "written twice");
}

TEST(HostileText, DepthEndsEarly) {
  for (const char* open : {"[", "{\"a\":", "[{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 100000; ++i)
      text += open;
    EXPECT_NE(errors(text).find("more than 256 levels deep"), std::string::npos);
  }
}

TEST(HostileText, MessagesDoNotSteerATerminal) {
  EXPECT_EQ(printable("a\x1b[31mb\r\x07\x7f\n\tc"), "a\\u001b[31mb\\u000d\\u0007\\u007f\n\\u0009c");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m \xE2\x80\xAE \xE2\x81\xA6"),
            "\\u009b31m \\u202e \\u2066"); // CSI of one character, marks of direction
  EXPECT_EQ(printable("\x9B \xFF \xC3"), "\\x9b \\xff \\xc3");
  EXPECT_EQ(printable("\xED\xA0\x80 \xF4\x90\x80\x80 \xC0\xAF"), "\\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xc0\\xaf");
  EXPECT_EQ(printable("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"), "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80");
  EXPECT_EQ(inQuotes("a\x1b\"\n\xFF"), "\"a\\u001b\\\"\\u000a\\xff\"");
  EXPECT_TRUE(hasControls(std::string("a\0b", 3)));
  EXPECT_TRUE(hasControls("\xC2\x85"));
  EXPECT_TRUE(hasControls("\xFF"));
  EXPECT_FALSE(hasControls("\xC3\xA9 a/b"));
}

TEST(HostileText, LongNamesGiveShortMessages) {
  std::string message = errors("{\"" + std::string(1 << 20, 'a') + "\": 1, \"" + std::string(1 << 20, 'a') + "\": 2}");
  EXPECT_LT(message.size(), 300u);
  EXPECT_LT(errors("[\"" + std::string(1 << 20, 'a') + "\x01\"]").size(), 500u);
}

} // namespace
