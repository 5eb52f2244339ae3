// Owner of Training, and of what devices do with a plan for training: steps against plain loops, updates in place, accumulation, continuation.

#include "runtime/Training.h"
#include "runtime/Session.h"
#include "runtime/core/Tolerance.h"
#include "runtime/device/check/CheckDevice.h"
#include "runtime/device/check/RoundedOtherwise.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyProgram.h"
#include "tests/runtime/TinyTraining.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace moec {
namespace {

Training tinyTraining(bool accumulate, int threads = 2) { return Training(Program(tinyTrainingData(accumulate)), "cpu", {.threads = threads}); }

Tensor someWeights() { return Tensor::of<float>({0.5f, 1, 1.5f, 2, -1, 3, 0.25f, 1}, {kTinyWidth}); }

TinyStep fromSomeWeights() {
  Tensor weights = someWeights();
  std::vector<float> w(weights.as<float>().begin(), weights.as<float>().end());
  return {w, std::vector<float>(w.size()), w};
}

bool equalBits(const TensorMap& a, const TensorMap& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           auto found = b.find(entry.first);
           return found != b.end() && found->second.bytes() == entry.second.bytes() &&
                  std::memcmp(found->second.data(), entry.second.data(), entry.second.bytes()) == 0;
         });
}

void expectNear(const Tensor& got, const std::vector<float>& expected) {
  EXPECT_LE(relativeError(got, Tensor::of<float>(expected, {kTinyWidth})), tolerance(DType::F32));
}

TEST(Training, StepsAsPlainLoopsDo) {
  for (bool accumulate : {false, true}) {
    Training training = tinyTraining(accumulate);
    training.load({{"w", someWeights()}});
    TinyStep expected = fromSomeWeights();
    double first = 0, last = 0;
    for (int64_t number = 1; number <= 20; ++number) {
      TensorMap batch = tinyBatch(30 + number % 3, static_cast<uint64_t>(number)); // sizes change between steps
      TensorMap results = training.step(batch, {.learningRate = 0.05, .seed = 7});
      double loss = expected.step({batch}, {7}, 0.05, number);
      last = results.at("loss").toDoubles()[0];
      first = number == 1 ? last : first;
      EXPECT_NEAR(last, loss, tolerance(DType::F32) * first) << number;
      EXPECT_EQ(results.size(), 2u);
      EXPECT_EQ(training.steps(), number);
      expectNear(training.weights().at("w"), expected.w);
      expectNear(training.state().at("w.momentum"), expected.momentum);
      expectNear(training.state().at("w.average"), expected.average);
    }
    EXPECT_LT(last, first / 4);
  }
}

TEST(Training, WatchedLaunchesAreSeenInBothLists) {
  Training training = tinyTraining(true);
  training.init(3);
  std::vector<std::pair<LaunchList, size_t>> seen;
  training.watch([&](LaunchList list, size_t index) { seen.emplace_back(list, index); });
  training.step(tinyBatch(10, 1), {.learningRate = 0.05});
  using enum LaunchList;
  EXPECT_EQ(seen, (std::vector<std::pair<LaunchList, size_t>>{{Forward, 0}, {Forward, 1}, {Forward, 2}, {Apply, 0}, {Apply, 1}}));
  training.watch([](LaunchList list, size_t) {
    if (list == Apply)
      throw Error(Fault::Internal, "enough");
  });
  EXPECT_FAULT(training.step(tinyBatch(10, 1), {.learningRate = 0.05}), Fault::Internal, "enough");
  EXPECT_FAULT(training.weights(), Fault::Usage, "restore");
}

TEST(Training, LaunchesOfBothListsAreTimed) {
  Training training = tinyTraining(true);
  training.init(3);
  std::vector<std::pair<LaunchList, size_t>> seen;
  training.timeLaunches([&](LaunchList list, size_t index, std::chrono::nanoseconds time) {
    EXPECT_GT(time.count(), 0);
    seen.emplace_back(list, index);
  });
  training.step(tinyBatch(10, 1), {.learningRate = 0.05});
  training.timeLaunches({});
  training.step(tinyBatch(10, 1), {.learningRate = 0.05});
  using enum LaunchList;
  EXPECT_EQ(seen, (std::vector<std::pair<LaunchList, size_t>>{{Forward, 0}, {Forward, 1}, {Forward, 2}, {Apply, 0}, {Apply, 1}}));
}

