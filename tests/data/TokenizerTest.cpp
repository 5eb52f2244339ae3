// Tokenizers that moec learns, and what is said of files and texts that are wrong.

#include "runtime/data/Tokenizer.h"
#include "runtime/core/Error.h"
#include "runtime/data/Shipped.h"
#include "runtime/data/TextStream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>
#include <thread>

namespace moec::data {
namespace {

using Json = nlohmann::json;

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

const std::vector<std::string> kOddTexts{"",
                                         " ",
                                         "\n",
                                         "\n\n\n",
                                         "  two  spaces, \t\ttabs\t \n and\r\nlines \n",
                                         "   ",
                                         "Gr\u00f6\u00dfe, \u65e5\u672c\u8a9e, \U0001F600 \U0001F468\u200d\U0001F469\u200d\U0001F467",
                                         "e\u0301 \u00e9 \ufb01 \uff21 \u2460", // as they are: nothing is normalized
                                         std::string("zero \0 byte", 11),
                                         "\u2585\u2585 \ufeff \u200b <unk> <0x41> </s>",
                                         std::string(10000, 'a'),
                                         std::string(500, ' ') + "x",
                                         "To be, or not to be: that is the question:\nWhether 'tis nobler in the mind to suffer\n"};

TEST(Bytes, AreTheirValues) {
  auto tokenizer = byteTokenizer();
  EXPECT_EQ(tokenizer->vocabulary(), 256);
  EXPECT_EQ(tokenizer->encode("a\xC3\xA9\n"), (std::vector<int64_t>{97, 0xC3, 0xA9, 10}));
  EXPECT_EQ(tokenizer->decode(std::vector<int64_t>{0xFF, 0, 65}), std::string("\xFF\0A", 3));
  EXPECT_EQ(tokenizer->endOfText(), std::nullopt);
  EXPECT_EQ(tokenizer->fileName(), "");
  EXPECT_EQ(tokenizer->fileBytes(), "");
  EXPECT_THAT(errorOf(Fault::Usage, [&] { tokenizer->decode(std::vector<int64_t>{256}); }),
              testing::HasSubstr("token 256: the tokenizer's ids lie from 0 to 255"));
}

TEST(LearnSentencePiece, DecodesWhatItEncoded) {
  auto tokenizer = learnSentencePiece(shakespeare().substr(0, 100000), 1000);
  EXPECT_EQ(tokenizer->vocabulary(), 1000);
  EXPECT_EQ(tokenizer->describe(), "SentencePiece unigram model of 1000 pieces");
  for (const std::string& text : kOddTexts)
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  auto ids = tokenizer->encode(shakespeare());
  EXPECT_EQ(tokenizer->decode(ids), shakespeare());
  EXPECT_LT(ids.size(), shakespeare().size() / 2); // pieces of more than two characters, as a mean
  for (int64_t id : ids)
    ASSERT_TRUE(id >= 0 && id < tokenizer->vocabulary());
  // A space of its own is the one thing that is not kept.
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\u2581b")), "a b");
}

TEST(LearnSentencePiece, IsTheSameForTheSameTextAndReadsAgain) {
  std::string_view text = shakespeare().substr(0, 40000);
  auto first = learnSentencePiece(text, 600), second = learnSentencePiece(text, 600);
  EXPECT_EQ(first->fileBytes(), second->fileBytes());
  auto read = parseTokenizer(first->fileBytes(), first->fileName());
  EXPECT_EQ(read->fileBytes(), first->fileBytes());
  EXPECT_EQ(read->encode(text), first->encode(text));
  EXPECT_NE(learnSentencePiece(shakespeare().substr(1, 40000), 600)->fileBytes(), first->fileBytes());
}

TEST(LearnSentencePiece, LinesAreEncodedAlone) {
  auto tokenizer = learnSentencePiece(shakespeare().substr(0, 40000), 600);
  auto a = tokenizer->encode("First line"), newline = tokenizer->encode("\n"), b = tokenizer->encode(" second\tline");
  ASSERT_EQ(newline.size(), 1u);
  std::vector<int64_t> joined = a;
  joined.push_back(newline[0]);
  joined.insert(joined.end(), b.begin(), b.end());
  EXPECT_EQ(tokenizer->encode("First line\n second\tline"), joined);
}

TEST(LearnSentencePiece, LongLinesAreLearntFromToo) {
  // One line of 100 KB: stems of its end are pieces as those of its beginning are.
  std::string text;
  for (std::string stem : {" marvell", " tremend"})
    for (int i = 0; i < 26 * 26 * 8; ++i)
      text += stem + static_cast<char>('a' + i % 26) + static_cast<char>('a' + i / 26 % 26);
  auto tokenizer = learnSentencePiece(text, 300);
  EXPECT_LE(tokenizer->encode(" marvellous").size(), 5u);
  EXPECT_LE(tokenizer->encode(" tremendous").size(), 5u);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(LearnSentencePiece, RareCharactersAreBytes) {
  // 3000 ideographs, once each, in a vocabulary of 700: the bytes take those that have no room.
  std::string text(shakespeare().substr(0, 30000)), rare;
  for (int code = 0x4E00; code < 0x4E00 + 3000; ++code) {
    rare += static_cast<char>(0xE0 | code >> 12);
    rare += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    rare += static_cast<char>(0x80 | (code & 0x3F));
  }
  auto tokenizer = learnSentencePiece(text + "\n" + rare, 700);
  EXPECT_EQ(tokenizer->vocabulary(), 700);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(rare)), rare);
}

TEST(LearnSentencePiece, SmallVocabulariesHaveNoBytes) {
  auto tokenizer = learnSentencePiece(shakespeare().substr(0, 20000), 120);
  EXPECT_EQ(tokenizer->vocabulary(), 120);
  std::string_view text = shakespeare().substr(0, 3000);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\u65e5b")), "a\uFFFDb");
}

TEST(LearnSentencePiece, TextsThatAreTooSmall) {
  EXPECT_THAT(errorOf(Fault::Data, [] { learnSentencePiece(shakespeare(), 20); }), testing::HasSubstr("a vocabulary of 20 is too small for a text of"));
  EXPECT_THAT(errorOf(Fault::Data, [] { learnSentencePiece("", 1000); }), testing::HasSubstr("without a character"));
  EXPECT_THAT(errorOf(Fault::Data, [] { learnSentencePiece("\n\n", 1000); }), testing::HasSubstr("without a character"));
  EXPECT_THAT(errorOf(Fault::Data, [] { learnSentencePiece("a\xFF", 1000); }), testing::HasSubstr("not UTF-8 at byte 1, 0xff"));
  // Little text gives fewer pieces than were asked for, or says so; it never ends the process.
  for (std::string text : {"a", "ab", " ", "a a a", "abcabcabc", "\t", "\u2585", "a\nb\nc"})
    try {
      auto tokenizer = learnSentencePiece(text, 1000);
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Data) << error.what();
    }
}

