// `moec train` as a process: its folder, what it prints, an interruption and what goes on after it, mistakes.

#include "tests/cli/JsonSchema.h"
#include "tests/cli/Process.h"

#include <csignal>
#include <fcntl.h>
#include <sys/file.h>
#include <thread>

using namespace moec::test;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace {

/// A small model of the digits that ship with moec.
constexpr const char* kModel = R"({
  "name": "small",
  "inputs": {"image": {"shape": ["batch", 3, 32, 32]}, "label": {"shape": ["batch"], "dtype": "i64", "for": "loss"}},
  "let": {"dim": 16},
  "model": [
    {"kind": "patch_embedding", "patch": 16, "dim": "$dim"},
    {"kind": "moe", "gate": {"kind": "gshard", "top_k": 2, "capacity": {"train": 1.2, "eval": 2.4}}, "experts": {"kind": "mlp", "count": 4, "hidden": 16, "activation": "gelu"}},
    {"kind": "pool", "mode": "mean"},
    {"kind": "linear", "out": 10, "name": "scores"}
  ],
  "loss": {"kind": "cross_entropy", "scores": "scores", "labels": "label"}
})";

class Train : public CommandTest {
protected:
  std::string model;

  void SetUp() override {
    CommandTest::SetUp();
    shareCompiledKernels();
    model = file("small.json", kModel);
  }

  json printed(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    json found = json::parse(outcome.out, nullptr, false);
    EXPECT_THAT(JsonSchema(json::parse(slurp(fs::path(MOEC_SOURCE) / "docs/schemas/train.json"))).problems(found), IsEmpty());
    return found;
  }

  int64_t stepsIn(const std::string& out) const {
    std::string metrics = slurp(folder / out / "metrics.jsonl");
    int64_t count = 0;
    for (size_t at = 0; (at = metrics.find("\"kind\":\"step\"", at)) != std::string::npos; ++at)
      ++count;
    return count;
  }

  /// Sends a signal when so many steps are done.
  Outcome interrupt(std::vector<std::string> arguments, const std::string& out, int64_t after, int signal) const {
    Running running = start(std::move(arguments));
    for (int i = 0; i < 6000 && stepsIn(out) < after && waitpid(running.process, nullptr, WNOHANG) == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kill(running.process, signal);
    return finish(running);
  }

  std::string checkpointFile(const std::string& out, int64_t step, const std::string& name) const {
    return slurp(folder / out / fmt::format("checkpoints/step-{:08}", step) / name);
  }
};

TEST_F(Train, LeavesAFolderThatTellsAll) {
  json found = printed({"train", "small.json", "--epochs", "2", "--batch", "128", "--tensorboard"});
  EXPECT_EQ(found["out"], "small-training");
  EXPECT_EQ(found["model"], "small");
  EXPECT_EQ(found["data"], "digits (ships with moec)");
  EXPECT_EQ(found["state"], "finished");
  EXPECT_EQ(found["step"], 24) << "1438 records are 12 batches";
  EXPECT_EQ(found["steps"], 24);
  EXPECT_EQ(found["records"], 2 * 1438);
  EXPECT_EQ(found["last"]["records"], 359);
  EXPECT_GT(found["best"]["accuracy"], 0.2);
  EXPECT_EQ(found["checkpoint"], "small-training/checkpoints/step-00000024");
  fs::path out = folder / "small-training";
  EXPECT_EQ(slurp(out / "model.json"), kModel);
  EXPECT_EQ(json::parse(slurp(out / "train.json"))["batch"], 128);
  std::string page = slurp(out / "index.html");
  EXPECT_THAT(page, HasSubstr("of 24, finished"));
  EXPECT_THAT(page, HasSubstr("\"name\":\"moe.gate\",\"experts\":4"));
  int events = 0;
  for (const auto& entry : fs::directory_iterator(out))
    events += entry.path().filename().string().starts_with("events.out.tfevents.");
  EXPECT_EQ(events, 1);

  json inspected = printed({"inspect", "small-training"});
  for (const char* key : {"out", "model", "data", "target", "state", "step", "records", "loss", "last", "best", "checkpoint", "page"})
    EXPECT_EQ(inspected[key], found[key]) << key;

  // What is there is not written over; with more epochs it goes on.
  expectFailure({"train", "small.json", "--batch", "128"}, 2,
                "small-training holds a training, up to step 24: go on with `moec train --resume small-training`");
  Outcome more = moec({"train", "small-training", "--resume", "--epochs", "3"});
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_THAT(more.out, HasSubstr("small on digits"));
  EXPECT_THAT(more.out, HasSubstr("finished after 36 steps"));
  EXPECT_THAT(more.out, HasSubstr("best validation loss"));
  EXPECT_THAT(more.err, HasSubstr("moec: step 36: validation loss"));
  EXPECT_EQ(stepsIn("small-training"), 36);
  std::string longer = slurp(out / "index.html");
  EXPECT_THAT(longer, HasSubstr("of 36, finished"));
  EXPECT_THAT(longer, HasSubstr("\"step\":[1,2,3,4,5,6,")) << "the steps before it too";

  // Another model is another training.
  std::string changed = file("small.json", std::string(kModel).replace(std::string(kModel).find("\"gelu\""), 6, "\"relu\""));
  expectFailure({"train", "small.json", "--resume", "--epochs", "4"}, 1, "small-training/checkpoints/step-00000036");
  EXPECT_EQ(slurp(out / "model.json"), kModel);
}

constexpr const char* kLanguageModel = R"({
  "name": "language",
  "inputs": {"ids": {"shape": ["batch", 16], "dtype": "i64"}, "next": {"shape": ["batch", 16], "dtype": "i64", "for": "loss"}},
  "model": [{"kind": "embedding", "vocabulary": 256, "dim": 8}, {"kind": "linear", "out": 256, "name": "scores"}],
  "loss": {"kind": "cross_entropy", "scores": "scores", "labels": "next"}
})";

