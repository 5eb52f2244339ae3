// Small MoE layers in one launch. Of CUDA targets: in the plan, on the emulator against the CPU and the reference, and through dumps. Of the CPU: in the plan,
// and to the bit against their parts.

#include "runtime/Training.h"
#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>

namespace moec::test {

namespace {

/// vit-moe for one picture: 65 tokens, whatever is called.
std::filesystem::path onePicture() {
  return patchedModel("vit-moe.json", R"({"inputs": {"image": {"shape": [1, 3, 32, 32]}, "label": {"shape": [1]}}, "check": null})");
}

std::optional<Program> compiled(const std::filesystem::path& model, std::vector<std::string> targets, std::string& missing) {
  CompileOptions options;
  options.targets = std::move(targets);
  options.kernelCache = sharedKernels();
  try {
    return compileFile(model, options).program;
  } catch (const Error& error) {
    if (!std::string(error.what()).starts_with("CUDA targets need NVRTC"))
      throw;
    missing = error.what();
    return std::nullopt;
  }
}

std::vector<std::string> kindsOf(const Plan& plan) {
  std::vector<std::string> kinds;
  for (const LaunchInfo& launch : plan.forward)
    kinds.push_back(launch.kind);
  return kinds;
}

std::string missingEmulator() {
  for (const DeviceDescription& device : listDevices())
    if (device.name.starts_with("ptx-emulator") && !device.available)
      return device.reason;
  return {};
}

const Plan& planOf(const Program& program, const std::string& target) {
  for (const Plan& plan : program.data().plans)
    if (plan.target.starts_with(target))
      return plan;
  throw std::runtime_error("no plan for " + target);
}

} // namespace

/// The launches of both devices agree; those of two layers are one on one of them.
void expectAgreement(const Program& program, const char* a, const char* b) {
  TensorMap weights = initialWeights(program.data().plans.front(), 1), inputs = modelInputs(program.data().plans.front());
  CheckReport report = check(program, openDevice(a), openDevice(b), weights, inputs, {.seed = 3});
  EXPECT_TRUE(report.passed()) << a << " against " << b << "\n" << report.describeFailures();
  EXPECT_EQ(std::count_if(report.launches.begin(), report.launches.end(), [](const LaunchCheck& launch) { return launch.kind == "moe_layer"; }), 2);
}

TEST(LayerLaunches, OfAGpuHaveACountOfTokensThatIsKnown) {
  std::string missing;
  auto program = compiled(onePicture(), {"cuda:sm_90a"}, missing);
  if (!program)
    GTEST_SKIP() << "[SKIP] " << missing;
  const Plan& cuda = planOf(*program, "cuda");
  std::vector<std::string> kinds = kindsOf(cuda);
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "moe_layer"), 2);
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "gate"), 0);
  for (const LaunchInfo& launch : cuda.forward)
    if (launch.kind == "moe_layer") {
      EXPECT_EQ(launch.stages.size(), 1u);
      EXPECT_NE(launch.reason.find("; one launch: one block would take about"), std::string::npos) << launch.reason;
    }
  if (std::string why = missingEmulator(); !why.empty())
    GTEST_SKIP() << "[SKIP] " << why;
  expectAgreement(*program, "ptx-emulator:sm_90a", "reference");
}

// Of any number of pictures the layer is one launch on the CPU and its parts on a GPU.
TEST(LayerLaunches, OneLaunchStandsForItsPartsInAnyPair) {
  std::string missing;
  auto program = compiled(patchedModel("vit-moe.json", R"({"check": {"batch": 1}})"), {"cpu", "cuda:sm_90a"}, missing);
  if (!program)
    GTEST_SKIP() << "[SKIP] " << missing;
  const Plan &cuda = planOf(*program, "cuda"), &cpu = planOf(*program, "cpu");
  EXPECT_EQ(kindsOf(cuda).size(), kindsOf(cpu).size() + 4);
  int layers = 0;
  for (const LaunchInfo& launch : cpu.forward)
    if (launch.kind == "moe_layer") {
      ++layers;
      Size flops;
      for (const LaunchInfo& part : cuda.forward)
        if (part.label.starts_with(launch.label))
          flops = flops + part.flops;
      EXPECT_EQ(launch.flops.str(), flops.str());
    }
  EXPECT_EQ(layers, 2);
  if (std::string why = missingEmulator(); !why.empty())
    GTEST_SKIP() << "[SKIP] " << why;
  for (auto [a, b] : {std::pair("ptx-emulator:sm_90a", "cpu"), std::pair("cpu", "ptx-emulator:sm_90a")})
    expectAgreement(*program, a, b);
}