TEST(LearnSentencePiece, NothingIsPrinted) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  learnSentencePiece(shakespeare().substr(0, 20000), 500);
  EXPECT_THROW(parseTokenizer("nonsense", "f"), Error);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(Tokenizers, EncodeFromSeveralThreads) {
  auto tokenizer = learnSentencePiece(shakespeare().substr(0, 40000), 600);
  auto expected = tokenizer->encode(shakespeare().substr(0, 20000));
  std::vector<std::vector<int64_t>> got(4);
  std::vector<std::thread> threads;
  for (auto& ids : got)
    threads.emplace_back([&] { ids = tokenizer->encode(shakespeare().substr(0, 20000)); });
  for (std::thread& thread : threads)
    thread.join();
  for (auto& ids : got)
    EXPECT_EQ(ids, expected);
}

// A tokenizer.json of words, to be made wrong.
Json small() {
  return Json::parse(
      R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{"id": 3, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
    "normalized": false, "special": true}], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1, "b": 2}, "unk_token": "<unk>"}})");
}

TEST(TokenizerJson, Small) {
  auto tokenizer = parseTokenizer(small().dump(2), "t.json");
  EXPECT_EQ(tokenizer->vocabulary(), 4);
  EXPECT_EQ(tokenizer->endOfText(), 3);
  EXPECT_EQ(tokenizer->encode("a b\nc a</s>b"), (std::vector<int64_t>{1, 2, 0, 1, 3, 2}));
  EXPECT_EQ(tokenizer->decode(std::vector<int64_t>{1, 3, 2}), "a b");
  EXPECT_EQ(tokenizer->describe(), "tokenizer.json: list of words of 4 tokens");
}

