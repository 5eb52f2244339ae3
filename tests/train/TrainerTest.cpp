// Trainings of a small compiled model: what they learn and write, and that they go on to the bit.

#include "runtime/train/Trainer.h"

#include "runtime/Session.h"
#include "runtime/core/Error.h"
#include "runtime/data/Loader.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/OutFolder.h"
#include "tests/train/LoopSupport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sys/resource.h>

namespace moec::train {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Trainer, LearnsAndWritesWhatItPromises) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.steps = 60;
  Remembering told;
  Outcome outcome = train(plain(), settings, &told);
  EXPECT_EQ(outcome.end, Outcome::End::Finished);
  EXPECT_EQ(outcome.steps, 60);
  EXPECT_EQ(told.from, 0);
  EXPECT_EQ(told.total, 60);
  EXPECT_EQ(told.batchesPerEpoch, 7) << "100 records are six batches of 16, and 4";
  ASSERT_EQ(told.steps.size(), 60u);
  EXPECT_EQ(told.steps[6].records, 4);
  EXPECT_EQ(told.steps[6].epoch, 0);
  EXPECT_EQ(told.steps[7].epoch, 1);
  EXPECT_LT(told.steps.back().loss, 0.5 * told.steps.front().loss);
  const StepRecord& first = told.steps.front();
  ASSERT_EQ(first.auxLosses.size(), 1u);
  EXPECT_EQ(first.auxLosses.begin()->first, "moe.gate.balance_loss");
  ASSERT_EQ(first.load.at("moe.gate").size(), 4u);
  double chosen = first.dropped.at("moe.gate");
  for (double load : first.load.at("moe.gate"))
    chosen += load;
  EXPECT_EQ(chosen, 16) << "each token's choice was taken or dropped";
  ASSERT_EQ(told.evaluations.size(), 9u) << "behind each epoch, and at the end";
  EXPECT_EQ(told.evaluations[0].step, 7);
  EXPECT_EQ(told.evaluations[0].records, 40);
  EXPECT_GT(*told.evaluations.back().accuracy, 0.7) << "by chance it would be a quarter";
  ASSERT_TRUE(outcome.best);
  for (const EvaluationRecord& evaluation : told.evaluations)
    EXPECT_GE(evaluation.loss, outcome.best->loss);
  EXPECT_EQ(outcome.checkpoint, checkpointFolder(out.path(), 60));
  EXPECT_TRUE(fs::exists(out.path() / "metrics.jsonl"));
  EXPECT_EQ(filesOf(out.path()).at("model.json"), smallModel());
  Config kept = readOutFolder(out.path());
  EXPECT_EQ(kept.steps, 60);
  EXPECT_EQ(kept.model, out.path() / "model.json");
  std::vector<fs::path> all = listCheckpoints(out.path());
  EXPECT_LE(all.size(), 4u) << "three, and the best";
  EXPECT_TRUE(std::ranges::find(all, checkpointFolder(out.path(), outcome.best->step)) != all.end());
}

/// How a training is cut: by batches of a step, and by steps.
struct Cut {
  const char* name;
  int64_t accumulate, until;
  bool averages = false;
};
void PrintTo(const Cut& one, std::ostream* stream) { *stream << one.name; }

class GoingOn : public testing::TestWithParam<Cut> {};

// Jitter, dropout, moments, averages, the order of records and the best evaluation all go on.
TEST_P(GoingOn, GivesTheBytesOfATrainingThatWasNotInterrupted) {
  auto [name, accumulate, until, averages] = GetParam();
  const Compiled& compiled = averages ? averaging() : accumulate > 1 ? accumulating() : plain();
  TemporaryFolder whole, parts;
  Config settings = config(whole.path(), compiled);
  settings.accumulate = accumulate;
  settings.schedule.kind = Schedule::Kind::Cosine;
  Outcome expected = train(compiled, settings);
  settings.out = parts.path();
  Outcome part = train(compiled, settings, nullptr, false, until);
  EXPECT_EQ(part.end, Outcome::End::Interrupted);
  EXPECT_EQ(part.steps, until);
  part = train(compiled, settings, nullptr, true, until + 1, points(), 2); // the number of threads is no matter
  EXPECT_EQ(part.steps, until + 1);
  Outcome rest = train(compiled, settings, nullptr, true);
  EXPECT_EQ(rest.end, Outcome::End::Finished);
  EXPECT_EQ(filesOf(rest.checkpoint), filesOf(expected.checkpoint));
  EXPECT_EQ(rest.best->step, expected.best->step);
  // Losses too, of which the metrics tell.
  Remembering a, b;
  readMetrics(whole.path() / "metrics.jsonl", a);
  readMetrics(parts.path() / "metrics.jsonl", b);
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i)
    EXPECT_EQ(a.steps[i].loss, b.steps[i].loss) << "step " << i + 1;
}