/// A layer of 4 experts of any number of tokens, as a program; or by its parts: a gate that has a schedule stays a kernel of its own.
Program smallLayer(const std::string& gate, const std::string& experts, bool byParts) {
  TemporaryFolder folder;
  auto path = folder.path() / "layer.json", dump = folder.path() / "fuse.mlir";
  std::ofstream(path) << R"({"name": "layer", "inputs": {"x": {"shape": ["tokens", 24]}}, "check": {"tokens": 333},
    "model": [{"kind": "moe", "name": "y", "gate": )" +
                             gate + R"(, "experts": )" + experts + "}]}";
  CompileOptions options{.targets = {"cpu"}, .kernelCache = sharedKernels()};
  if (!byParts)
    return compile(path, options);
  std::string fused = compileFile(path, {.targets = {"cpu"}, .stopAfter = "fuse"}).text;
  size_t body = fused.find(" {\n    ^bb0", fused.find("moe.kernel \"gate\""));
  fused.insert(body, " schedule {nr = 16 : i64, pack_rows = 0 : i64, panels = 1 : i64, row_block = 4 : i64, rows = 4 : i64, slice = 24 : i64}");
  std::ofstream(dump) << fused;
  options.from = "schedule";
  return *compileFile(dump, options).program;
}

TEST(LayerLaunches, OfTheCpuHaveTheBitsOfTheirPartsByAnyNumberOfThreads) {
  const std::string topK = R"({"kind": "top_k", "top_k": 2})", mlp = R"({"kind": "mlp", "count": 4, "hidden": 40, "activation": "gelu"})";
  for (const auto& [gate, experts] : {std::pair(topK, mlp), std::pair(topK, std::string(R"({"kind": "gated_mlp", "count": 4, "hidden": 40})")),
                                      std::pair(topK, std::string(R"({"kind": "linear", "count": 4, "out": 24})")),
                                      std::pair(std::string(R"({"kind": "top_2", "policy": "all", "capacity": 0.75})"), mlp),
                                      std::pair(std::string(R"({"kind": "gshard", "top_k": 2, "capacity": 0.75, "random_routing": true})"), mlp)}) {
    SCOPED_TRACE(gate + experts);
    Program layer = smallLayer(gate, experts, false), parts = smallLayer(gate, experts, true);
    const Plan& plan = planOf(layer, "cpu");
    ASSERT_EQ(kindsOf(plan), std::vector<std::string>{"moe_layer"});
    EXPECT_NE(plan.forward[0].reason.find("; one launch: blocks of "), std::string::npos) << plan.forward[0].reason;
    std::vector<std::string> kinds = kindsOf(planOf(parts, "cpu"));
    EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "moe_layer"), 0);
    EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "expert_down"), 1);

    TensorMap weights = initialWeights(plan, 1), inputs = generatedInputs(plan, 2);
    auto run = [&](const Program& program, int threads) {
      Session session(program, "cpu", {.threads = threads});
      session.load(weights);
      return session.run(inputs).at("y").clone();
    };
    Tensor wanted = run(parts, 1);
    for (int threads : {1, 2, 5}) {
      Tensor got = run(layer, threads);
      ASSERT_EQ(got.bytes(), wanted.bytes());
      EXPECT_EQ(std::memcmp(got.data(), wanted.data(), got.bytes()), 0) << threads << " threads";
    }
    CheckReport report = check(layer, openDevice("cpu"), openDevice("reference"), weights, inputs, {});
    EXPECT_TRUE(report.passed()) << report.describeFailures();
  }
}