TEST(TokenizerJson, PostProcessorTruncationAndPaddingAreLeftOut) {
  Json json = small();
  json["post_processor"] = {{"type", "RobertaProcessing"}};
  json["truncation"] = {{"max_length", 1}};
  json["padding"] = {{"strategy", {{"Fixed", 16}}}};
  EXPECT_EQ(parseTokenizer(json.dump(), "t.json")->encode("a b b"), (std::vector<int64_t>{1, 2, 2}));
}

struct Wrong {
  const char* patch; // RFC 7396
  const char* message;
};

TEST(TokenizerJson, WhatIsWrongIsNamed) {
  const Wrong cases[] = {
      {R"json({"version": "2.0"})json", "t.json: version: unknown version \"2.0\"; known is 1.0"},
      {R"json({"extra": 1})json", "t.json: unknown key \"extra\""},
      {R"json({"model": {"type": "Wordlevel"}})json",
       "t.json: model.type: unknown model \"Wordlevel\"; did you mean \"WordLevel\"?; known are BPE, Unigram, WordLevel, WordPiece"},
      {R"json({"model": {"vocab": {"a": -1}}})json", "token \"a\" has the id -1; ids lie from 0"},
      {R"json({"model": {"vocab": {"a": 2}}})json", "the tokens \"a\" and \"b\" both have the id 2"},
      {R"json({"model": {"vocab": {"a": 1.5}}})json", "token \"a\" has the id 1.5; expected an integer"},
      {R"json({"model": {"vocab": 3}})json", "t.json: model.vocab: expected an object; found number"},
      {R"json({"model": {"cased": true}})json", "t.json: model: unknown key \"cased\""},
      {R"json({"model": null})json", "t.json: lacks \"model\""},
      {R"json({"normalizer": {"type": "Uppercase"}})json", "t.json: normalizer.type: unknown normalizer \"Uppercase\"; did you mean \"Lowercase\"?"},
      {R"json({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip", "strip_left": 1}]}})json",
       "t.json: normalizer.normalizers[1].strip_left: expected true or false; found number"},
      {R"json({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAA"}})json", "t.json: normalizer.precompiled_charsmap: no base64"},
      {R"json({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAP///38A"}})json",
       "normalizer.precompiled_charsmap: a damaged table of characters"},
      {R"json({"pre_tokenizer": {"type": "UnicodeScripts"}})json", "t.json: pre_tokenizer.type: unknown pre-tokenizer \"UnicodeScripts\"; known are"},
      {R"json({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false}})json",
       "t.json: pre_tokenizer.pattern.Regex: the regular expression \"(a\": missing closing parenthesis"},
      {R"json({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a(?<n>b)(?P>n)"}, "behavior": "Isolated", "invert": false}})json",
       "such groups are not known here"},
      {R"json({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a-z&&[^b]]"}, "behavior": "Isolated", "invert": false}})json",
       "classes joined by && are not known here"},
      {R"json({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{Klingon}"}, "behavior": "Isolated", "invert": false}})json",
       "\"\\p{Klingon}\" at byte 0 of the regular expression: this property is not known here"},
      {R"json({"pre_tokenizer": {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false}})json",
       "an empty text is found everywhere"},
      {R"json({"pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Merged", "invert": false}})json",
       "t.json: pre_tokenizer.behavior: unknown behavior \"Merged\""},
      {R"json({"pre_tokenizer": {"type": "Metaspace", "replacement": "xy"}})json", "t.json: pre_tokenizer.replacement: expected one character; found \"xy\""},
      {R"json({"decoder": {"type": "CTC"}})json", "t.json: decoder.type: unknown decoder \"CTC\"; known are"},
      {R"json({"added_tokens": [{"id": 3}]})json", "t.json: added_tokens[0]: lacks \"content\""},
      {R"json({"added_tokens": [{"id": 1, "content": "x", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]})json",
       "\"x\" has the id 1, which the model's vocabulary has for \"a\""},
      {R"json({"model": {"type": "BPE", "unk_token": null, "merges": ["a b"]}})json", "t.json: model.merges[0]: the vocabulary lacks \"ab\""},
      {R"json({"model": {"type": "BPE", "unk_token": null, "merges": ["ab"]}})json",
       "t.json: model.merges[0]: expected two tokens with one space between; found \"ab\""},
      {R"json({"model": {"type": "BPE", "unk_token": null, "merges": [["a", 1]]}})json", "t.json: model.merges[0]: expected two tokens"},
      {R"json({"model": {"type": "BPE", "unk_token": null, "merges": [], "dropout": 0.1}})json",
       "t.json: model.dropout: merges that are left out by chance are not known here"},
      {R"json({"model": {"type": "Unigram", "unk_token": null, "vocab": [["a", -1]], "unk_id": 1}})json",
       "t.json: model.unk_id: expected an integer from 0 to 0; found 1"},
      {R"json({"model": {"type": "Unigram", "unk_token": null, "vocab": [["a", "x"]]}})json", "t.json: model.vocab[0]: expected a token and its score"},
  };
  for (const Wrong& wrong : cases) {
    Json json = small();
    json.merge_patch(Json::parse(wrong.patch));
    EXPECT_THAT(errorOf(Fault::Data, [&] { parseTokenizer(json.dump(), "t.json"); }), testing::HasSubstr(wrong.message)) << wrong.patch;
  }
  EXPECT_THAT(errorOf(Fault::Data, [&] { parseTokenizer("{\"version\": ", "t.json"); }), testing::HasSubstr("t.json: not JSON: "));
  std::string deep = R"({"type": "Lowercase"})";
  for (int i = 0; i < 200; ++i)
    deep = R"({"type": "Sequence", "normalizers": [)" + deep + "]}";
  Json json = small();
  json["normalizer"] = Json::parse(deep);
  EXPECT_THAT(errorOf(Fault::Data, [&] { parseTokenizer(json.dump(), "t.json"); }), testing::HasSubstr("sequences lie more than 16 deep inside each other"));
}

