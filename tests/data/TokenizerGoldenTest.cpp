// Tokenizers and their parts against the packages that they come from: tests/goldens/tokenizer_goldens.py.

#include "runtime/data/Tokenizer.h"
#include "runtime/data/tokenizers/Decoders.h"
#include "runtime/data/tokenizers/Normalizers.h"
#include "runtime/data/tokenizers/PreTokenizers.h"

#include <gtest/gtest.h>

#include <fstream>

namespace moec::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kFolder = fs::path(MOEC_SOURCE_DIR) / "tests/goldens/tokenizers";
const std::string kName = "parts.json";

Json readGolden(const std::string& name) {
  std::ifstream stream(kFolder / name);
  return Json::parse(stream);
}

void expectCases(const Tokenizer& tokenizer, const Json& cases) {
  ASSERT_GE(cases.size(), 20u);
  for (const Json& one : cases) {
    auto text = one["text"].get<std::string>();
    auto ids = one["ids"].get<std::vector<int64_t>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer.decode(ids), one["decoded"].get<std::string>()) << text;
  }
}

class TokenizerJsonGolden : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerJsonGolden, IdsAndTexts) {
  Json golden = readGolden(GetParam() + ".json");
  auto tokenizer = parseTokenizer(golden["tokenizer"].dump(), GetParam());
  EXPECT_EQ(tokenizer->fileName(), "tokenizer.json");
  EXPECT_EQ(tokenizer->fileBytes(), golden["tokenizer"].dump());
  expectCases(*tokenizer, golden["cases"]);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerJsonGolden,
                         testing::Values("added", "bpe-gpt2", "bpe-llama2", "bpe-llama3", "bpe-mistral", "bpe-qwen", "bpe-suffix", "unigram-bytes",
                                         "unigram-t5", "wordlevel", "wordpiece-bert", "wordpiece-cased"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(TokenizerJsonParts, Normalizers) {
  Json golden = readGolden(kName);
  for (const Json& part : golden["normalizers"]) {
    Normalizer normalizer = readNormalizer({part["json"], kName});
    for (const Json& one : part["cases"]) {
      Normalized text{one[0].get<std::string>()};
      normalizer(text);
      EXPECT_EQ(text.text, one[1].get<std::string>()) << part["json"].dump().substr(0, 200) << " of " << one[0];
    }
  }
}

TEST(TokenizerJsonParts, PreTokenizers) {
  Json golden = readGolden(kName);
  for (const Json& part : golden["pre_tokenizers"]) {
    PreTokenizer preTokenizer = readPreTokenizer({part["json"], kName});
    for (const Json& one : part["cases"]) {
      std::vector<Piece> pieces{{one[0].get<std::string>(), true, -1}};
      preTokenizer(pieces);
      std::vector<std::string> texts;
      for (const Piece& piece : pieces)
        texts.push_back(piece.text);
      EXPECT_EQ(texts, one[1].get<std::vector<std::string>>()) << part["json"] << " of " << one[0];
    }
  }
}

TEST(TokenizerJsonParts, Decoders) {
  Json golden = readGolden(kName);
  for (const Json& part : golden["decoders"]) {
    Decoder decoder = readDecoder({part["json"], kName});
    for (const Json& one : part["cases"]) {
      auto texts = one[0].get<std::vector<std::string>>();
      decoder(texts);
      std::string joined;
      for (const std::string& text : texts)
        joined += text;
      EXPECT_EQ(joined, one[1].get<std::string>()) << part["json"] << " of " << one[0];
    }
  }
}

TEST(SentencePieceGolden, IdsAndTexts) {
  Json golden = readGolden("models.json");
  for (const auto& [name, model] : golden.items()) {
    SCOPED_TRACE(name);
    auto tokenizer = openTokenizer(kFolder / (name + ".model"));
    EXPECT_EQ(tokenizer->vocabulary(), model["vocabulary"].get<int64_t>());
    EXPECT_EQ(tokenizer->endOfText(), model["end"].get<int64_t>());
    EXPECT_EQ(tokenizer->fileName(), "tokenizer.model");
    expectCases(*tokenizer, model["cases"]);
  }
}

} // namespace
} // namespace moec::data
