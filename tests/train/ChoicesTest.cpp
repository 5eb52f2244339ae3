// Choices of a training's steps, recorded and replayed; and router logits that are no finite numbers.

#include "runtime/Compile.h"
#include "runtime/Session.h"
#include "runtime/core/Error.h"
#include "runtime/data/Order.h"
#include "runtime/io/SafeTensors.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/ChoiceFile.h"
#include "runtime/train/Metrics.h"
#include "tests/e2e/Support.h"
#include "tests/train/Problem.h"
#include "tests/train/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using testing::Contains;
using testing::HasSubstr;

enum class Use { Plain, Record, Replay, Strict, Everywhere };

Program programOf(const fs::path& file, Use use, bool accumulate) {
  std::ofstream(file) << smallModel();
  CompileOptions options;
  options.targets = {"cpu"};
  options.train = options.statistics = options.evaluate = true;
  options.ofStepsAlone = use != Use::Everywhere;
  options.accumulate = accumulate;
  options.record = use == Use::Record || use == Use::Everywhere;
  options.replay = use == Use::Replay;
  options.nonFinite = use == Use::Strict ? NonFiniteLogits::Error : NonFiniteLogits::Count;
  options.kernelCache = test::sharedKernels();
  return compile(file, options);
}

/// One compiled program for all tests of a use.
struct Compiled {
  explicit Compiled(Use use, bool accumulate = false) : file(folder.path() / "model.json"), program(programOf(file, use, accumulate)) {}
  TemporaryFolder folder;
  fs::path file;
  Program program;
};

const Compiled& compiled(Use use) {
  static std::map<Use, std::unique_ptr<Compiled>> all;
  auto& one = all[use];
  if (!one)
    one = std::make_unique<Compiled>(use);
  return *one;
}

struct Choices : testing::Test {
  TemporaryFolder folder;
  fs::path file = folder.path() / "choices.bin";

  Config config(const std::string& out, const Compiled& compiled) const {
    Config config;
    config.batch = 16;
    config.steps = 12;
    config.schedule.peak = 0.02;
    config.seed = 3;
    config.model = compiled.file;
    config.out = folder.path() / out;
    return config;
  }
  Config recording(const std::string& out = "recorded") const {
    Config some = config(out, compiled(Use::Record));
    some.record = file;
    return some;
  }
  Config replaying(const std::string& out = "replayed") const {
    Config some = config(out, compiled(Use::Replay));
    some.replay = file;
    return some;
  }
};

/// A whole training, or a part of it: it is asked to stop behind step `until`.
Outcome train(Use use, const Config& config, Remembering* told = nullptr, bool resume = false, int64_t until = -1, std::shared_ptr<Points> points = nullptr) {
  Remembering own;
  Remembering& listener = told ? *told : own;
  std::atomic<bool> stop = false;
  listener.afterStep = [&](int64_t step) { stop = step == until; };
  Trainer trainer(compiled(use).program, "cpu", {.threads = 1}, config,
                  {points ? points : std::make_shared<Points>(100), std::make_shared<Points>(40, 2), nullptr, "points"});
  if (resume)
    trainer.resume();
  return trainer.run(listener, stop);
}

/// Without what is said of them: that there is a record, say.
std::map<std::string, std::string> tensorsOf(const fs::path& checkpoint) {
  auto files = filesOf(checkpoint);
  EXPECT_EQ(files.erase("training.json"), 1u);
  return files;
}

std::string bytesOf(const fs::path& path) { return filesOf(path.parent_path()).at(path.filename()); }

std::vector<std::vector<double>> loadsOf(const Remembering& told) {
  std::vector<std::vector<double>> loads;
  for (const StepRecord& step : told.steps)
    loads.push_back(step.load.at("moe.gate"));
  return loads;
}

} // namespace

TEST_F(Choices, AReplayGivesTheBitsOfWhatWasRecorded) {
  Outcome plain = train(Use::Plain, config("plain", compiled(Use::Plain))), recorded = train(Use::Record, recording());
  EXPECT_EQ(bytesOf(recorded.checkpoint / "weights.safetensors"), bytesOf(plain.checkpoint / "weights.safetensors")) << "a record changes nothing";
  EXPECT_EQ(recorded.last->loss, plain.last->loss) << "nor does it to an evaluation";
  Outcome replayed = train(Use::Replay, replaying());
  EXPECT_EQ(tensorsOf(replayed.checkpoint), tensorsOf(recorded.checkpoint));
  EXPECT_EQ(replayed.last->loss, recorded.last->loss);
  ChoiceReader reader(file);
  EXPECT_EQ(reader.header().gates, (std::vector<ChoosingGate>{{"moe.gate", 1, 4}}));
  EXPECT_EQ(reader.last(), 12);
  EXPECT_EQ(reader.read(7, 0)[0].shape(), (Shape{4, 1})) << "the last batch of an epoch has what is left";
}

