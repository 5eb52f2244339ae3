// Owner of Session: the checks of inputs and weights, initial weights, the ways through load, init, run and weights.

#include "runtime/Session.h"
#include "runtime/Compile.h"
#include "runtime/core/BuildId.h"
#include "runtime/core/Philox.h"
#include "runtime/io/SafeTensors.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyProgram.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <unistd.h>

namespace moec {
namespace {

Session tinySession() { return Session(Program(tinyProgramData()), "cpu", {.threads = 2}); }
Tensor someWeights() { return Tensor::of<float>({0.5f, 1, 1.5f, 2, -1, 3, 0.25f, 1}, {kTinyWidth}); }

TEST(Session, RunsWithLoadedWeights) {
  Session session = tinySession();
  session.load({{"w", someWeights()}});
  for (int64_t tokens : {20, 7}) {
    Tensor x = tinyTokens(tokens, 9);
    TensorMap outputs = session.run({{"x", x}}, {.seed = 3, .step = 4});
    TinyAnswer expected = tinyAnswer(x, someWeights(), 3, 4);
    EXPECT_EQ(outputs.at("total").as<double>()[0], expected.total);
    EXPECT_EQ(std::memcmp(outputs.at("y").data(), expected.y.data(), expected.y.size() * 4), 0);
  }
  session.load({{"w", Tensor::of<float>(std::vector<float>(8, 1.0f), {8})}}); // again, after the plain form was released
  Tensor x = tinyTokens(5, 1);
  EXPECT_EQ(session.run({{"x", x}}).at("total").as<double>()[0], tinyAnswer(x, Tensor::of<float>(std::vector<float>(8, 1.0f), {8}), 0, 0).total);
}

TEST(Session, WeightsComeBackUntilTheyAreReleased) {
  Session session = tinySession();
  EXPECT_FAULT(session.weights(), Fault::Usage, "load or init");
  EXPECT_FAULT(session.run({{"x", tinyTokens(2, 1)}}), Fault::Usage, "load or init");
  session.init(7);
  Tensor w = session.weights().at("w");
  EXPECT_EQ(std::memcmp(w.data(), initialWeights(session.plan(), 7).at("w").data(), w.bytes()), 0);
  session.run({{"x", tinyTokens(2, 1)}});
  EXPECT_FAULT(session.weights(), Fault::Usage, "packed form only");
}

TEST(Session, WatchedLaunchesAreSeenInOrderWithWhatTheyLeave) {
  Session session = tinySession();
  std::vector<std::pair<LaunchList, size_t>> seen, expected;
  std::vector<double> total;
  const OutputInfo& output = session.plan().outputs[session.plan().outputs[0].name == "total" ? 0 : 1];
  session.watch([&](LaunchList list, size_t index) {
    seen.emplace_back(list, index);
    if (index + 1 == session.plan().launches(list).size() && list == LaunchList::Forward)
      total = session.executable().read(output.buffer).toDoubles();
  });
  session.load({{"w", someWeights()}});
  TensorMap outputs = session.run({{"x", tinyTokens(20, 9)}});
  for (LaunchList list : {LaunchList::Prepare, LaunchList::Forward})
    for (size_t i = 0; i < session.plan().launches(list).size(); ++i)
      expected.emplace_back(list, i);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(total, outputs.at("total").toDoubles());
  session.watch({});
  session.run({{"x", tinyTokens(20, 9)}});
  EXPECT_EQ(seen, expected);
}

TEST(Session, GivesOneResultByTwoNamesAsTwoTensors) {
  ProgramData data = tinyProgramData();
  data.plans[0].outputs.push_back({.name = "y again", .shape = data.plans[0].outputs[0].shape, .buffer = data.plans[0].outputs[0].buffer});
  Session session(Program(std::move(data)), "cpu", {.threads = 1});
  session.load({{"w", someWeights()}});
  Tensor x = tinyTokens(20, 9);
  TensorMap outputs = session.run({{"x", x}}, {.seed = 3});
  outputs.at("y again").as<float>()[0] = -77;
  EXPECT_EQ(outputs.at("y").as<float>()[0], tinyAnswer(x, someWeights(), 3, 0).y[0]);
  outputs.at("y").as<float>()[1] = -77;
  EXPECT_EQ(outputs.at("y again").as<float>()[1], tinyAnswer(x, someWeights(), 3, 0).y[1]);
}

// What a caller lends it may take back when the call is over, however that ended.
TEST(Session, ACallThatFailsKeepsNoInput) {
  Session session = tinySession();
  session.load({{"w", someWeights()}});
  const int buffer = session.plan().inputs[0].buffer;
  Tensor x = tinyTokens(1000, 9);
  auto isRead = [&] { // from the caller's memory
    x.as<float>()[0] += 1;
    return session.executable().read(buffer).as<float>()[0] == x.as<float>()[0];
  };
  bool wasRead = false;
  session.watch([&](LaunchList list, size_t) {
    if (list != LaunchList::Forward)
      return;
    wasRead = isRead();
    throw Error(Fault::Usage, "enough");
  });
  EXPECT_FAULT(session.run({{"x", x}}), Fault::Usage, "enough");
  EXPECT_TRUE(wasRead);
  EXPECT_FALSE(isRead());
  session.watch({});
  EXPECT_EQ(session.run({{"x", x}}).at("total").as<double>()[0], tinyAnswer(x, someWeights(), 0, 0).total);
}

TEST(Session, LaunchesAreTimedFromAskedUntilEnded) {
  Session session = tinySession();
  std::vector<std::pair<LaunchList, size_t>> seen, expected;
  std::chrono::nanoseconds sum{0};
  session.timeLaunches([&](LaunchList list, size_t index, std::chrono::nanoseconds time) {
    EXPECT_GT(time.count(), 0);
    seen.emplace_back(list, index);
    sum += time;
  });
  auto begin = std::chrono::steady_clock::now();
  session.load({{"w", someWeights()}}); // and packs them
  session.run({{"x", tinyTokens(20, 9)}});
  EXPECT_LE(sum, std::chrono::steady_clock::now() - begin);
  for (LaunchList list : {LaunchList::Prepare, LaunchList::Forward})
    for (size_t i = 0; i < session.plan().launches(list).size(); ++i)
      expected.emplace_back(list, i);
  EXPECT_EQ(seen, expected);
  session.timeLaunches({});
  session.run({{"x", tinyTokens(20, 9)}});
  EXPECT_EQ(seen, expected);
}

TEST(Session, DrawsAtTheFirstRunWhatItWouldHaveLoaded) {
  for (bool looks : {false, true}) {
    Session drawn = tinySession(), loaded = tinySession();
    loaded.load(initialWeights(loaded.plan(), 7));
    drawn.init(3);
    drawn.init(7); // instead
    if (looks)
      EXPECT_EQ(drawn.weights().size(), 1u);
    Tensor x = tinyTokens(11, 2);
    for (int call : {1, 2}) {
      Tensor a = drawn.run({{"x", x}}, {.seed = 5}).at("y"), b = loaded.run({{"x", x}}, {.seed = 5}).at("y");
      EXPECT_EQ(std::memcmp(a.data(), b.data(), a.bytes()), 0) << call;
    }
    drawn.init(3); // again, after the plain form was released
    EXPECT_EQ(drawn.weights().at("w").toDoubles(), initialWeights(drawn.plan(), 3).at("w").toDoubles());
    drawn.run({{"x", x}});
  }
}

TEST(Session, DrawsLargeParametersInPiecesOfTheSameNumbers) {
  auto of = [](Shape shape) {
    return initialWeight({.name = "w", .dtype = DType::F32, .shape = std::move(shape), .init = {Init::Kind::Uniform, -1, 1}}, 4).toDoubles();
  };
  std::vector<double> large = of({3, 50000}), small = of({100});
  EXPECT_TRUE(std::equal(small.begin(), small.end(), large.begin()));
  EXPECT_NE(large[65536], large[0]);
  EXPECT_EQ(large[131072], static_cast<float>(-1 + 2 * uniformDouble(draw(4, streamOf("w"), 0, 131072))));
}

TEST(Session, ListsEveryProblemOfWeights) {
  Session session = tinySession();
  session.init(1);
  EXPECT_FAULT(session.load({{"ww", someWeights()}}), Fault::Data, "2 problems");
  EXPECT_FAULT(session.load({{"ww", someWeights()}}), Fault::Data, "'w' is missing (f32[8])");
  EXPECT_FAULT(session.load({{"ww", someWeights()}}), Fault::Data, "'ww' is no parameter of this program; did you mean \"w\"?");
  EXPECT_FAULT(session.load({{"w", Tensor(DType::F32, {4, 2})}}), Fault::Data, "'w' is f32[4, 2], expected f32[8]");
  EXPECT_FAULT(session.load({{"w", Tensor(DType::F64, {8})}}), Fault::Data, "'w' is f64[8], expected f32[8]");
  Tensor bad = someWeights();
  bad.as<float>()[5] = NAN;
  EXPECT_FAULT(session.load({{"w", bad}}), Fault::Data, "not finite, at element 5");
  // Nothing has changed.
  EXPECT_EQ(session.weights().at("w").toDoubles(), initialWeights(session.plan(), 1).at("w").toDoubles());
  session.load({{"w", bad}}, true);
  EXPECT_TRUE(std::isnan(session.weights().at("w").toDoubles()[5]));
}

TEST(Session, LoadsSafeTensors) {
  auto path = std::filesystem::temp_directory_path() / ("moec-weights-" + std::to_string(getpid()) + ".safetensors");
  writeSafeTensors(path, {{"w", someWeights()}});
  Session session = tinySession();
  session.load(path);
  EXPECT_EQ(session.weights().at("w").toDoubles(), someWeights().toDoubles());
  writeSafeTensors(path, {{"v", someWeights()}});
  EXPECT_FAULT(session.load(path), Fault::Data, path.string() + ": weights: 2 problems");
  std::filesystem::remove(path);
}

TEST(Session, NamesASizeThatIsComputedFromOthers) {
  ProgramData data = tinyProgramData();
  InputInfo& label = data.plans[0].inputs[1];
  label.shape = {Size::symbol("T") * Size(2)};
  Session session(Program(std::move(data)), "cpu");
  session.init(1);
  EXPECT_FAULT(session.run({{"x", tinyTokens(4, 1)}, {"label", Tensor(DType::I64, {4})}}), Fault::Usage,
               "input 'label' is i64[4], expected i64[2*T]: size 0 must be 2*T = 8");
}

TEST(Session, ChecksInputs) {
  Session session = tinySession();
  session.init(1);
  Tensor x = tinyTokens(4, 1);
  EXPECT_EQ(session.bindings({{"x", x}}).at("T"), 4);
  EXPECT_FAULT(session.run({}), Fault::Usage, "input 'x' is missing: expected f32[T, 8]");
  EXPECT_FAULT(session.run({{"x", x}, {"labl", x}}), Fault::Usage, "'labl' is no input of this program; did you mean \"label\"?");
  EXPECT_FAULT(session.run({{"x", x.cast(DType::F64)}}), Fault::Usage, "input 'x' is f64[4, 8], expected f32[T, 8]");
  EXPECT_FAULT(session.run({{"x", x.reshaped({4, 8, 1})}}), Fault::Usage, "f32[4, 8, 1]");
  EXPECT_FAULT(session.run({{"x", x.reshaped({8, 4})}}), Fault::Usage, "size 1 must be 8");
  EXPECT_FAULT(session.run({{"x", Tensor(DType::F32, {0, 8})}}), Fault::Usage, "a size of zero");
  EXPECT_FAULT(session.run({{"x", x}, {"label", Tensor(DType::I64, {5})}}), Fault::Usage, "'T' is 4 in input 'x' but 5 in input 'label'");
  EXPECT_FAULT(session.run({{"x", x}, {"label", Tensor::of<int64_t>({0, 9, 10, 1}, {4})}}), Fault::Usage, "element 2 is 10, expected 0 to 9");
  EXPECT_FAULT(session.run({{"x", x}, {"label", Tensor::of<int64_t>({0, 9, -1, 1}, {4})}}), Fault::Usage, "element 2 is -1");
  EXPECT_EQ(session.run({{"x", x}, {"label", Tensor(DType::I64, {4})}}).size(), 2u);
}

Plan planWith(ParameterInfo parameter) {
  Plan plan;
  plan.parameters = {std::move(parameter)};
  return plan;
}

TEST(InitialWeights, FollowTheirRules) {
  auto drawn = [](Init init, DType type = DType::F64, Shape shape = {20000}) {
    return initialWeights(planWith({"layers.0.weight", type, std::move(shape), init}), 5).at("layers.0.weight").toDoubles();
  };
  EXPECT_EQ(drawn({Init::Kind::Zeros})[7], 0);
  EXPECT_EQ(drawn({Init::Kind::Ones})[7], 1);
  EXPECT_EQ(drawn({Init::Kind::Constant, 2.5})[7], 2.5);
  double sum = 0, squares = 0;
  for (double value : drawn({Init::Kind::Uniform, -1, 3})) {
    ASSERT_GE(value, -1);
    ASSERT_LT(value, 3);
    sum += value;
  }
  EXPECT_NEAR(sum / 20000, 1, 5 * (4 / std::sqrt(12.0)) / std::sqrt(20000.0));
  sum = 0;
  for (double value : drawn({Init::Kind::Normal, 1, 0.5}))
    sum += value, squares += (value - 1) * (value - 1);
  EXPECT_NEAR(sum / 20000, 1, 5 * 0.5 / std::sqrt(20000.0));
  EXPECT_NEAR(squares / 20000, 0.25, 5 * 0.25 * std::sqrt(2 / 20000.0));
  // One draw an element: f32 is the f64 weight, rounded.
  EXPECT_EQ(drawn({Init::Kind::Normal, 0, 1}, DType::F32)[3], static_cast<float>(drawn({Init::Kind::Normal, 0, 1})[3]));
}

TEST(InitialWeights, TruncatedNormalsAreNormalsWithinTwoDeviations) {
  auto drawn = [](const Init& init) { return initialWeights(planWith({"w", DType::F64, {20000}, init}), 9).at("w").toDoubles(); };
  std::vector<double> cut = drawn({Init::Kind::TruncatedNormal, 1, 0.5}), whole = drawn({Init::Kind::Normal, 1, 0.5});
  double sum = 0, squares = 0;
  int64_t drawnAgain = 0;
  for (size_t i = 0; i < cut.size(); ++i) {
    ASSERT_LE(std::abs(cut[i] - 1), 1.0);
    bool inside = std::abs(whole[i] - 1) <= 1;
    drawnAgain += !inside;
    EXPECT_EQ(cut[i] == whole[i], inside);
    sum += cut[i], squares += (cut[i] - 1) * (cut[i] - 1);
  }
  EXPECT_NEAR(drawnAgain / 20000.0, 0.0455, 5 * std::sqrt(0.0455 / 20000)); // 1 - erf(sqrt 2)
  EXPECT_NEAR(sum / 20000, 1, 5 * 0.44 / std::sqrt(20000.0));
  EXPECT_NEAR(squares / 20000, 0.25 * 0.7737, 5 * 0.25 * std::sqrt(2 / 20000.0)); // 1 - 4 phi(2) / (2 Phi(2) - 1)
}

TEST(InitialWeights, OrthogonalMatricesAreOrthonormal) {
  for (Shape shape : {Shape{3, 17, 5}, Shape{3, 5, 17}, Shape{2, 8, 8}, Shape{1, 1}}) {
    auto values = initialWeights(planWith({"w", DType::F64, shape, {Init::Kind::Orthogonal, 2}}), 9).at("w").toDoubles();
    int64_t rows = shape[shape.size() - 2], columns = shape.back(), count = std::min(rows, columns), length = std::max(rows, columns);
    for (int64_t base = 0; base < static_cast<int64_t>(values.size()); base += rows * columns)
      for (int64_t i = 0; i < count; ++i)
        for (int64_t j = 0; j <= i; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < length; ++k) {
            auto at = [&](int64_t v) { return values[static_cast<size_t>(base + (rows >= columns ? k * columns + v : v * columns + k))]; };
            sum += at(i) * at(j);
          }
          ASSERT_NEAR(sum, i == j ? 4 : 0, 1e-14);
        }
  }
  EXPECT_FAULT(initialWeights(planWith({"b", DType::F64, {4}, {Init::Kind::Orthogonal, 1}}), 1), Fault::Data, "'b'");
}

TEST(InitialWeights, OrthogonalIsTheQrWithPositiveDiagonal) { // R = Q^T A of the drawn normals A is upper triangular with a positive diagonal
  auto matrix = [](Init init) { return initialWeights(planWith({"w", DType::F64, {6, 4}, init}), 3).at("w").toDoubles(); };
  auto q = matrix({Init::Kind::Orthogonal, 1}), a = matrix({Init::Kind::Normal, 0, 1});
  for (size_t i = 0; i < 4; ++i)
    for (size_t j = 0; j < 4; ++j) {
      double r = 0;
      for (size_t k = 0; k < 6; ++k)
        r += q[k * 4 + i] * a[k * 4 + j];
      if (i > j)
        EXPECT_NEAR(r, 0, 1e-14);
      if (i == j)
        EXPECT_GT(r, 0);
    }
}

TEST(Devices, AreOpenedByName) {
  EXPECT_EQ(openDevice("cpu")->name(), "cpu");
  EXPECT_EQ(openDevice("check(cpu, check(cpu,cpu))")->name(), "check(cpu,check(cpu,cpu))");
  for (const char* name : {"", "gpu", "check(cpu)", "check(cpu,cpu", "cpu:0"})
    EXPECT_FAULT(openDevice(name), Fault::Usage, "known: cpu, cuda:N (a GPU by its number), ptx-emulator:TARGET");
  EXPECT_FAULT(openDevice("cpp"), Fault::Usage, "did you mean \"cpu\"?");
  EXPECT_EQ(listDevices()[0].name, "cpu");
  EXPECT_TRUE(listDevices()[0].available);
}

TEST(Compiler, SaysWhereItLooked) {
  setCompilerLibrary("/nowhere/libmoec_compiler.so");
  EXPECT_FAULT(compilerLibrary(), Fault::Device, "/nowhere/libmoec_compiler.so");
  EXPECT_FAULT(openDevice("reference"), Fault::Device, "is not installed; looked at:");
  for (const DeviceDescription& device : listDevices())
    EXPECT_TRUE(device.name != "reference" || !device.available);
  setCompilerLibrary(MOEC_TINY_KERNELS);
  EXPECT_FAULT(compilerLibrary(), Fault::Device, "no moec compiler library");
  setCompilerLibrary(MOEC_OTHER_COMPILER);
  EXPECT_FAULT(compilerLibrary(), Fault::Device, "its build is other-build, the runtime's " + std::string(kBuildId));
  setCompilerLibrary("");
}

} // namespace
} // namespace moec
