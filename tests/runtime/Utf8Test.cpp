#include "runtime/core/Utf8.h"

#include <gtest/gtest.h>

namespace moec {
namespace {

TEST(Utf8, EveryCharacterReadsAgain) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    std::string text;
    appendUtf8(text, code);
    Utf8Character character = firstCharacter(text);
    bool surrogate = code >= 0xD800 && code < 0xE000;
    ASSERT_EQ(character.valid, !surrogate) << static_cast<uint32_t>(code);
    if (!surrogate) {
      ASSERT_EQ(character.code, code);
      ASSERT_EQ(character.bytes, text.size());
    }
  }
}

TEST(Utf8, WhatIsNoCharacter) {
  const std::string good = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  EXPECT_EQ(firstInvalidByte(good), std::string::npos);
  EXPECT_EQ(firstInvalidByte(good + "\xC3"), good.size());
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
                          "\xE2\x28\xA1", "\xE2\x82"})
    EXPECT_EQ(firstInvalidByte(bad), 0u) << bad;
}

// The Unicode Standard 15.0, tables 3-8 to 3-11: one U+FFFD for each longest beginning of a character, and for each byte that begins none.
TEST(Utf8, Replacements) {
  const std::string mark = "\xEF\xBF\xBD";
  auto marks = [&](int count) {
    std::string result;
    for (int i = 0; i < count; ++i)
      result += mark;
    return result;
  };
  EXPECT_EQ(withReplacements("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), marks(8) + "A");
  EXPECT_EQ(withReplacements("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), marks(8) + "A");
  EXPECT_EQ(withReplacements("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), marks(5) + "A" + marks(2) + "B");
  EXPECT_EQ(withReplacements("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), marks(4) + "A");
  EXPECT_EQ(withReplacements("\xE2\x82\xAC"), "\xE2\x82\xAC");
}

TEST(Utf8, IncompleteTails) {
  EXPECT_EQ(incompleteTail(""), 0u);
  EXPECT_EQ(incompleteTail("ab"), 2u);
  EXPECT_EQ(incompleteTail("a\xE2"), 1u);
  EXPECT_EQ(incompleteTail("a\xE2\x82"), 1u);
  EXPECT_EQ(incompleteTail("a\xE2\x82\xAC"), 4u);
  EXPECT_EQ(incompleteTail("a\xF0\x9F\x98"), 1u);
  EXPECT_EQ(incompleteTail("a\xE2\x28"), 3u); // no character can come of it
  EXPECT_EQ(incompleteTail("a\x82\x82\x82"), 4u);
  EXPECT_EQ(incompleteTail("a\xFF"), 2u);
  EXPECT_EQ(incompleteTail("a\xE0\x80"), 3u);
}

} // namespace
} // namespace moec
