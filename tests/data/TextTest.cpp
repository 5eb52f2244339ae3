#include "runtime/data/Text.h"
#include "tests/io/Files.h"

namespace moec::data {
namespace {

using testing::HasSubstr;

template <class Run> std::string errorOf(Fault fault, Run run) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(ReadText, OfAFile) {
  test::Scratch scratch;
  EXPECT_EQ(readText(scratch.file("a.txt", "one\r\ntwo\n")), "one\r\ntwo\n");
  EXPECT_EQ(readText(scratch.file("mark.md", "\xEF\xBB\xBFwith a mark")), "with a mark");
}

TEST(ReadText, OfAFolderByNames) {
  test::Scratch scratch;
  std::filesystem::create_directories(scratch.path("b/deep"));
  scratch.file("b.txt", "third\n");
  scratch.file("a.txt", "first");
  scratch.file("b/deep/x.txt", "fourth\n");
  scratch.file("a2.txt", "");
  scratch.file("other.md", "not this");
  EXPECT_EQ(readText(scratch.path(".")), "first\nthird\nfourth\n");
}

TEST(ReadText, WhatIsWrong) {
  test::Scratch scratch;
  EXPECT_THAT(errorOf(Fault::Data, [&] { readText(scratch.file("bad.txt", "ab\xE9 cd")); }), HasSubstr("bad.txt: no UTF-8 at byte 2, 0xe9"));
  EXPECT_THAT(errorOf(Fault::Data, [&] { readText(scratch.file("empty.txt", "")); }), HasSubstr("empty.txt: no text in it"));
  EXPECT_THAT(errorOf(Fault::Data, [&] { readText(scratch.path("absent.txt")); }), HasSubstr("absent.txt"));
  std::filesystem::create_directories(scratch.path("folder"));
  EXPECT_THAT(errorOf(Fault::Data, [&] { readText(scratch.path("folder")); }), HasSubstr("folder: a folder without *.txt files"));
  scratch.file("folder/nothing.txt", "");
  EXPECT_THAT(errorOf(Fault::Data, [&] { readText(scratch.path("folder")); }), HasSubstr("folder: no text in it"));
}

TEST(TextWindows, TokensAndTargets) {
  auto dataset = textWindows({5, 6, 7, 8, 9, 1, 2, 3}, 10, 3, 2, "corpus.txt");
  ASSERT_EQ(dataset->fields().size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(dataset->fields()[i].name, i == 0 ? "tokens" : "targets");
    EXPECT_EQ(dataset->fields()[i].dtype, DType::I64);
    EXPECT_EQ(dataset->fields()[i].shape, (Shape{3}));
    EXPECT_EQ(dataset->fields()[i].below, 10);
  }
  // Windows of 3 at 0, 2, 4; one at 6 would lack tokens.
  ASSERT_EQ(dataset->size(), 3);
  const std::vector<std::vector<int64_t>> tokens{{5, 6, 7}, {7, 8, 9}, {9, 1, 2}}, targets{{6, 7, 8}, {8, 9, 1}, {1, 2, 3}};
  for (int64_t record = 0; record < 3; ++record) {
    std::vector<int64_t> a(3), b(3);
    std::byte* fields[] = {reinterpret_cast<std::byte*>(a.data()), reinterpret_cast<std::byte*>(b.data())};
    dataset->read(record, fields);
    EXPECT_EQ(a, tokens[static_cast<size_t>(record)]);
    EXPECT_EQ(b, targets[static_cast<size_t>(record)]);
  }
  EXPECT_EQ(dataset->placeOf(1), "corpus.txt: tokens 2 to 5");
  EXPECT_EQ(dataset->describe(), "corpus.txt: 8 tokens in 3 windows of 3");
  std::byte* none[] = {nullptr, nullptr};
  EXPECT_THAT(errorOf(Fault::Usage, [&] { dataset->read(3, none); }), HasSubstr("record 3 of 3"));
}

TEST(TextWindows, DigestsNameWhatIsReadAndHow) {
  std::vector<int64_t> tokens{1, 2, 3, 4, 5, 6};
  std::string digest = textWindows(tokens, 10, 2, 2, "a")->digest();
  EXPECT_EQ(textWindows(tokens, 10, 2, 2, "b")->digest(), digest);
  EXPECT_NE(textWindows(tokens, 11, 2, 2, "a")->digest(), digest);
  EXPECT_NE(textWindows(tokens, 10, 3, 2, "a")->digest(), digest);
  EXPECT_NE(textWindows(tokens, 10, 2, 1, "a")->digest(), digest);
  tokens[3] = 0;
  EXPECT_NE(textWindows(tokens, 10, 2, 2, "a")->digest(), digest);
}

TEST(TextWindows, WhatIsWrong) {
  EXPECT_EQ(textWindows({1, 2, 3}, 4, 2, 9, "t")->size(), 1);
  EXPECT_THAT(errorOf(Fault::Data, [&] { textWindows({1, 2}, 4, 2, 1, "t"); }), HasSubstr("t: 2 tokens are too few for a window of 2"));
  EXPECT_THAT(errorOf(Fault::Data, [&] { textWindows({1, 4, 2}, 4, 1, 1, "t"); }), HasSubstr("t: token 1 is 4, but the vocabulary has 4"));
  EXPECT_THAT(errorOf(Fault::Data, [&] { textWindows({1, -1, 2}, 4, 1, 1, "t"); }), HasSubstr("token 1 is -1"));
  EXPECT_THAT(errorOf(Fault::Usage, [&] { textWindows({1, 2}, 4, 0, 1, "t"); }), HasSubstr("each is at least 1"));
  EXPECT_THAT(errorOf(Fault::Usage, [&] { textWindows({1, 2}, 4, 1, 0, "t"); }), HasSubstr("each is at least 1"));
  EXPECT_THAT(errorOf(Fault::Data, [&] { textWindows({1, 2}, 4, INT64_MAX, 1, "t"); }), HasSubstr("too few"));
}

} // namespace
} // namespace moec::data