// Which of two inputs of ids a text's targets are follows from what the loss alone needs.
TEST_F(Train, OfALanguageModelTheTextThatShips) {
  std::string text = file("language.json", kLanguageModel);
  json found = printed({"train", text, "--tokenizer", "bytes", "--steps", "2", "--validation", "0"});
  EXPECT_EQ(found["data"], "shakespeare (ships with moec)");
  EXPECT_EQ(found["step"], 2);
}

TEST_F(Train, GoesOnWithoutTheFileOfItsTokenizer) {
  std::string model = file("language.json", kLanguageModel), words;
  for (int i = 0; i < 100; ++i)
    words += "a b ";
  // A name that begins like the word for a tokenizer to be learnt.
  std::string tokenizer = file("sentencepiece.json", R"({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "b": 1}}})");
  std::vector<std::string> first{"train", model, "--data", file("words.txt", words), "--tokenizer", "sentencepiece.json", "--out", "spoken"};
  first.insert(first.end(), {"--validation", "0", "--steps", "2", "--quiet"});
  Outcome begun = moec(first);
  ASSERT_EQ(begun.code, 0) << begun.err;
  EXPECT_EQ(json::parse(slurp(folder / "spoken/train.json"))["tokenizer"], (folder / "sentencepiece.json").string());
  fs::remove(tokenizer);
  Outcome more = moec({"train", "spoken", "--resume", "--steps", "3", "--quiet"});
  EXPECT_EQ(more.code, 0) << more.err;
  expectFailure({"train", "spoken", "--resume", "--tokenizer", "absent.json", "--steps", "4"}, 1, "absent.json: cannot read: No such file or directory");
}

TEST_F(Train, RecordsChoicesAndReplaysThem) {
  std::vector<std::string> first{"train", "small.json", "--out", "first", "--steps", "4", "--batch", "256", "--record", "choices.bin", "--quiet"};
  ASSERT_EQ(moec(first).code, 0);
  Outcome replayed = moec({"train", "small.json", "--out", "second", "--steps", "4", "--batch", "256", "--replay", "choices.bin", "--quiet"});
  ASSERT_EQ(replayed.code, 0) << replayed.err;
  EXPECT_EQ(checkpointFile("second", 4, "weights.safetensors"), checkpointFile("first", 4, "weights.safetensors"));
  EXPECT_EQ(json::parse(slurp(folder / "first/train.json"))["record"], (folder / "choices.bin").string());
  // What was said goes on: more steps are recorded, and there is nothing to replay for them.
  ASSERT_EQ(moec({"train", "first", "--resume", "--steps", "6", "--quiet"}).code, 0);
  EXPECT_EQ(moec({"train", "second", "--resume", "--steps", "6", "--quiet"}).code, 0);
  EXPECT_EQ(checkpointFile("second", 6, "weights.safetensors"), checkpointFile("first", 6, "weights.safetensors"));
  expectFailure({"train", "second", "--resume", "--steps", "7"}, 1, "choices.bin: it ends behind step 6, and has no choices of gate 'moe.gate' in step 7");
  expectFailure({"train", "small.json", "--out", "third", "--record", "small.json"}, 2, "--record would write over the model");
  expectFailure({"train", "small.json", "--out", "third", "--record", "new.bin", "--replay", "new.bin"}, 2, "--record would write over --replay");
  expectFailure({"train", "small.json", "--out", "third", "--non-finite", "eror"}, 2, "did you mean \"error\"");
}