INSTANTIATE_TEST_SUITE_P(Trainer, GoingOn,
                         testing::Values(Cut{"InAnEpoch", 1, 10}, Cut{"AtItsEnd", 1, 14}, Cut{"BeforeTheFirstEvaluation", 1, 1},
                                         Cut{"WithAverages", 1, 10, true}, Cut{"WithStepsOfThreeBatches", 3, 10}, Cut{"AtTheirEpochsEnd", 3, 12}),
                         [](const auto& info) { return info.param.name; });

TEST(Trainer, AnEvaluationIsTheMeanOverWhatWasHeldOut) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.steps = 5;
  Remembering told;
  Outcome outcome = train(plain(), settings, &told);
  // The same by hand: batches of 16, 16 and 8 with the checkpoint's weights.
  Session session(plain().program, openDevice("cpu"), Purpose::Evaluation);
  session.load(readCheckpoint(outcome.checkpoint).weights);
  Points points(40, 2);
  double loss = 0, correct = 0;
  uint32_t number = 1;
  for (int64_t begin = 0; begin < 40; begin += 16) {
    int64_t records = std::min<int64_t>(16, 40 - begin);
    Tensor x(DType::F32, {records, 8}), label(DType::I64, {records});
    for (int64_t i = 0; i < records; ++i) {
      std::byte* places[]{reinterpret_cast<std::byte*>(x.as<float>().data() + 8 * i), reinterpret_cast<std::byte*>(label.as<int64_t>().data() + i)};
      points.read(begin + i, places);
    }
    TensorMap results = session.run({{"x", x}, {"label", label}}, {.seed = settings.seed, .step = number++});
    EXPECT_EQ(results.at("labels").toDoubles()[0], static_cast<double>(records));
    loss += results.at("loss").toDoubles()[0] * static_cast<double>(records);
    correct += results.at("accuracy").toDoubles()[0] * static_cast<double>(records);
  }
  ASSERT_EQ(told.evaluations.size(), 1u);
  EXPECT_DOUBLE_EQ(told.evaluations[0].loss, loss / 40);
  EXPECT_DOUBLE_EQ(*told.evaluations[0].accuracy, correct / 40);
}

TEST(Trainer, StopsWhereNothingGetsBetter) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.steps = 1000;
  settings.patience = 2;
  settings.evaluateEvery = 5;
  auto noise = std::make_shared<Points>(40, 2);
  noise->randomLabels = true;
  data::OpenedData data = points();
  data.validation = noise;
  Remembering told;
  Outcome outcome = train(plain(), settings, &told, false, -1, data);
  EXPECT_EQ(outcome.end, Outcome::End::EarlyStop);
  EXPECT_LT(outcome.steps, 1000);
  EXPECT_EQ(outcome.steps, outcome.best->step + 2 * 5);
  EXPECT_EQ(outcome.checkpoint, checkpointFolder(out.path(), outcome.steps));
  EXPECT_TRUE(fs::exists(checkpointFolder(out.path(), outcome.best->step))) << "the best is kept";
  Outcome again = train(plain(), settings, nullptr, true, -1, data);
  EXPECT_EQ(again.end, Outcome::End::EarlyStop);
  EXPECT_EQ(again.steps, outcome.steps) << "it has ended";
}

TEST(Trainer, EvaluatesAveragesWhereTheOptimizerKeepsThem) {
  const Compiled& compiled = averaging();
  TemporaryFolder out;
  Config settings = config(out.path(), compiled);
  settings.steps = 8;
  settings.evaluateEvery = 100;
  Remembering told;
  Outcome outcome = train(compiled, settings, &told);
  Checkpoint checkpoint = readCheckpoint(outcome.checkpoint);
  auto averaged = averagedWeights(checkpoint.weights, checkpoint.state);
  ASSERT_TRUE(averaged);
  data::OpenedData data = points();
  Session session(compiled.program, openDevice("cpu"), Purpose::Evaluation);
  auto lossOf = [&](const TensorMap& weights) {
    session.load(weights);
    double loss = 0;
    uint32_t number = 1;
    data::Loader loader(data.validation, {.batch = 16, .shuffle = false, .once = true});
    while (auto batch = loader.next())
      loss += session.run(batch->fields, {.seed = settings.seed, .step = number++}).at("loss").toDoubles()[0] * static_cast<double>(batch->records);
    return loss / 40;
  };
  EXPECT_DOUBLE_EQ(told.evaluations.at(0).loss, lossOf(*averaged));
  EXPECT_NE(told.evaluations.at(0).loss, lossOf(checkpoint.weights));
}

