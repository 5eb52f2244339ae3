// `moec inspect` of a training's folder, without a compiler: folders written by hand.

#include "tests/cli/JsonSchema.h"
#include "tests/cli/Process.h"

using namespace moec::test;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

class TrainingFolder : public CommandTest {
protected:
  void SetUp() override {
    CommandTest::SetUp();
    fs::create_directories(folder / "out/checkpoints");
    file("out/model.json", R"({"name": "tiny </script>", "inputs": {}})");
    file("out/train.json", R"({"steps": 4, "batch": 8, "data": "/some/where/corpus.txt"})");
    file("out/metrics.jsonl", metrics());
  }

  static std::string metrics() {
    std::string text;
    for (int i = 1; i <= 3; ++i)
      text += fmt::format(
          R"({{"kind":"step","step":{},"epoch":0,"records":8,"loss":{},"learning_rate":0.001,"gradient_norm":1.5,"seconds":0.5,"seconds_waited":0,"tokens_per_second":16,)"
          R"("aux_losses":{{"moe.gate.balance_loss":1.5}},"load":{{"moe.gate":[3,5]}},"dropped":{{"moe.gate":1}}}})"
          "\n",
          i, 1.0 / i);
    text += R"({"kind":"evaluation","step":2,"records":10,"loss":0.25,"accuracy":0.75,"seconds":0.25,"best":true})"
            "\n";
    return text + R"({"kind":"evaluation","step":3,"records":10,"loss":0.5,"accuracy":0.7,"seconds":0.25,"best":false})"
                  "\n";
  }

  json inspected() const {
    Outcome outcome = moec({"inspect", "out", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    json found = json::parse(outcome.out, nullptr, false);
    EXPECT_THAT(JsonSchema(json::parse(slurp(fs::path(MOEC_SOURCE) / "docs/schemas/train.json"))).problems(found), IsEmpty());
    return found;
  }
};

TEST_F(TrainingFolder, IsSummedUp) {
  json found = inspected();
  EXPECT_EQ(found["model"], "tiny </script>");
  EXPECT_EQ(found["data"], "corpus.txt");
  EXPECT_EQ(found["state"], "under way");
  EXPECT_EQ(found["step"], 3);
  EXPECT_EQ(found["steps"], 4);
  EXPECT_EQ(found["records"], 24);
  EXPECT_EQ(found["seconds"], 2);
  EXPECT_EQ(found["best"], (json{{"step", 2}, {"records", 10}, {"loss", 0.25}, {"accuracy", 0.75}}));
  EXPECT_EQ(found["last"]["step"], 3);
  EXPECT_EQ(found["checkpoint"], nullptr);
  Outcome text = moec({"inspect", "out"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.out, "tiny </script> on corpus.txt: under way after 3 of 4 steps, 2 s\n"
                      "training loss         0.3333, of the last step\n"
                      "best validation loss  0.2500, accuracy 75.00 %, at step 2\n"
                      "last validation loss  0.5000, accuracy 70.00 %, at step 3\n"
                      "page                  out/index.html\n");
  std::string page = slurp(folder / "out/index.html");
  EXPECT_THAT(page, HasSubstr("<h1>tiny &lt;/script&gt;</h1>"));
  EXPECT_THAT(page, HasSubstr("<tr><th>batch</th><td>8</td></tr>"));
  EXPECT_THAT(page, HasSubstr("<tr><th>seed</th><td>0</td></tr>"));
  for (const char* unsaid : {"epochs", "patience", "warmup"}) // zeros that nobody gave say nothing
    EXPECT_THAT(page, testing::Not(HasSubstr(fmt::format("<tr><th>{}</th>", unsaid))));
}

TEST_F(TrainingFolder, SaysHowItEnded) {
  for (const auto& [event, state] :
       {std::pair("finished", "finished"), {"early_stop", "stopped early"}, {"interrupted", "interrupted"}, {"failed", "failed"}}) {
    file("out/metrics.jsonl", metrics() + fmt::format(R"({{"kind":"{}","step":3}})", event) + "\n");
    EXPECT_EQ(inspected()["state"], state);
  }
  file("out/metrics.jsonl", metrics() + "{\"kind\":\"interrupted\",\"step\":3}\n{\"kind\":\"resumed\",\"step\":3}\n");
  EXPECT_EQ(inspected()["state"], "under way");
}

TEST_F(TrainingFolder, NamesWhatShipsWithMoec) {
  file("out/train.json", R"({"steps": 4})");
  EXPECT_EQ(inspected()["data"], "what ships with moec") << "nobody has said";
  file("out/metrics.jsonl", R"j({"kind":"begun","step":0,"message":"digits (ships with moec)"})j"
                            "\n" +
                                metrics());
  EXPECT_EQ(inspected()["data"], "digits (ships with moec)");
  EXPECT_EQ(inspected()["state"], "under way");
}

TEST_F(TrainingFolder, WithoutStepsIsEmpty) {
  for (const char* text : {"", "{\"kind\":\"st"}) { // nothing yet; a line that was never finished
    file("out/metrics.jsonl", text);
    json found = inspected();
    EXPECT_EQ(found["step"], 0);
    EXPECT_EQ(found["loss"], nullptr);
    EXPECT_EQ(found["best"], nullptr);
  }
  fs::remove(folder / "out/metrics.jsonl");
  EXPECT_EQ(inspected()["step"], 0);
}

TEST_F(TrainingFolder, DamageIsNamed) {
  file("out/metrics.jsonl", metrics() + "{\"kind\":\"step\",\"st\n" + metrics());
  expectFailure({"inspect", "out"}, 1, "out/metrics.jsonl:6: damaged");
  EXPECT_FALSE(fs::exists(folder / "out/index.html"));
  file("out/metrics.jsonl", metrics());
  file("out/train.json", R"({"stebs": 4})");
  expectFailure({"inspect", "out"}, 1, "out/train.json:1:2: unknown key \"stebs\"; did you mean \"steps\"?");
}

TEST_F(TrainingFolder, OtherFoldersAndFlagsAreRefused) {
  fs::create_directories(folder / "empty");
  expectFailure({"inspect", "empty"}, 2, "empty is the folder of no training: it has no train.json");
  expectFailure({"inspect", "out", "--size", "batch=8"}, 2, "--size is for models and programs; out is a folder");
  expectFailure({"inspect", "out", "--train"}, 2, "--train is for models and programs");
  expectFailure({"run", "out"}, 1, "out: cannot read: Is a directory");
  expectFailure({"train", "out"}, 2, "out is a folder: train takes a model, or with --resume the folder of a training");
  expectFailure({"train", "out", "--resume", "--out", "empty"}, 2, "out goes on where it is: leave out --out empty");
  expectFailure({"train", "empty", "--resume"}, 2, "empty holds no training");
}

} // namespace