TEST(Training, OneAccumulationIsAStepToTheBit) {
  Training whole = tinyTraining(false), parts = tinyTraining(true);
  whole.init(3);
  parts.init(3);
  for (uint64_t step = 0; step < 3; ++step) {
    TensorMap a = whole.step(tinyBatch(40, step), {.learningRate = 0.05, .seed = 1});
    TensorMap b = parts.accumulate(tinyBatch(40, step), {.seed = 1});
    EXPECT_EQ(b.size(), 1u);
    EXPECT_EQ(parts.accumulated(), 1);
    b.merge(parts.apply({.learningRate = 0.05}));
    EXPECT_TRUE(equalBits(a, b)) << step;
    EXPECT_TRUE(equalBits(whole.weights(), parts.weights())) << step;
  }
  Tensor waiting = parts.state().at("w.gradient");
  for (float value : waiting.as<float>())
    EXPECT_EQ(value, 0);
}

TEST(Training, AppliesTheMeanOfSeveralAccumulationsEachWithItsOwnDraws) {
  Training training = tinyTraining(true);
  training.load({{"w", someWeights()}});
  TinyStep expected = fromSomeWeights();
  std::vector<TensorMap> batches = {tinyBatch(16, 1), tinyBatch(16, 2), tinyBatch(9, 3)};
  std::vector<uint64_t> seeds;
  for (size_t i = 0; i < batches.size(); ++i) {
    training.accumulate(batches[i], {.seed = 5});
    seeds.push_back(5 + i * 0x9E3779B97F4A7C15u);
  }
  EXPECT_TRUE(equalBits(training.weights(), {{"w", someWeights()}})); // not yet
  training.apply({.learningRate = 0.05});
  expected.step(batches, seeds, 0.05, 1);
  expectNear(training.weights().at("w"), expected.w);
  EXPECT_EQ(training.steps(), 1);
  EXPECT_EQ(training.accumulated(), 0);
}

TEST(Training, GoesOnToTheBitWhereAnotherStopped) {
  for (bool accumulate : {false, true}) {
    Training straight = tinyTraining(accumulate), first = tinyTraining(accumulate), second = tinyTraining(accumulate);
    auto step = [](Training& training, uint64_t batch) { return training.step(tinyBatch(25, batch), {.learningRate = 0.05, .seed = 9}); };
    for (Training* training : {&straight, &first}) {
      training->init(4);
      step(*training, 1);
      step(*training, 2);
      if (accumulate)
        training->accumulate(tinyBatch(12, 8), {.seed = 9});
    }
    second.restore(first.weights(), first.state(), first.steps(), first.accumulated());
    if (accumulate) { // before any size is bound
      TensorMap expected = straight.apply({.learningRate = 0.05});
      EXPECT_TRUE(equalBits(second.apply({.learningRate = 0.05}), expected));
    }
    for (uint64_t batch : {3, 4}) {
      TensorMap expected = step(straight, batch);
      EXPECT_TRUE(equalBits(step(second, batch), expected)) << batch;
    }
    EXPECT_TRUE(equalBits(straight.weights(), second.weights()));
    EXPECT_TRUE(equalBits(straight.state(), second.state()));
    EXPECT_EQ(second.steps(), straight.steps());
  }
}

TEST(Training, BitsDoNotDependOnThreads) {
  TensorMap weights;
  for (int threads : {1, 2, 5}) {
    Training training = tinyTraining(true, threads);
    training.init(1);
    for (uint64_t step = 0; step < 3; ++step)
      training.step(tinyBatch(100, step), {.learningRate = 0.02});
    if (threads > 1)
      EXPECT_TRUE(equalBits(training.weights(), weights)) << threads;
    weights = training.weights();
  }
}

TEST(Training, DrawsFollowSeedAndStep) {
  auto lossOf = [](uint64_t seed, int64_t steps) {
    Training training = tinyTraining(false);
    training.restore({{"w", someWeights()}}, {{"w.momentum", Tensor(DType::F32, {8})}, {"w.average", Tensor(DType::F32, {8})}}, steps);
    return training.step(tinyBatch(10, 1), {.learningRate = 0.1, .seed = seed}).at("loss").toDoubles()[0];
  };
  EXPECT_EQ(lossOf(1, 0), lossOf(1, 0));
  EXPECT_NE(lossOf(1, 0), lossOf(2, 0));
  EXPECT_NE(lossOf(1, 0), lossOf(1, 1));
}