// Also where cheap values are computed again: the way back reads others then, which are the same.
TEST(LayerLaunches, OfTheWayBackHaveTheSameBitsByAnyNumberOfThreads) {
  TemporaryFolder folder;
  auto path = folder.path() / "layer.json";
  for (const char* experts : {R"({"kind": "mlp", "count": 4, "hidden": 40, "activation": "gelu"})", R"({"kind": "gated_mlp", "count": 4, "hidden": 40})"})
    for (bool isOne :
         {true, false}) { // the second layer of two, and a linear in front, want gradients of x; rows behind those that capacities drop are nobody's
      SCOPED_TRACE(experts);
      std::string layer = std::string(R"({"kind": "moe", "name": "y", "gate": )") +
                          (isOne ? R"({"kind": "top_k", "top_k": 2})" : R"({"kind": "top_2", "policy": "all", "capacity": 0.25})") + R"(, "experts": )" +
                          experts + "}";
      std::string before = layer;
      before.replace(before.find("\"y\""), 3, "\"first\"");
      int64_t layers = isOne ? 1 : 2;
      std::ofstream(path) << R"({"name": "layer", "inputs": {"x": {"shape": ["tokens", 24]}, "target": {"shape": ["tokens", 24], "for": "loss"}},
        "model": [)" << (isOne ? layer : R"({"kind": "linear", "out": 24}, )" + before + ", " + layer)
                          << R"(],
        "loss": {"kind": "mse", "prediction": "y", "target": "target"}, "optimizer": {"kind": "sgd"}, "check": {"tokens": 777}})";
      auto compiledBy = [&](bool recompute) {
        return compile(path, {.targets = {"cpu"}, .train = true, .recompute = recompute, .kernelCache = sharedKernels()});
      };
      auto planOf = [](const Program& program) -> const Plan& { return *std::ranges::find(program.data().plans, Purpose::Training, &Plan::purpose); };
      Program program = compiledBy(false), again = compiledBy(true);
      for (const Program* one : {&program, &again}) {
        std::vector<std::string> kinds = kindsOf(planOf(*one));
        EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "layer_grad"), layers);
        EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "moe_layer"), layers);
        EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "gate"), 0);
        EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "weight_grad"), 0);
      }

      TensorMap weights = initialWeights(planOf(program), 1), inputs = modelInputs(planOf(program));
      auto trained = [&](const Program& one, int threads) {
        Training training(one, "cpu", {.threads = threads});
        training.load(weights);
        for (int step = 0; step < 2; ++step)
          training.step(inputs, {.learningRate = 0.1});
        return training.weights();
      };
      TensorMap wanted = trained(program, 1);
      for (auto [one, threads] : {std::pair(&program, 2), std::pair(&program, 5), std::pair(&again, 2)})
        for (const auto& [name, got] : trained(*one, threads))
          EXPECT_EQ(std::memcmp(got.data(), wanted.at(name).data(), got.bytes()), 0)
              << name << ", " << threads << " threads" << (one == &again ? ", computed again" : "");
      CheckReport report = checkTraining(program, openDevice("cpu"), openDevice("reference"), weights, inputs, {.learningRate = 0.1});
      EXPECT_TRUE(report.passed()) << report.describeFailures();
    }
}

TEST(LayerLaunches, ASizeOfTheCallKeepsThePartsAndSaysWhy) {
  std::string missing;
  auto program = compiled(patchedModel("vit-moe.json"), {"cuda:sm_90a"}, missing);
  if (!program)
    GTEST_SKIP() << "[SKIP] " << missing;
  int gates = 0;
  for (const LaunchInfo& launch : planOf(*program, "cuda").forward) {
    EXPECT_NE(launch.kind, "moe_layer");
    if (launch.kind == "gate") {
      ++gates;
      EXPECT_NE(launch.reason.find("not one launch with its experts: it routes 65*batch tokens"), std::string::npos) << launch.reason;
    }
  }
  EXPECT_EQ(gates, 2);
}

TEST(LayerLaunches, TheDumpOfAScheduleGoesOnWithTheLayer) {
  std::string missing;
  auto program = compiled(onePicture(), {"cuda:sm_90a"}, missing);
  if (!program)
    GTEST_SKIP() << "[SKIP] " << missing;
  TemporaryFolder folder;
  CompileOptions stop;
  stop.targets = {"cuda:sm_90a"};
  stop.stopAfter = "schedule";
  std::string dump = compileFile(onePicture(), stop).text;
  EXPECT_NE(dump.find("moe.kernel \"moe_layer\" \"layers.0.moe\""), std::string::npos);
  auto path = folder.path() / "schedule.mlir";
  std::ofstream(path) << dump;
  CompileOptions resume;
  resume.from = "plan";
  resume.kernelCache = sharedKernels();
  Program again = *compileFile(path, resume).program;
  EXPECT_EQ(toJson(again.data().plans.front()), toJson(program->data().plans.front()));
}

TEST(LayerLaunches, AKernelHoldsWhatTheLayersPartsHold) {
  TemporaryFolder folder;
  CompileOptions options;
  options.targets = {"cuda:sm_90a"};
  options.stopAfter = "schedule";
  std::string text = compileFile(onePicture(), options).text;
  options.stopAfter = "plan";
  options.from = "plan";
  auto complaint = [&](const std::string& kind, const std::string& instead) {
    std::string edited = text, before = "moe.kernel \"" + kind + "\"";
    edited.replace(edited.find(before), before.size(), "moe.kernel \"" + instead + "\"");
    auto path = folder.path() / (kind + ".mlir");
    std::ofstream(path) << edited;
    try {
      compileFile(path, options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(complaint("attention", "moe_layer").find("a 'moe_layer' kernel cannot hold 'moe.attention'"), std::string::npos);
  EXPECT_NE(complaint("moe_layer", "gate").find("a 'gate' kernel cannot hold 'moe.grouped_matmul'"), std::string::npos);
}

} // namespace moec::test