namespace {

/// Ten tokens each; of the first records all targets count, of the later ones a single one does. Before them stands what they share.
class Sequences : public data::Dataset {
public:
  const std::vector<data::Field>& fields() const override {
    static const std::vector<data::Field> fields{
        {"table", DType::I64, {3}, 12, {}, /*shared=*/true}, {"tokens", DType::I64, {10}, 12}, {"targets", DType::I64, {10}, {}}};
    return fields;
  }
  int64_t size() const override { return 9; }
  void read(int64_t record, std::span<std::byte* const> fields) const override {
    for (int64_t i = 0; i < 10; ++i) {
      int64_t token = (3 * record + 5 * i) % 12, target = record < 4 || i == record ? (token + record) % 12 : -100;
      std::memcpy(fields[1] + 8 * i, &token, 8);
      std::memcpy(fields[2] + 8 * i, &target, 8);
    }
    std::memset(fields[0], 0, 3 * 8);
  }
  std::string digest() const override { return "sequences"; }
  std::string describe() const override { return "sequences"; }
  std::string placeOf(int64_t record) const override { return std::to_string(record); }
};

} // namespace

TEST(Trainer, OfTextTokensAreCountedAndLabelsWeigh) {
  static Compiled compiled(
      false,
      R"({"inputs": {"x": null, "label": null, "tokens": {"shape": ["batch", "sequence"], "dtype": "i64"}, "targets": {"shape": ["batch", "sequence"], "dtype": "i64", "for": "loss"}, "table": {"shape": [3], "dtype": "i64"}},
    "model": [{"kind": "embedding", "vocabulary": 12, "dim": 8}, {"kind": "linear", "out": 12, "name": "scores"}], "loss": {"labels": "targets"}, "check": {"batch": 3, "sequence": 4}})");
  TemporaryFolder out;
  Config settings = config(out.path(), compiled);
  settings.batch = 4;
  settings.steps = 4;
  auto sequences = std::make_shared<Sequences>();
  Remembering told;
  Outcome outcome = train(compiled, settings, &told, false, -1, {sequences, sequences, nullptr, "sequences"});
  for (const StepRecord& step : told.steps)
    EXPECT_NEAR(step.tokensPerSecond * step.seconds, static_cast<double>(10 * step.records), 1e-6);
  Session session(compiled.program, openDevice("cpu"), Purpose::Evaluation);
  session.load(readCheckpoint(outcome.checkpoint).weights);
  data::Loader loader(sequences, {.batch = 4, .shuffle = false, .once = true});
  std::vector<double> labels;
  double loss = 0, correct = 0, all = 0;
  while (auto batch = loader.next()) {
    TensorMap results = session.run(batch->fields);
    labels.push_back(results.at("labels").toDoubles()[0]);
    all += labels.back();
    loss += labels.back() * results.at("loss").toDoubles()[0];
    correct += labels.back() * results.at("accuracy").toDoubles()[0];
  }
  EXPECT_THAT(labels, ElementsAre(40, 4, 1));
  EXPECT_DOUBLE_EQ(told.evaluations.back().loss, loss / all);
  EXPECT_DOUBLE_EQ(*told.evaluations.back().accuracy, correct / all);
}

TEST(Trainer, BeginsWithGivenWeights) {
  TemporaryFolder first, second;
  Config settings = config(first.path());
  settings.steps = 3;
  Outcome outcome = train(plain(), settings);
  settings.out = second.path();
  settings.weights = outcome.checkpoint;
  Remembering fromFolder;
  train(plain(), settings, &fromFolder);
  settings.out = second.path() / "again";
  settings.weights = outcome.checkpoint / "weights.safetensors";
  Remembering fromFile;
  train(plain(), settings, &fromFile);
  EXPECT_EQ(fromFile.steps[0].loss, fromFolder.steps[0].loss);
  Training training(plain().program, "cpu");
  training.load(outcome.checkpoint / "weights.safetensors");
  data::Loader loader(points().train, {.batch = 16, .seed = settings.seed});
  EXPECT_EQ(fromFile.steps[0].loss, training.step(loader.next()->fields, {.learningRate = 0.02, .seed = settings.seed}).at("loss").toDoubles()[0]);
}