TEST(Training, ItsWeightsServeASessionOfTheSameProgram) {
  Program program(tinyTrainingData(false));
  Training training(program, "cpu", {.threads = 1});
  training.init(2);
  training.step(tinyBatch(10, 1), {.learningRate = 0.1});
  Session session(program, "cpu", {.threads = 1});
  EXPECT_EQ(session.plan().purpose, Purpose::Inference);
  session.load(training.weights());
  Tensor x = tinyTokens(9, 2);
  EXPECT_EQ(session.run({{"x", x}}).at("total").as<double>()[0], tinyAnswer(x, training.weights().at("w"), 0, 0).total);
}

TEST(Training, SaysWhatIsMissing) {
  EXPECT_FAULT(Training(Program(tinyProgramData()), "cpu"), Fault::Usage, "program tiny has no plan for training: compile it with --train");
  Training whole = tinyTraining(false), parts = tinyTraining(true);
  TensorMap batch = tinyBatch(4, 1);
  EXPECT_FAULT(whole.step(batch, {.learningRate = 1}), Fault::Usage, "no weights");
  EXPECT_FAULT(whole.weights(), Fault::Usage, "no weights");
  whole.init(1);
  parts.init(1);
  EXPECT_FAULT(whole.step(batch, {}), Fault::Usage, "learning rate is nan");
  EXPECT_FAULT(whole.accumulate(batch), Fault::Usage, "--train --accumulate");
  EXPECT_FAULT(whole.apply({.learningRate = 1}), Fault::Usage, "no gradients to apply");
  EXPECT_FAULT(parts.apply({.learningRate = 1}), Fault::Usage, "no gradients to apply");
  EXPECT_FAULT(whole.step({{"x", batch.at("x")}}, {.learningRate = 1}), Fault::Usage, "input 'y' is missing");
  batch.emplace(kStepInput, Tensor::of<int64_t>({3}, {}));
  EXPECT_FAULT(whole.step(batch, {.learningRate = 1}), Fault::Usage, "'train.step' is the training's own");
  EXPECT_FAULT(whole.load({{"v", someWeights()}}), Fault::Data, "'w' is missing");
  EXPECT_FAULT(whole.restore(whole.weights(), {{"w.momentum", Tensor(DType::F32, {7})}}, 1), Fault::Data,
               "'w.momentum' is f32[7], expected f32[8]\n  'w.average' is missing (f32[8])");
  EXPECT_FAULT(whole.restore({{"v", someWeights()}}, {{"w.momentum", Tensor(DType::F32, {8})}}, 1), Fault::Data,
               "weights: 2 problems:\n  'w' is missing (f32[8])\n  'v' is no parameter of this program\nstate: 1 problem:\n  'w.average' is missing (f32[8])");
  EXPECT_FAULT(whole.restore(whole.weights(), whole.state(), 1, 2), Fault::Usage, "2 accumulations");
  EXPECT_EQ(whole.steps(), 0);
}

/// The CPU, whose launches of one list fail when they are told to.
class FailingDevice : public Device {
public:
  explicit FailingDevice(LaunchList list) : list_(list) {}
  std::string name() const override { return "failing"; }
  std::vector<std::string> targets() const override { return cpu_->targets(); }
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose) override { return std::make_unique<Run>(cpu_->load(program, purpose), *this); }
  bool fails = false;

private:
  struct Run : Executable {
    Run(std::unique_ptr<Executable> inner, const FailingDevice& device) : inner(std::move(inner)), device(device) {}
    const Plan& plan() const override { return inner->plan(); }
    void bind(const Bindings& bindings) override { inner->bind(bindings); }
    void write(int buffer, const Tensor& tensor) override { inner->write(buffer, tensor); }
    Tensor read(int buffer) const override { return inner->read(buffer); }
    void launch(LaunchList list, int index, const CallScalars& scalars) override {
      if (device.fails && list == device.list_)
        throw Error(Fault::Device, "it fails");
      inner->launch(list, index, scalars);
    }
    void releaseUnusedParameters() override { inner->releaseUnusedParameters(); }
    std::unique_ptr<Executable> inner;
    const FailingDevice& device;
  };
  LaunchList list_;
  std::shared_ptr<Device> cpu_ = openDevice("cpu", {.threads = 1});
};