TEST_F(Choices, AnInterruptedTrainingGoesOnWithItsRecordAndItsReplay) {
  train(Use::Record, recording());
  std::string whole = bytesOf(file);
  train(Use::Record, recording("parts"), nullptr, false, 5); // the file anew
  EXPECT_EQ(ChoiceReader(file).last(), 5);
  // Killed behind the checkpoint: what it had recorded since is done again.
  {
    ChoiceWriter(file, ChoiceReader(file).header(), EarlierRecord{5, ChoiceReader(file).digest()}).add({6, 0, 9, 9, 9}, {Tensor::of<int32_t>({1}, {1, 1})});
  }
  Outcome rest = train(Use::Record, recording("parts"), nullptr, true);
  EXPECT_EQ(bytesOf(file), whole);
  train(Use::Replay, replaying(), nullptr, false, 5);
  Outcome replayed = train(Use::Replay, replaying(), nullptr, true);
  EXPECT_EQ(tensorsOf(replayed.checkpoint), tensorsOf(rest.checkpoint));
  // A training that is recorded from its middle on.
  fs::remove(file);
  train(Use::Record, recording("middle"), nullptr, false, 5);
  fs::remove(file);
  Remembering told;
  // It ends in its first step, without a checkpoint of that; and another time before it.
  struct Killed : Remembering {
    void onStep(const StepRecord&) override { throw Error(Fault::System, "killed"); }
  } killed;
  EXPECT_EQ(problem(Fault::System, [&] { train(Use::Record, recording("middle"), &killed, true); }), "killed");
  EXPECT_EQ(ChoiceReader(file).last(), 6);
  EXPECT_EQ(problem(Fault::System, [&] { train(Use::Record, recording("middle"), &killed, true); }), "killed");
  fs::resize_file(file, ChoiceReader(file, 5).end());
  train(Use::Record, recording("middle"), &told, true);
  EXPECT_THAT(told.notices, Contains(HasSubstr("choices.bin begins with step 6")));
  EXPECT_EQ(ChoiceReader(file).first(), 6);
  EXPECT_THAT(problem(Fault::Data, [&] { train(Use::Replay, replaying("again")); }),
              HasSubstr("choices.bin: it begins with step 6, and has no choices of gate 'moe.gate' in step 1"));
}

// Other weights of the gate and of all else: it goes where the record says, and learns.
TEST_F(Choices, OtherWeightsLearnWithReplayedChoices) {
  Remembering recorded, own, replayed;
  Config long_ = recording();
  long_.steps = 60;
  train(Use::Record, long_, &recorded);
  fs::path weights = folder.path() / "other.safetensors";
  writeSafeTensors(weights, initialWeights(*compiled(Use::Plain).program.plan(compiled(Use::Plain).program.data().plans[0].target, Purpose::Training), 77));
  Config other = config("own", compiled(Use::Plain));
  other.weights = weights;
  other.steps = 1;
  train(Use::Plain, other, &own);
  Config again = replaying();
  again.weights = weights;
  again.steps = 60;
  train(Use::Replay, again, &replayed);
  EXPECT_EQ(loadsOf(replayed), loadsOf(recorded));
  EXPECT_NE(loadsOf(own)[0], loadsOf(recorded)[0]) << "by themselves these weights choose others";
  EXPECT_NE(replayed.steps[0].loss, recorded.steps[0].loss);
  EXPECT_LT(replayed.steps.back().loss, 0.7 * replayed.steps.front().loss);
  Training before(compiled(Use::Plain).program, "cpu");
  before.load(weights);
  TensorMap after = readCheckpoint(checkpointFolder(again.out, 60)).weights;
  EXPECT_NE(before.weight("moe.gate.weight").toDoubles(), after.at("moe.gate.weight").toDoubles()) << "the gate has gradients";
}