TEST(Trainer, ALossThatIsNotFiniteIsFollowedToItsLaunch) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.checkpointEvery = 2;
  settings.evaluateEvery = 1000;
  settings.schedule.peak = 1e18; // weights of 1e18, whose products overflow
  Remembering told;
  std::string message = problem(Fault::Data, [&] { train(plain(), settings, &told); });
  EXPECT_THAT(message,
              testing::ContainsRegex("^step [0-9]+: the (loss|norm of the gradients) is (nan|-?inf); it began in launch [0-9]+ of [0-9]+ of forward, '"));
  EXPECT_THAT(message, HasSubstr("moe.")) << "its ops";
  EXPECT_THAT(message, testing::ContainsRegex("elements are not finite; the first, at \\[[0-9, ]+\\], is|it is -?(nan|inf)"));
  EXPECT_EQ(told.notices.size(), 1u);
  ASSERT_FALSE(told.steps.empty()) << "the first step was fine";
  std::vector<fs::path> all = listCheckpoints(out.path());
  if (!all.empty()) {
    EXPECT_THAT(message, HasSubstr(all.back().string()));
    readCheckpoint(all.back());
  }
  EXPECT_THAT(filesOf(out.path()).at("metrics.jsonl"), HasSubstr("\"kind\":\"failed\""));
}

// Of the first step loss and gradients are fine; the learning rate overflows as a f32, and with it every weight.
TEST(Trainer, AWeightThatIsNotFiniteIsFollowedToItsLaunch) {
  for (int64_t every : {1, 1000}) { // no checkpoint holds such a weight; or the next loss finds it
    TemporaryFolder out;
    Config settings = config(out.path());
    settings.checkpointEvery = every;
    settings.schedule.peak = 1e39;
    std::string message = problem(Fault::Data, [&] { train(plain(), settings); });
    EXPECT_THAT(
        message,
        testing::ContainsRegex(
            every == 1
                ? "^step 1: 'first.bias': [0-9]+ of 16 elements are not finite.*; it began in launch [0-9]+ of [0-9]+ of forward, '"
                : "^step 2: the loss is nan, and 64 router logits of gate 'moe.gate' are no finite numbers; already step 1 left numbers that are not finite: it began in launch [0-9]+ of [0-9]+ of forward, '"));
    EXPECT_THAT(message, HasSubstr("There is no checkpoint before it"));
    EXPECT_THAT(listCheckpoints(out.path()), testing::IsEmpty());
  }
}

TEST(Trainer, DataThatAreNotFiniteAreNamed) {
  for (const Compiled* compiled : {&plain(), &accumulating()}) {
    TemporaryFolder out;
    Config settings = config(out.path(), *compiled);
    settings.checkpointEvery = 1;
    settings.accumulate = compiled == &accumulating() ? 2 : 1;
    auto bad = std::make_shared<Points>(100);
    bad->nanRecord = data::orderOf(100, settings.seed, 0, true)[3 * 16 + 5]; // in the fourth batch
    data::OpenedData data = points();
    data.train = bad;
    std::string message = problem(Fault::Data, [&] { train(*compiled, settings, nullptr, false, -1, data); });
    EXPECT_THAT(
        message,
        testing::StartsWith(
            settings.accumulate == 1
                ? "step 4: the loss is nan, and 4 router logits of gate 'moe.gate' are no finite numbers; it began with the data: of input 'x', f32[16, 8], 1 of 128 elements are not finite; the first, at [5, 5], is nan"
                : "step 2: the loss is nan, and 4 router logits of gate 'moe.gate' are no finite numbers; it began with the data: of input 'x'"));
    EXPECT_THAT(message, HasSubstr("; that is " + bad->placeOf(bad->nanRecord) + ". The last checkpoint, "));
    EXPECT_THAT(message, testing::Not(HasSubstr("learning rate")));
    EXPECT_EQ(listCheckpoints(out.path()).back(), checkpointFolder(out.path(), settings.accumulate == 1 ? 3 : 1));
  }
}