TEST_F(Train, GoesOnAfterASignalToTheBit) {
  int64_t last = 0;
  for (auto [signal, out] : {std::pair(SIGINT, "first"), std::pair(SIGTERM, "second")}) {
    Outcome stopped = interrupt({"train", "small.json", "--out", out, "--steps", "1000000", "--batch", "32", "--evaluate-every", "1000000"}, out, 5, signal);
    EXPECT_EQ(stopped.code, 75) << stopped.err;
    EXPECT_THAT(stopped.out, HasSubstr("interrupted after"));
    EXPECT_THAT(stopped.err, HasSubstr(fmt::format("go on with: moec train --resume {}", out)));
    int64_t steps = stepsIn(out);
    EXPECT_GE(steps, 5);
    EXPECT_EQ(printed({"inspect", out})["state"], "interrupted");
    if (last == 0)
      last = steps + 20;
    else if (steps > last)
      continue; // it was slow to hear it
    json found = printed({"train", "--resume", out, "--steps", std::to_string(last)});
    EXPECT_EQ(found["step"], last);
  }
  json whole =
      printed({"train", "small.json", "--out", "whole", "--steps", std::to_string(last), "--batch", "32", "--evaluate-every", "1000000", "--threads", "1"});
  EXPECT_EQ(whole["state"], "finished");
  for (const char* name : {"weights.safetensors", "state.safetensors", "training.json"}) {
    EXPECT_FALSE(checkpointFile("whole", last, name).empty());
    EXPECT_EQ(checkpointFile("first", last, name), checkpointFile("whole", last, name)) << name;
  }
}

TEST_F(Train, ThePageOfATrainingThatFailedSaysSo) {
  expectFailure({"train", "small.json", "--steps", "20", "--batch", "8", "--lr", "1e38", "--checkpoint-every", "1"}, 1, "step ");
  EXPECT_EQ(printed({"inspect", "small-training"})["state"], "failed");
  std::string page = slurp(folder / "small-training/index.html");
  EXPECT_THAT(page, HasSubstr("failed"));
  EXPECT_THAT(page, Not(HasSubstr("under way")));
}

/// What has not begun says nothing in the folder of another training, which another process may write.
TEST_F(Train, ThePageOfATrainingIsNotThatOfOneThatCannotBegin) {
  fs::create_directories(folder / "busy");
  std::string page = file("busy/index.html", "of another training");
  int writing = open((folder / "busy").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(writing, LOCK_EX), 0);
  expectFailure({"train", "small.json", "--out", "busy", "--steps", "2", "--batch", "64"}, 2, "busy: another training is writing there");
  close(writing);
  EXPECT_EQ(slurp(page), "of another training");
}

TEST_F(Train, FlagsWinOverAFile) {
  std::string config = file("settings.json", R"({"batch": 64, "steps": 3, "validation": 0, "seed": 5, "schedule": "cosine", "let": {"dim": 8}})");
  json found = printed({"train", "small.json", "--config", config, "--steps", "2", "--accumulate", "2"});
  EXPECT_EQ(found["steps"], 2);
  EXPECT_EQ(found["records"], 256);
  EXPECT_EQ(found["best"], nullptr) << "nothing is held out";
  json kept = json::parse(slurp(folder / "small-training/train.json"));
  EXPECT_EQ(kept["seed"], 5);
  EXPECT_EQ(kept["schedule"], "cosine");
  EXPECT_EQ(kept["accumulate"], 2);
  EXPECT_EQ(kept["let"]["dim"], 8);
}

TEST_F(Train, MistakesAreNamed) {
  std::string noLoss = file("none.json", R"({"name": "none", "inputs": {"x": {"shape": ["batch", 4]}}, "model": [{"kind": "linear", "out": 2, "name": "y"}]})");
  expectFailure({"train", "none.json"}, 1, "loss");
  EXPECT_FALSE(fs::exists(folder / "none-training"));
  expectFailure({"train", "missing.json"}, 1, "missing.json");
  expectFailure({"train", "small.json", "--batch", "0"}, 2, "--batch 0: expected an integer that is at least 1");
  expectFailure({"train", "small.json", "--schedule", "cosin"}, 2, "did you mean \"cosine\"?");
  expectFailure({"train", "small.json", "--steps", "3", "--epochs", "2"}, 2, "give \"steps\" or \"epochs\"");
  expectFailure({"train", "small.json", "--stride", "2"}, 2, "digits (ships with moec): a stride is for text");
  expectFailure({"train", "small.json", "--let", "dim=x"}, 2, "--let dim: expected an integer, found x");
  expectFailure({"train", "small.json", "--let", "dom=8"}, 1, "dom");
  expectFailure({"train", "small.json", "--resume"}, 2, "small-training holds no training");
  expectFailure({"train", "small.json", "--config", file("c.json", "{\n \"bach\": 3}")}, 1, "c.json:2:2: unknown key \"bach\"; did you mean \"batch\"?");
  expectFailure({"train", "small.json", "--data", "no/where", "--steps", "1"}, 1, "no/where");
  EXPECT_EQ(moec({"compile", "small.json", "-o", "small.moec"}).code, 0);
  expectFailure({"train", "small.moec"}, 2, "small.moec is compiled already; train takes a model");
}

} // namespace