TEST_F(Choices, WhatDoesNotFitIsNamedWithStepAndGate) {
  train(Use::Record, recording());
  Config settings = replaying();
  settings.steps = 13;
  EXPECT_THAT(problem(Fault::Data, [&] { train(Use::Replay, settings); }),
              HasSubstr("it ends behind step 12, and has no choices of gate 'moe.gate' in step 13; this training has 13 steps"));
  settings.patience = 50; // it might have ended before
  settings.evaluateEvery = 1000;
  EXPECT_THAT(problem(Fault::Data, [&] { train(Use::Replay, settings); }), HasSubstr("choices.bin: step 13, gate 'moe.gate': it ends behind step 12"));
  EXPECT_EQ(readCheckpoint(checkpointFolder(settings.out, 12)).step, 12) << "what was learnt is kept";
  settings = replaying("batch");
  settings.batch = 8;
  EXPECT_THAT(
      problem(Fault::Data, [&] { train(Use::Replay, settings); }),
      HasSubstr("choices.bin: step 1, gate 'moe.gate': it was recorded of 16 records from record 0 of epoch 0 on, and this training's batch is of 8 records"));
  settings = replaying("seed");
  settings.seed = 4;
  EXPECT_THAT(problem(Fault::Data, [&] { train(Use::Replay, settings); }),
              HasSubstr("gate 'moe.gate', from step 1 on, were recorded with seed 3, and this training has 4"));
  settings = replaying("data");
  EXPECT_THAT(problem(Fault::Data, [&] { train(Use::Replay, settings, nullptr, false, -1, std::make_shared<Points>(100, 5)); }),
              HasSubstr("gate 'moe.gate', from step 1 on, are of other data"));
  settings = replaying("both");
  settings.record = file;
  EXPECT_THAT(problem(Fault::Usage, [&] { train(Use::Replay, settings); }), HasSubstr("\"record\" is")) << "the program does not tell them";
  EXPECT_THAT(problem(Fault::Usage, [&] { train(Use::Replay, config("none", compiled(Use::Replay))); }),
              HasSubstr("takes the choices of its gates (moe.gate) as inputs"));
  EXPECT_THAT(problem(Fault::Usage, [&] { train(Use::Plain, replaying("plain")); }), HasSubstr("was compiled without replaying"));
  EXPECT_FALSE(fs::exists(folder.path() / "seed" / "train.json")) << "nothing was begun";

  // Records of other models.
  auto replayOf = [&](const std::vector<ChoosingGate>& gates) {
    ChoiceHeader header = ChoiceReader(file).header();
    header.gates = gates;
    fs::path other = folder.path() / "other.bin";
    std::vector<Tensor> choices;
    for (const ChoosingGate& gate : gates)
      choices.emplace_back(DType::I32, Shape{16, gate.choices});
    {
      ChoiceWriter(other, header).add({1, 0, 0, 0, 16}, choices);
    }
    Config settings = replaying("other");
    settings.replay = other;
    settings.steps = 1;
    return problem(Fault::Data, [&] { train(Use::Replay, settings); });
  };
  EXPECT_THAT(replayOf({{"mo.gate", 1, 4}}),
              HasSubstr("other.bin: step 1, gate 'moe.gate' has no choices there; did you mean \"mo.gate\"?; it was recorded of \"small\""));
  EXPECT_THAT(replayOf({{"moe.gate", 2, 4}}), HasSubstr("step 1, gate 'moe.gate' chose 2 of 4 experts, and chooses 1 of 4 experts in this model"));
  EXPECT_THAT(replayOf({{"moe.gate", 1, 8}}), HasSubstr("gate 'moe.gate' chose 1 of 8 experts, and chooses 1 of 4 experts"));
  EXPECT_THAT(replayOf({{"moe.gate", 1, 4}, {"last.gate", 1, 4}}), HasSubstr("step 1, gate 'last.gate' is none of this model's, which are moe.gate"));
  EXPECT_EQ(replayOf({{"moe.gate", 1, 4}}), "") << "the first expert always";
}

// A record of one token has one element, as an aux loss has.
TEST_F(Choices, OfAnEvaluationAreNoLosses) {
  const Compiled& everywhere = compiled(Use::Everywhere);
  Config settings = config("everywhere", everywhere);
  settings.batch = 1;
  settings.steps = 1;
  Remembering told;
  std::atomic<bool> stop = false;
  Trainer(everywhere.program, "cpu", {.threads = 1}, settings, {std::make_shared<Points>(4), std::make_shared<Points>(2, 2), nullptr, "points"})
      .run(told, stop);
  ASSERT_EQ(told.evaluations.size(), 1u);
  ASSERT_EQ(told.steps.size(), 1u);
  EXPECT_EQ(told.steps[0].auxLosses.size(), 1u) << "that for balance";
  EXPECT_TRUE(told.evaluations[0].auxLosses.empty());
}