TEST(Trainer, GoesOnWithWhatItBeganWithAlone) {
  TemporaryFolder out;
  Config settings = config(out.path());
  EXPECT_THAT(problem(Fault::Usage, [&] { train(plain(), settings, nullptr, true); }), HasSubstr("there is no checkpoint"));
  train(plain(), settings, nullptr, false, 3);
  EXPECT_THAT(problem(Fault::Usage, [&] { train(plain(), settings); }), HasSubstr("holds a training, up to step 3"));

  Config other = settings;
  other.seed = 4;
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), other, nullptr, true); }), HasSubstr("step-00000003 is of another seed: 3; this training's is 4"));
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), settings, nullptr, true, -1, points(99)); }),
              testing::AllOf(HasSubstr("is of another data: points 100 1 false"), HasSubstr("this training's is points 99 1 false")));
  TemporaryFolder folder;
  other = settings;
  other.model = folder.path() / "model.json";
  std::ofstream(other.model) << smallModel(R"({"optimizer": {"weight_decay": 0.02}})");
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), other, nullptr, true); }),
              testing::AllOf(HasSubstr("another optimizer"), HasSubstr("\"weight_decay\":0.01"), HasSubstr("\"weight_decay\":0.02")));
  std::ofstream(other.model) << smallModel(R"({"name": "large"})");
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), other, nullptr, true); }), HasSubstr("another model: small ("));
  std::ofstream(other.model) << smallModel() << "\n\n"; // spaces are no difference
  other.steps = 4;
  EXPECT_EQ(train(plain(), other, nullptr, true).steps, 4);
  other.steps = 2;
  EXPECT_THAT(problem(Fault::Usage, [&] { train(plain(), other, nullptr, true); }), HasSubstr("is of step 4, but the training has 2 steps in all"));
  std::ofstream(checkpointFolder(out.path(), 4) / "weights.safetensors", std::ios::in | std::ios::out).seekp(-1, std::ios::end).put('?');
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), settings, nullptr, true); }), HasSubstr("step-00000004/weights.safetensors: damaged"));
}

TEST(Trainer, StepsMayBeCutAnotherWayWhenItGoesOn) {
  TemporaryFolder out;
  Config settings = config(out.path(), accumulating());
  train(accumulating(), settings, nullptr, false, 3);
  settings.accumulate = 2;
  settings.batch = 8;
  EXPECT_EQ(train(accumulating(), settings, nullptr, true).steps, 30);
}

// An epoch is every record once, however batches are cut: 100 records are 7 batches of 16, 13 of 8, 4 of 30.
TEST(Trainer, EpochsKeepTheirLengthWhenBatchesChange) {
  struct Change {
    int64_t until, batch, accumulate, steps;
    bool dropLast = false;
  };
  for (const Change& change : {Change{3, 8, 1, 3 + 7 + 13},
                               {3, 30, 1, 3 + 2 + 4},
                               {7, 30, 1, 7 + 4},
                               {3, 8, 3, 3 + 3 + 5},
                               {3, 60, 1, 3 + 0 + 1, true},
                               {9, 50, 1, 9 + 2},
                               {3, 16, 1, 14}}) {
    SCOPED_TRACE(::testing::Message() << "behind step " << change.until << " batches of " << change.batch);
    TemporaryFolder out;
    Config settings = config(out.path(), accumulating());
    settings.steps = 0;
    settings.epochs = 2;
    settings.schedule.kind = Schedule::Kind::Linear;
    train(accumulating(), settings, nullptr, false, change.until);
    settings.batch = change.batch;
    settings.accumulate = change.accumulate;
    settings.dropLast = change.dropLast;
    Remembering told;
    Outcome outcome = train(accumulating(), settings, &told, true);
    EXPECT_EQ(outcome.end, Outcome::End::Finished);
    EXPECT_EQ(outcome.steps, change.steps);
    EXPECT_EQ(told.total, change.steps) << "it is foretold";
    EXPECT_EQ(told.steps.back().learningRate, 0) << "a schedule ends with the training";
    EXPECT_EQ(readCheckpoint(outcome.checkpoint).place, (data::Place{2, 0}));
    int64_t records = 0;
    for (const StepRecord& step : told.steps)
      records += step.records;
    if (!change.dropLast) {
      EXPECT_EQ(records, 200 - (change.until == 9 ? 132 : change.until == 7 ? 100 : 48));
    }
    settings.epochs = 1;
    EXPECT_THAT(problem(Fault::Usage, [&] { train(accumulating(), settings, nullptr, true); }),
                HasSubstr("is in epoch 3, but the training has 1 in all: give more"));
  }
}