TEST(TokenizerJson, TextsThatAreWrong) {
  Json json = small();
  auto tokenizer = parseTokenizer(json.dump(), "t.json");
  EXPECT_THAT(errorOf(Fault::Data, [&] { tokenizer->encode("ab\xC3"); }), testing::HasSubstr("not UTF-8 at byte 2, 0xc3"));
  EXPECT_THAT(errorOf(Fault::Usage, [&] { tokenizer->decode(std::vector<int64_t>{4}); }), testing::HasSubstr("token 4: the tokenizer's ids lie from 0 to 3"));
  EXPECT_THAT(errorOf(Fault::Usage, [&] { tokenizer->decode(std::vector<int64_t>{-1}); }), testing::HasSubstr("token -1"));
  // Nothing is left out in silence where a tokenizer has no token for what it does not know.
  json["model"]["unk_token"] = "none";
  EXPECT_THAT(errorOf(Fault::Data, [&] { parseTokenizer(json.dump(), "t.json")->encode("a c"); }),
              testing::HasSubstr("no token for \"c\", and none for what it does not know"));
}

TEST(TokenizerJson, ModelsWithoutTypes) {
  Json json = small();
  json["model"].erase("type");
  EXPECT_EQ(parseTokenizer(json.dump(), "t.json")->describe(), "tokenizer.json: list of words of 4 tokens");
  json["model"]["continuing_subword_prefix"] = "##";
  json["model"]["max_input_chars_per_word"] = 10;
  EXPECT_EQ(parseTokenizer(json.dump(), "t.json")->describe(), "tokenizer.json: WordPiece model of 4 tokens");
  json["model"] = {
      {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}, {"unk_token", ""}, {"continuing_subword_prefix", ""}, {"end_of_word_suffix", ""}};
  EXPECT_EQ(parseTokenizer(json.dump(), "t.json")->describe(), "tokenizer.json: byte-pair encoding of 4 tokens");
  EXPECT_EQ(parseTokenizer(json.dump(), "t.json")->encode("aab"), (std::vector<int64_t>{0, 2}));
  json["model"] = Json::parse(R"({"vocab": [["<unk>", 0], ["a", -1]], "unk_id": 0})");
  EXPECT_EQ(parseTokenizer(json.dump(), "t.json")->describe(), "tokenizer.json: unigram model of 4 tokens");
}