TEST_F(Choices, BatchesOfAStepAreRecordedEach) {
  static Compiled record(Use::Record, true), replay(Use::Replay, true);
  auto points = std::make_shared<Points>(100);
  auto run = [&](const Compiled& compiled, Config settings, bool resume = false) {
    Remembering told;
    std::atomic<bool> stop = false;
    Trainer trainer(compiled.program, "cpu", {.threads = 1}, settings, {points, nullptr, nullptr, "points"});
    if (resume)
      trainer.resume();
    return trainer.run(told, stop);
  };
  Config settings = recording();
  settings.accumulate = 3;
  settings.steps = 5;
  Outcome recorded = run(record, settings);
  EXPECT_NE(ChoiceReader(file).find(2, 2), nullptr);
  EXPECT_EQ(ChoiceReader(file).find(3, 1), nullptr) << "seven batches are two steps of three, and one";
  // It ends in the middle of a step, and goes on behind the one before.
  std::string whole = bytesOf(file);
  points->badRecords = {data::orderOf(100, settings.seed, 0, true)[70]};
  settings.out = folder.path() / "parts";
  EXPECT_THAT(problem(Fault::Data, [&] { run(record, settings); }), HasSubstr("cannot be read"));
  EXPECT_EQ(ChoiceReader(file).find(2, 1), nullptr);
  EXPECT_NE(ChoiceReader(file).find(2, 0), nullptr);
  points->badRecords.clear();
  EXPECT_EQ(tensorsOf(run(record, settings, true).checkpoint), tensorsOf(recorded.checkpoint));
  EXPECT_EQ(bytesOf(file), whole);
  settings = replaying();
  settings.accumulate = 3;
  settings.steps = 5;
  EXPECT_EQ(tensorsOf(run(replay, settings).checkpoint), tensorsOf(recorded.checkpoint));
  settings.out = folder.path() / "by two";
  settings.accumulate = 2;
  EXPECT_THAT(problem(Fault::Data, [&] { run(replay, settings); }),
              HasSubstr("step 1, gate 'moe.gate': batch 2 is the last one of this step, and the record has more"));
  settings.accumulate = 4;
  EXPECT_THAT(problem(Fault::Data, [&] { run(replay, settings); }),
              HasSubstr("step 1, gate 'moe.gate': batch 3 of this step is the record's last one, and this training has more"));
  // The recording training was killed within its last step.
  settings.accumulate = 3;
  std::vector<Tensor> first = ChoiceReader(file).read(5, 0);
  BatchKey key = *ChoiceReader(file).find(5, 0);
  {
    ChoiceWriter(file, ChoiceReader(file).header(), EarlierRecord{4, ChoiceReader(file, 4).digest()}).add(key, first);
  }
  EXPECT_THAT(problem(Fault::Data, [&] { run(replay, settings); }),
              HasSubstr("it ends behind step 4, and has no choices of gate 'moe.gate' in step 5; this training has 5 steps"));
}

TEST_F(Choices, ARecordOfAnotherTrainingStaysAsItIs) {
  train(Use::Record, recording("first"), nullptr, false, 8);
  std::string whole = bytesOf(file);
  Config second = recording("second");
  second.schedule.peak = 0.1; // all that the header names is the same
  second.record = folder.path() / "its own.bin";
  train(Use::Record, second, nullptr, false, 5);
  second.record = file;
  EXPECT_THAT(problem(Fault::Usage, [&] { train(Use::Record, second, nullptr, true); }),
              HasSubstr("choices.bin is not what this training recorded up to its checkpoint of step 5"));
  train(Use::Plain, config("third", compiled(Use::Plain)), nullptr, false, 5);
  EXPECT_THAT(problem(Fault::Usage, [&] { train(Use::Record, recording("third"), nullptr, true); }), HasSubstr("is not what this training recorded"));
  EXPECT_EQ(bytesOf(file), whole);
  train(Use::Record, recording("first"), nullptr, true);
  EXPECT_EQ(ChoiceReader(file).last(), 12);
}