// Ten records are three batches of 3; behind two of them no batch of 5 is left.
TEST(Trainer, WhereNoWholeBatchIsLeftAnEpochHasEnded) {
  for (int64_t validation : {0, 4}) {
    SCOPED_TRACE(validation);
    TemporaryFolder out;
    Config settings = config(out.path());
    settings.batch = 3;
    settings.dropLast = true;
    settings.steps = 0;
    settings.epochs = 1;
    settings.schedule.kind = Schedule::Kind::Linear;
    EXPECT_EQ(train(plain(), settings, nullptr, false, 2, points(10, validation)).steps, 2);
    for (int64_t batch : {5, 5, 3}) { // once it has ended it is at an end for any batch
      settings.batch = batch;
      Remembering told;
      Outcome outcome = train(plain(), settings, &told, true, -1, points(10, validation));
      EXPECT_EQ(outcome.end, Outcome::End::Finished);
      EXPECT_EQ(outcome.steps, 2);
      EXPECT_EQ(told.total, 2);
      EXPECT_EQ(readCheckpoint(outcome.checkpoint).place, (data::Place{1, 0}));
    }
    settings.batch = 5;
    settings.epochs = 2;
    EXPECT_EQ(train(plain(), settings, nullptr, true, -1, points(10, validation)).steps, 4);
  }
}

TEST(Trainer, AnEvaluationThatTheCheckpointDoesNotKnowIsToldOnce) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.steps = 10;
  settings.evaluateEvery = 4;
  train(plain(), settings, nullptr, false, 9);
  settings.steps = 9;
  std::ofstream(out.path() / "metrics.jsonl", std::ios::app)
      << R"({"kind":"evaluation","step":9,"records":40,"loss":1.0,"seconds":1.0,"best":false})" << "\n"; // here it was killed
  train(plain(), settings, nullptr, true);
  Remembering told;
  readMetrics(out.path() / "metrics.jsonl", told);
  std::vector<int64_t> evaluations;
  for (const EvaluationRecord& evaluation : told.evaluations)
    evaluations.push_back(evaluation.step);
  EXPECT_THAT(evaluations, ElementsAre(4, 8, 9));
}

TEST(Trainer, ATrainingThatEndsWhereItWasInterruptedIsEvaluated) {
  TemporaryFolder whole, parts;
  Config settings = config(whole.path());
  settings.steps = 10;
  settings.evaluateEvery = 4;
  Remembering uninterrupted;
  Outcome expected = train(plain(), settings, &uninterrupted);
  settings.out = parts.path();
  settings.steps = 30;
  train(plain(), settings, nullptr, false, 10);
  settings.steps = 10;
  Remembering told;
  Outcome outcome = train(plain(), settings, &told, true);
  EXPECT_EQ(outcome.end, Outcome::End::Finished);
  ASSERT_EQ(told.evaluations.size(), 1u);
  EXPECT_EQ(told.evaluations[0].step, 10);
  EXPECT_EQ(told.evaluations[0].loss, uninterrupted.evaluations.back().loss);
  EXPECT_EQ(filesOf(outcome.checkpoint), filesOf(expected.checkpoint));
  Remembering again; // what is evaluated is not evaluated again
  EXPECT_EQ(train(plain(), settings, &again, true).end, Outcome::End::Finished);
  EXPECT_TRUE(again.evaluations.empty());
  EXPECT_EQ(filesOf(outcome.checkpoint), filesOf(expected.checkpoint));
}

TEST(Trainer, AFullDiskEndsItAndLeavesItsCheckpoints) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.checkpointEvery = 5;
  rlimit old{}, small{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  auto handler = signal(SIGXFSZ, SIG_IGN);
  Remembering told;
  told.afterStep = [&](int64_t step) {
    small = old;
    small.rlim_cur = 7000; // the metrics are longer by then, or the weights
    if (step == 7)
      setrlimit(RLIMIT_FSIZE, &small);
  };
  problem(Fault::System, [&] { train(plain(), settings, &told); });
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, handler);
  EXPECT_LT(told.steps.size(), 30u);
  std::vector<fs::path> all = listCheckpoints(out.path());
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(readCheckpoint(all.back()).step, stepOf(all.back()));
  TemporaryFolder whole;
  Config other = settings;
  other.out = whole.path();
  EXPECT_EQ(filesOf(train(plain(), settings, nullptr, true).checkpoint), filesOf(train(plain(), other).checkpoint)) << "and it goes on";
}

