// `moec generate` as a process: from a training's folder, from a model and from a program.

#include "tests/cli/JsonSchema.h"
#include "tests/cli/Process.h"
#include "tests/cli/Speaker.h"

using namespace moec::test;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace {

/// Reads 16 bytes at once.
const Speaker kSpeaker{.vocabulary = 256, .width = 32, .length = 16, .hidden = 32};

class Generate : public CommandTest {
protected:
  void SetUp() override {
    CommandTest::SetUp();
    shareCompiledKernels();
    file("model.json", textOf(kSpeaker));
  }

  /// A training on one sentence, again and again.
  void train(const std::string& sentence, const std::string& out = "run") const {
    std::string text;
    for (int i = 0; i < 300; ++i)
      text += sentence;
    file("text.txt", text);
    Outcome outcome = moec({"train", "model.json", "--data", "text.txt", "--tokenizer", "bytes", "--out", out, "--steps", "120", "--batch", "16", "--lr",
                            "0.01", "--checkpoint-every", "60", "--evaluate-every", "1000", "-q"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }

  json printed(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    json found = json::parse(outcome.out, nullptr, false);
    EXPECT_THAT(JsonSchema(json::parse(slurp(fs::path(MOEC_SOURCE) / "docs/schemas/generate.json"))).problems(found), IsEmpty());
    return found;
  }
};

TEST_F(Generate, ContinuesWhatATrainingLearnt) {
  train("quick w\u00f6rld-"); // each byte tells the next
  Outcome outcome = moec({"generate", "run", "--prompt", "quick w", "--temperature", "0", "--tokens", "39"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  // 39 bytes behind 7 in a context of 16: the text goes on from its last 8 four times, which is said once.
  EXPECT_EQ(outcome.out, "\u00f6rld-quick w\u00f6rld-quick w\u00f6rld-quick w\n");
  std::string notice = "moec: the context of 16 tokens was full: the text went on from its last 8, once or more\n";
  ASSERT_THAT(outcome.err, HasSubstr(notice));
  EXPECT_THAT(outcome.err.substr(outcome.err.find(notice) + notice.size()), Not(HasSubstr("was full")));
  EXPECT_THAT(outcome.err, HasSubstr("moec: 39 tokens in "));
  EXPECT_THAT(outcome.err, HasSubstr("behind a prompt of 7"));
  EXPECT_THAT(outcome.err, HasSubstr("weights of run/checkpoints/step-00000120"));

  json found = printed({"generate", "run", "--prompt-file", file("prompt.txt", "quick w"), "--temperature", "0", "--tokens", "7"});
  EXPECT_EQ(found["prompt"], "quick w");
  EXPECT_EQ(found["text"], "\u00f6rld-q");
  EXPECT_EQ(found["tokens"], json({0xC3, 0xB6, 'r', 'l', 'd', '-', 'q'}));
  EXPECT_EQ(found["prompt_tokens"], 7);
  EXPECT_EQ(found["ended"], false);
  // A character whose end has not come is shown as what it is.
  EXPECT_EQ(printed({"generate", "run", "--prompt", "quick w", "--temperature", "0", "--tokens", "1"})["text"], "\uFFFD");
  // A prompt longer than the context.
  EXPECT_EQ(printed({"generate", "run", "--prompt", "quick w\u00f6rld-quick w\u00f6rld-quick w", "--temperature", "0", "--tokens", "6"})["text"], "\u00f6rld-");

  // The draws are the seed's.
  std::vector<std::string> hot{"generate", "run", "--prompt", "quick", "--temperature", "30", "--tokens", "30", "--seed", "5"};
  json first = printed(hot), again = printed(hot);
  EXPECT_EQ(first["tokens"], again["tokens"]);
  hot.insert(hot.end(), {"--threads", "1"});
  EXPECT_EQ(first["tokens"], printed(hot)["tokens"]);
  hot[hot.size() - 3] = "6";
  EXPECT_NE(first["tokens"], printed(hot)["tokens"]);
  // The best token alone is drawn, however hot.
  EXPECT_EQ(printed({"generate", "run", "--prompt", "quick w", "--temperature", "3", "--top-k", "1", "--tokens", "7"})["text"], "\u00f6rld-q");
  EXPECT_EQ(printed({"generate", "run", "--prompt", "quick w", "--temperature", "3", "--top-p", "0.0001", "--tokens", "7"})["text"], "\u00f6rld-q");

  // The checkpoint that is named.
  EXPECT_THAT(moec({"generate", "run", "--checkpoint", "60", "--tokens", "1"}).err, HasSubstr("weights of run/checkpoints/step-00000060"));
  EXPECT_THAT(moec({"generate", "run", "--checkpoint", "best", "--tokens", "1"}).err, HasSubstr("weights of run/checkpoints/step-00000120"));
  expectFailure({"generate", "run", "--checkpoint", "7"}, 2, "run has no checkpoint of step 7; it has those of 60, 120");
  expectFailure({"generate", "run", "--checkpoint", "first"}, 2, "--checkpoint first: expected last, best or the number of a step");
  expectFailure({"generate", "run", "--checkpoint", "60", "--init", "0"}, 2, "leave one of them out");
  expectFailure({"generate", "run", "--moefy", "experts=2"}, 2, "is trained already");
  expectFailure({"generate", "run", "--context", "17"}, 1, "a context of 17 tokens is asked for, and there are only 16 positions");

  // Windows that begin elsewhere are other data.
  expectFailure({"train", "--resume", "run", "--stride", "5", "--steps", "130"}, 1, "step-00000120 is of another data");

  // The same weights with the model's file, and with a program.
  std::string weights = "run/checkpoints/step-00000120/weights.safetensors";
  EXPECT_EQ(
      printed({"generate", "model.json", "--weights", weights, "--tokenizer", "bytes", "--prompt", "quick w", "--temperature", "0", "--tokens", "7"})["text"],
      "\u00f6rld-q");
  ASSERT_EQ(moec({"compile", "model.json", "--context", "16", "-o", "speaker.moec"}).code, 0);
  EXPECT_EQ(
      printed({"generate", "speaker.moec", "--weights", weights, "--tokenizer", "bytes", "--prompt", "quick w", "--temperature", "0", "--tokens", "7"})["text"],
      "\u00f6rld-q");
  expectFailure({"generate", "speaker.moec", "--weights", weights, "--tokenizer", "bytes", "--context", "8"}, 2, "--context changes how a model is compiled");
  ASSERT_EQ(moec({"compile", "model.json", "-o", "plain.moec"}).code, 0);
  expectFailure({"generate", "plain.moec", "--weights", weights, "--tokenizer", "bytes"}, 2, "generation");
}

// Where it infers, an expert of this model has room for some rows alone.
TEST_F(Generate, InvarianceIsDemandedOfGenerationAlone) {
  std::string model = textOf(kSpeaker);
  const std::string gate = R"({"kind": "top_k", "top_k": 2})";
  ASSERT_NE(model.find(gate), std::string::npos);
  file("tight.json", model.replace(model.find(gate), gate.size(), R"({"kind": "switch", "capacity": {"train": 1, "eval": 1}})"));
  const char* why = "assign shares an expert's capacity out among the rows of a call";
  expectFailure({"inspect", "tight.json", "--invariant"}, 2, why);
  std::vector<std::string> generate{"generate", "tight.json", "--init", "0", "--tokenizer", "bytes", "--tokens", "2", "--invariant"};
  Outcome outcome = moec(generate);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  outcome = moec({"compile", "tight.json", "--context", "16", "--invariant", "-o", "tight.moec"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  generate[1] = "tight.moec";
  outcome = moec(generate);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(moec({"inspect", "tight.moec", "--generate", "--invariant"}).out, HasSubstr("bits        a row's do not depend on its neighbours\n"));
  expectFailure({"inspect", "tight.moec", "--invariant"}, 2, why);
}

TEST_F(Generate, ScoresAreOfTheModelsWidth) {
  for (const char* dtype : {"f64", "bf16"}) {
    Speaker speaker = kSpeaker;
    speaker.more = fmt::format(R"(, "dtype": "{}")", dtype);
    std::string model = file(fmt::format("{}.json", dtype), textOf(speaker));
    json found = printed({"generate", model, "--init", "0", "--tokenizer", "bytes", "--tokens", "3"});
    EXPECT_EQ(found["tokens"].size(), 3u) << dtype;
  }
}

TEST_F(Generate, WhatIsMissing) {
  expectFailure({"generate", "model.json", "--init", "0"}, 2, "model.json does not say what its tokens are: give --tokenizer FILE or --tokenizer bytes");
  expectFailure({"generate", "model.json", "--context", "8", "--tokenizer", "bytes"}, 2, "parameters and no weights: give --weights FILE, or --init SEED");
  expectFailure({"generate", "model.json", "--tokenizer", "bytes", "--checkpoint", "last"}, 2, "--checkpoint is of a training's folder");
  expectFailure({"generate", "model.json", "--tokenizer", "absent.json", "--init", "0"}, 1, "absent.json");
  expectFailure({"generate", "model.json", "--tokenizer", file("bad.json", "{\"version\": \"9\"}"), "--init", "0"}, 1,
                "bad.json: version: unknown version \"9\"");
  expectFailure({"generate", "model.json", "--tokenizer", "bytes", "--init", "0", "--prompt", ""}, 2, "a prompt without a token");
  expectFailure({"generate", "model.json", "--tokenizer", "bytes", "--init", "0", "--temperature", "-1"}, 2, "a temperature of -1");
  expectFailure({"generate", "model.json", "--tokenizer", "bytes", "--init", "0", "--top-p", "0"}, 2, "top_p of 0");
  expectFailure({"generate", "model.json", "--tokenizer", "bytes", "--init", "0", "--prompt-file", "absent.txt"}, 1, "absent.txt");
  fs::create_directories(folder / "empty");
  expectFailure({"generate", "empty"}, 2, "empty holds no training");
  // A tokenizer with more tokens than the model has.
  std::string words;
  for (int i = 0; i < 300; ++i)
    words += fmt::format("{}\"w{}\": {}", i > 0 ? ", " : "", i, i);
  std::string large =
      file("large.json",
           R"({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "unk_token": "w0", "vocab": {)" +
               words + "}}}");
  expectFailure({"generate", "model.json", "--context", "8", "--tokenizer", large, "--init", "0", "--prompt", "w1"}, 2,
                "has a vocabulary of 300, but the model takes ids below 256: it is another model's");
}

TEST_F(Generate, EndsWithTheTokenThatEndsTexts) {
  // Of this vocabulary nothing but the end can be drawn.
  std::string tokenizer = file(
      "end.json",
      R"({"version": "1.0", "added_tokens": [{"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "unk_token": "</s>", "vocab": {"</s>": 0}}})");
  json found = printed({"generate", "model.json", "--context", "8", "--tokenizer", tokenizer, "--init", "0", "--prompt", "x", "--tokens", "9"});
  EXPECT_EQ(found["tokens"], json::array({0}));
  EXPECT_EQ(found["ended"], true);
  EXPECT_EQ(found["text"], "");
}

} // namespace