TEST(Training, AFailedAccumulationLeavesTheWeights) {
  auto device = std::make_shared<FailingDevice>(LaunchList::Forward);
  Training training(Program(tinyTrainingData(true)), device);
  training.init(1);
  training.step(tinyBatch(4, 1), {.learningRate = 0.1});
  TensorMap weights = training.weights(), state = training.state();
  device->fails = true;
  EXPECT_FAULT(training.accumulate(tinyBatch(4, 2)), Fault::Device, "it fails");
  EXPECT_TRUE(equalBits(training.weights(), weights));
  EXPECT_TRUE(equalBits({{"w", training.weight("w")}}, weights));
  EXPECT_FAULT(training.state(), Fault::Usage, "no states, for an accumulation failed");
  EXPECT_FAULT(training.accumulate(tinyBatch(4, 2)), Fault::Usage, "no states");
  EXPECT_FAULT(training.apply({.learningRate = 1}), Fault::Usage, "no states");
  device->fails = false;
  training.restore(weights, state, 1);
  training.step(tinyBatch(4, 2), {.learningRate = 0.1});
  EXPECT_EQ(training.steps(), 2);
}

// The loss stands for a gate's count: 0 where the model is right, which with weights of 0 it is of nothing but zeros.
TEST(Training, LogitsThatEndAnAccumulationLeaveNoGradients) {
  ProgramData data = tinyTrainingData(true);
  Plan& plan = data.plans.back();
  plan.nonFinite = NonFiniteLogits::Error;
  plan.outputs.push_back({.name = "gate.non_finite", .buffer = plan.outputs[0].buffer});
  Training training(Program(std::move(data)), "cpu", {.threads = 1});
  training.load({{"w", Tensor(DType::F32, {kTinyWidth})}});
  TensorMap weights = training.weights(), state = training.state(), bad = tinyBatch(4, 1);
  EXPECT_FAULT(training.step(bad, {.learningRate = 0.1}), Fault::Data, "step 1: ");
  for (bool isWhole : {true, false}) {
    if (isWhole)
      EXPECT_FAULT(training.step(bad, {.learningRate = 0.1}), Fault::Data, "of gate 'gate'");
    else
      EXPECT_FAULT(training.accumulate(bad), Fault::Data, "of gate 'gate'");
    EXPECT_EQ(training.accumulated(), 0);
    EXPECT_EQ(training.steps(), 0);
    EXPECT_TRUE(equalBits(training.weights(), weights));
    EXPECT_TRUE(equalBits(training.state(), state)) << "no gradients wait";
    EXPECT_FAULT(training.apply({.learningRate = 0.1}), Fault::Usage, "no gradients to apply");
  }
}

TEST(Training, AFailedStepOrUpdateLeavesNothing) {
  for (auto [accumulate, list] : {std::pair{false, LaunchList::Forward}, {true, LaunchList::Apply}}) {
    auto device = std::make_shared<FailingDevice>(list);
    Training training(Program(tinyTrainingData(accumulate)), device);
    training.init(1);
    device->fails = true;
    EXPECT_FAULT(training.step(tinyBatch(4, 1), {.learningRate = 0.1}), Fault::Device, "it fails");
    EXPECT_FAULT(training.weights(), Fault::Usage, "no weights");
    EXPECT_FAULT(training.state(), Fault::Usage, "no weights");
  }
}

TEST(Training, SpansStandInATrace) {
  auto trace = std::make_shared<Trace>();
  Training training = tinyTraining(true, 1);
  training.init(1);
  training.trace(trace);
  training.step(tinyBatch(5, 1), {.learningRate = 0.1});
  training.trace(nullptr);
  std::filesystem::path file = std::filesystem::temp_directory_path() / ("moec-training-trace-" + std::to_string(getpid()));
  trace->write(file);
  std::ifstream stream(file);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  std::filesystem::remove(file);
  for (const char* name : {"\"accumulate\"", "\"apply\"", "\"bind the sizes\"", "\"update w\"", "\"read the outputs\""})
    EXPECT_NE(text.find(name), std::string::npos) << name << "\n" << text;
}

/// The CPU with the faulty kernels in place of the update.
class FaultyUpdate : public Device {
public:
  std::string name() const override { return "faulty"; }
  std::vector<std::string> targets() const override { return cpu_->targets(); }
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose) override {
    ProgramData data = program.data();
    data.kernels[data.plans[0].target + "/tiny_update"] = tinyImage(1);
    return cpu_->load(Program(std::move(data)), purpose);
  }