TEST(Trainer, BatchesThatTheModelDoesNotTakeAreFoundBeforeTheFirstStep) {
  // Of 64 experts, fewer than 26 tokens fill none: ceil(1.2 * T) * 2 / 64.
  static Compiled compiled(
      false,
      R"({"model": [{"kind": "moe", "gate": {"kind": "gshard", "capacity": 1.2, "random_routing": false}, "experts": {"kind": "mlp", "count": 64, "hidden": 8}},
    {"kind": "linear", "out": 4, "name": "scores"}]})");
  TemporaryFolder out;
  Config settings = config(out.path(), compiled);
  auto with = [&](int64_t batch, bool dropLast, int64_t validation) {
    settings.batch = batch;
    settings.dropLast = dropLast;
    settings.steps = 1;
    return problem(Fault::Usage, [&] { Trainer(compiled.program, "cpu", {}, settings, points(100, validation)); });
  };
  EXPECT_EQ(with(50, false, 0), "");
  EXPECT_THAT(with(40, false, 0), testing::AllOf(testing::StartsWith("training: the last batch of an epoch has 20 of 100 records: the capacity of 'moe.gate'"),
                                                 HasSubstr("--batch 37 is possible"), HasSubstr("--drop-last leaves such a batch out")));
  EXPECT_EQ(with(37, false, 0), "") << "what it named";
  EXPECT_EQ(with(40, true, 0), "");
  EXPECT_THAT(with(20, false, 0), testing::StartsWith("training: a batch of 20 records is not possible: the capacity"));
  EXPECT_THAT(with(200, true, 0), HasSubstr("a batch of 200 is never full with 100 records"));
  EXPECT_EQ(with(INT64_MAX, false, 0), "") << "one batch of all";
  EXPECT_THAT(with(INT64_MAX, false, 20), testing::StartsWith("evaluation: a batch of 20 records is not possible: the capacity"));
  EXPECT_THAT(with(50, false, 60), testing::StartsWith("evaluation: the last batch of an epoch has 10 of 60 records"));
  EXPECT_FALSE(fs::exists(out.path() / "train.json")) << "nothing was written";
}

TEST(Trainer, AConfigurationThatCannotBeIsRefused) {
  TemporaryFolder out;
  auto with = [&](auto change, const Compiled& compiled = plain()) {
    Config settings = config(out.path(), compiled);
    change(settings);
    return problem(Fault::Usage, [&] { Trainer(compiled.program, "cpu", {}, settings, points(100, 0)); });
  };
  EXPECT_THAT(with([](Config& c) { c.batch = 0; }), HasSubstr("\"batch\""));
  EXPECT_THAT(with([](Config& c) { c.accumulate = 2; }), HasSubstr("compile it with accumulation"));
  EXPECT_THAT(with([](Config& c) { c.accumulate = 8; }, accumulating()), HasSubstr("an epoch of 100 records has 7 batches of 16"));
  EXPECT_THAT(with([](Config& c) { c.patience = 1; }), HasSubstr("no data to evaluate with"));
  EXPECT_THAT(with([](Config& c) { c.out.clear(); }), HasSubstr("no folder"));
}

TEST(Trainer, OneTrainingWritesToAFolder) {
  TemporaryFolder out;
  const char* busy = "another training is writing there";
  {
    FolderLock lock(out.path());
    EXPECT_THAT(problem(Fault::Usage, [&] { train(plain(), config(out.path())); }), HasSubstr(busy));
  }
  train(plain(), config(out.path()), nullptr, false, 3);
  auto resume = [&](Trainer& trainer) { return problem(Fault::Usage, [&] { trainer.resume(); }); };
  Trainer first(plain().program, "cpu", {}, config(out.path()), points()), second(plain().program, "cpu", {}, config(out.path()), points());
  EXPECT_EQ(resume(first), "");
  EXPECT_THAT(resume(second), HasSubstr(busy)) << "what the first has read stays the last";
  Remembering told;
  std::atomic<bool> stop = false;
  EXPECT_EQ(first.run(told, stop).steps, 30);
  EXPECT_EQ(resume(second), "") << "the first has ended";
  EXPECT_EQ(second.run(told, stop).steps, 30);
}

} // namespace moec::train