TEST(SentencePiece, DamagedModels) {
  std::string bytes = learnSentencePiece(shakespeare().substr(0, 20000), 500)->fileBytes();
  EXPECT_THAT(errorOf(Fault::Data, [&] { parseTokenizer("", "x.model"); }), testing::StartsWith("x.model: "));
  EXPECT_THAT(errorOf(Fault::Data, [&] { parseTokenizer("no model at all", "x.model"); }),
              testing::StartsWith("x.model: neither a SentencePiece model nor a tokenizer.json"));
  EXPECT_THAT(errorOf(Fault::Data, [&] { parseTokenizer(bytes.substr(0, bytes.size() - 7), "x.model"); }), testing::StartsWith("x.model: "));
  EXPECT_THAT(errorOf(Fault::Data, [&] { openTokenizer("/nowhere/x.model"); }), testing::HasSubstr("/nowhere/x.model"));
}

TEST(TextStream, CutsBetweenCharacters) {
  std::string text = "Gr\u00f6\u00dfe \u65e5\u672c \U0001F600!\n";
  auto learnt = learnSentencePiece(shakespeare().substr(0, 20000), 520);
  for (const TokenizerPtr& tokenizer : {byteTokenizer(), learnt}) {
    TextStream stream(tokenizer);
    std::string all;
    for (int64_t id : tokenizer->encode(text)) {
      std::string part = stream.add(id);
      EXPECT_NO_THROW(learnt->encode(part)) << "no UTF-8";
      all += part;
    }
    all += stream.finish();
    EXPECT_EQ(all, text);
  }
}

TEST(TextStream, KeepsSpacesBetweenWordsAndTheFirstOut) {
  // A decoder that leaves out the first space of a text.
  Json json = small();
  json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}};
  json["decoder"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}};
  json["model"]["vocab"] = {{"<unk>", 0}, {"\u2581one", 1}, {"\u2581two", 2}};
  auto tokenizer = parseTokenizer(json.dump(), "t.json");
  TextStream stream(tokenizer);
  std::string all;
  for (int64_t id : {1, 2, 3, 2, 1}) // 3: no text
    all += stream.add(id) + "|";
  EXPECT_EQ(all + stream.finish(), "one| two|| two| one|");
}

TEST(TextStream, BytesThatAreNoCharacterAreReplaced) {
  TextStream stream(byteTokenizer());
  EXPECT_EQ(stream.add('a'), "a");
  EXPECT_EQ(stream.add(0xFF), "\uFFFD");
  EXPECT_EQ(stream.add(0xE2), "");
  EXPECT_EQ(stream.add(0x82), "");
  EXPECT_EQ(stream.add('b'), "\uFFFDb");
  EXPECT_EQ(stream.add(0xC3), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

} // namespace
} // namespace moec::data