// A first layer whose numbers overflow in the router alone: with weights of 0 there, the logits of some tokens are -inf, of which the softmax makes 0.
TEST_F(Choices, LogitsThatAreNoFiniteNumbersAreCountedOrEndTheTraining) {
  const Plan& plan = *compiled(Use::Plain).program.plan(compiled(Use::Plain).program.data().plans[0].target, Purpose::Training);
  TensorMap weights = initialWeights(plan, 5);
  auto router = weights.at("moe.gate.weight").as<float>(); // (4, 16)
  std::fill(router.begin(), router.end(), 0.0f);
  std::fill_n(router.begin() + 3 * 16, 16, -std::numeric_limits<float>::max());
  auto first = weights.at("first.bias").as<float>(); // all tokens are about 2 everywhere: the last expert's logit is -inf
  std::fill(first.begin(), first.end(), 2.0f);
  for (float& weight : weights.at("first.weight").as<float>())
    weight *= 0.01f;
  fs::path file = folder.path() / "weights.safetensors";
  writeSafeTensors(file, weights);
  Config settings = config("counted", compiled(Use::Plain));
  settings.weights = file;
  settings.steps = 1;
  settings.evaluateEvery = 1;
  Remembering told;
  std::string counted = problem(Fault::Data, [&] { train(Use::Plain, settings, &told); });
  ASSERT_EQ(told.steps.size(), 1u) << counted;
  EXPECT_EQ(told.steps[0].nonFinite, (std::map<std::string, double>{{"moe.gate", 16}}));
  EXPECT_EQ(std::ranges::count_if(told.notices, [](const std::string& notice) { return notice.find("are no finite numbers") != std::string::npos; }), 1);
  EXPECT_THAT(told.notices, Contains(HasSubstr("warning: step 1: 16 router logits of gate 'moe.gate' are no finite numbers")));
  EXPECT_THAT(bytesOf(settings.out / "metrics.jsonl"), HasSubstr(R"("non_finite":{"moe.gate":16.0})"));
  Remembering read;
  readMetrics(settings.out / "metrics.jsonl", read);
  EXPECT_EQ(read.steps.at(0).nonFinite, told.steps[0].nonFinite);

  settings.out = folder.path() / "strict";
  settings.nonFinite = NonFiniteLogits::Error;
  Remembering strict;
  EXPECT_EQ(problem(Fault::Data, [&] { train(Use::Strict, settings, &strict); }), "step 1: 16 router logits of gate 'moe.gate' are no finite numbers");
  EXPECT_TRUE(strict.steps.empty());
  EXPECT_TRUE(listCheckpoints(settings.out).empty());
  EXPECT_THAT(bytesOf(settings.out / "metrics.jsonl"), HasSubstr(R"({"kind":"failed","step":1,"message":"step 1: 16 router logits)"));

  // Weights that begin well, and a learning rate that brings an evaluation to its end: the step is kept.
  TensorMap good = initialWeights(plan, 5);
  fs::path begin = folder.path() / "good.safetensors";
  writeSafeTensors(begin, good);
  Config lost = settings;
  lost.out = folder.path() / "lost";
  lost.weights = begin;
  lost.schedule.peak = 1e19;
  Remembering evaluated;
  EXPECT_THAT(problem(Fault::Data, [&] { train(Use::Strict, lost, &evaluated); }), HasSubstr("evaluation behind step 1, batch 1: "));
  EXPECT_EQ(evaluated.steps.size(), 1u);
  EXPECT_EQ(readCheckpoint(checkpointFolder(lost.out, 1)).evaluated, -1);

  settings.out = folder.path() / "lax";
  EXPECT_THAT(problem(Fault::Usage, [&] { train(Use::Plain, settings); }), HasSubstr("the program only counts router logits"));

  // Sessions of the same programs.
  Tensor x(DType::F32, {2, 8});
  Session lax(compiled(Use::Plain).program, "cpu"), hard(compiled(Use::Strict).program, "cpu");
  lax.load(weights);
  hard.load(weights);
  TensorMap scores = lax.run({{"x", x}});
  EXPECT_EQ(scores.size(), 1u);
  EXPECT_EQ(problem(Fault::Data, [&] { hard.run({{"x", x}}); }), "2 router logits of gate 'moe.gate' are no finite numbers");
  weights.at("moe.gate.weight") = Tensor(DType::F32, {4, 16});
  lax.load(weights);
  hard.load(weights);
  TensorMap same = hard.run({{"x", x}});
  EXPECT_EQ(same.at("scores").toDoubles(), lax.run({{"x", x}}).at("scores").toDoubles());
  EXPECT_EQ(same.at("moe.gate.non_finite").toDoubles(), std::vector<double>{0});
}

} // namespace moec::train