private:
  std::shared_ptr<Device> cpu_ = openDevice("cpu", {.threads = 1});
};

/// The CPU as a device that runs any plan, as the reference does.
class AnyPlan : public Device {
public:
  std::string name() const override { return "any"; }
  std::vector<std::string> targets() const override { return {}; }
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose) override {
    ++loaded;
    return cpu_->load(program, purpose);
  }
  int loaded = 0;

private:
  std::shared_ptr<Device> cpu_ = openDevice("cpu", {.threads = 1});
};

CheckReport checkTiny(bool accumulate, std::shared_ptr<Device> a) {
  Program program(tinyTrainingData(accumulate));
  return checkTraining(program, std::move(a), openDevice("cpu", {.threads = 2}), {{"w", someWeights()}}, tinyBatch(30, 1), {.learningRate = 0.05, .seed = 2});
}

TEST(CheckOfTraining, EqualDevicesPassAndEverythingIsCompared) {
  for (bool accumulate : {false, true}) {
    CheckReport report = checkTiny(accumulate, openDevice("cpu", {.threads = 1}));
    EXPECT_TRUE(report.passed()) << report.describeFailures();
    EXPECT_EQ(report.launches.size(), accumulate ? 5u : 3u);
    std::string compared;
    for (const OutputCheck& check : report.outputs)
      compared += std::string(wordOf(check.kind)) + " " + check.name + "\n";
    EXPECT_EQ(compared, accumulate ? "output loss\nstate w.gradient\noutput gradient_norm\nparameter w\nstate w.momentum\nstate w.average\nstate w.gradient\n"
                                   : "output loss\noutput gradient_norm\nparameter w\nstate w.momentum\nstate w.average\n");
  }
}

TEST(CheckOfTraining, AWrongUpdateIsFound) {
  CheckReport report = checkTiny(true, std::make_shared<FaultyUpdate>());
  EXPECT_NE(report.describeFailures().find("apply launch 1, w (update): buffer 'w.momentum' differs by"), std::string::npos) << report.describeFailures();
  EXPECT_NE(report.describeFailures().find("state 'w.momentum' differs by"), std::string::npos) << report.describeFailures();
  for (size_t i = 0; i < 4; ++i)
    EXPECT_TRUE(report.launches[i].passed) << i;
}

TEST(CheckOfTraining, AWrongUpdateIsFoundWhereRoundingIsAllowedFor) {
  Program program(tinyTrainingData(true));
  auto reference = std::make_shared<AnyPlan>();
  CheckReport report =
      checkTraining(program, std::make_shared<FaultyUpdate>(), reference, {{"w", someWeights()}}, tinyBatch(30, 1), {.learningRate = 0.05, .seed = 2});
  EXPECT_EQ(reference->loaded, 7) << "each of three draws beside itself";
  EXPECT_NE(report.describeFailures().find("apply launch 1, w (update): buffer 'w.momentum' differs by"), std::string::npos) << report.describeFailures();
  EXPECT_NE(report.describeFailures().find("state 'w.momentum' differs by"), std::string::npos) << report.describeFailures();
}

/// The CPU with numbers an ulp off, as the first draw of roundings has them.
class AnUlpOff : public Device {
public:
  std::string name() const override { return "rounded otherwise"; }
  std::vector<std::string> targets() const override { return cpu_->targets(); }
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose) override { return roundedOtherwise(cpu_->load(program, purpose), 1); }

private:
  std::shared_ptr<Device> cpu_ = openDevice("cpu", {.threads = 1});
};

TEST(CheckOfTraining, NoMoreDrawsOfRoundingsAreMadeThanAreNeeded) {
  Program program(tinyTrainingData(true));
  auto reference = std::make_shared<AnyPlan>();
  auto fewUlps = [](DType type) { return type == DType::F32 ? 1e-8 : tolerance(type); };
  CheckReport report =
      checkTraining(program, std::make_shared<AnUlpOff>(), reference, {{"w", someWeights()}}, tinyBatch(30, 1), {.learningRate = 0.05, .seed = 2}, fewUlps);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
  EXPECT_EQ(reference->loaded, 3) << "and one draw beside itself";
}

} // namespace
} // namespace moec
