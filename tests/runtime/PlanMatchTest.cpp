// Owner of the check of two devices that have plans of their own: the tiny program for the CPU (packed weights) against the one for a GPU (plain ones).

#include "runtime/core/CpuTarget.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyCudaProgram.h"
#include "tests/runtime/TinyProgram.h"
#include "tests/runtime/TinyTraining.h"

#include <algorithm>

namespace moec {
namespace {

ProgramData bothTargets(const std::vector<PtxChange>& changes = {}) {
  ProgramData both = tinyCudaProgramData(changes), cpu = tinyProgramData();
  both.plans.push_back(cpu.plans[0]);
  both.kernels.insert(cpu.kernels.begin(), cpu.kernels.end());
  return both;
}

CheckReport checkBoth(const ProgramData& data, const std::string& a = "ptx-emulator:sm_80", const std::string& b = "cpu") {
  Program program(data);
  return check(program, openDevice(a), openDevice(b), initialWeights(program.data().plans[0], 1), {{"x", tinyTokens(50, 4)}}, {.seed = 1, .step = 2});
}

TEST(CheckOfTwoPlans, EqualDevicesPass) {
  for (bool emulatorFirst : {true, false}) {
    CheckReport report = emulatorFirst ? checkBoth(bothTargets()) : checkBoth(bothTargets(), "cpu", "ptx-emulator:sm_80");
    EXPECT_TRUE(report.passed()) << report.describeFailures();
    ASSERT_EQ(report.launches.size(), 3u); // packing is not compared: only the CPU packs
    for (const LaunchCheck& launch : report.launches) {
      EXPECT_EQ(launch.list, LaunchList::Forward);
      EXPECT_EQ(launch.worst, 0) << launch.kind;
    }
    EXPECT_EQ(report.outputs.size(), 2u);
  }
}

TEST(CheckOfTwoPlans, AWrongSumIsFoundInItsLaunchAlone) {
  CheckReport report = checkBoth(bothTargets({{"{up}", "  mul.rn.f32 %f0, %f0, 0f3F814000;\n  st.global.f32 [%at], %f0;"}})); // 1 % too much
  ASSERT_EQ(report.launches.size(), 3u);
  EXPECT_TRUE(report.launches[0].passed);
  EXPECT_FALSE(report.launches[1].passed);
  EXPECT_EQ(report.launches[1].buffer, "rows");
  EXPECT_TRUE(report.launches[2].passed); // it began from B's rows
  EXPECT_FALSE(report.outputs[0].passed);
}

TEST(CheckOfTwoPlans, ServesASession) {
  Session session(Program(bothTargets()), "check(ptx-emulator:sm_80,cpu)");
  EXPECT_EQ(session.plan().target, "cuda:sm_80");
  for (uint64_t seed : {1, 2}) { // weights anew: the CPU packs them again
    session.init(seed);
    session.run({{"x", tinyTokens(9, 1)}});
  }
  const CheckReport& report = dynamic_cast<CheckExecutable&>(session.executable()).report();
  EXPECT_EQ(report.launches.size(), 6u);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

TEST(CheckOfTwoPlans, NeedsBothTargets) {
  EXPECT_EQ(openDevice("check(ptx-emulator:sm_80,check(cpu,cpu))")->targets(), (std::vector<std::string>{"cuda:sm_80", "cpu"}));
  EXPECT_FAULT(checkBoth(tinyCudaProgramData()), Fault::Device, "compile it with --target " + nativeCpuTarget());
}

TEST(PlanMatch, SaysWhichLaunchesDoNotStandForEachOther) {
  Plan a = tinyCudaPlan(), b = tinyProgramData().plans[0];
  PlanMatch match = matchPlans(a, b);
  EXPECT_FALSE(match.same);
  EXPECT_EQ(match.buffers, (std::vector<int>{0, 1, 3, 4, 5, 6, -1}));
  EXPECT_TRUE(matchPlans(a, a).same);

  auto broken = [&](auto change) {
    Plan other = b;
    change(other);
    return thrownBy([&] { matchPlans(a, other); });
  };
  auto expect = [&](const Thrown& thrown, const std::string& part) {
    EXPECT_EQ(thrown.fault, Fault::Usage);
    EXPECT_TRUE(thrown.says(part)) << thrown.message << "\n  lacks: " << part;
    EXPECT_TRUE(thrown.says("check each against reference")) << thrown.message;
  };
  expect(broken([](Plan& p) { p.forward[1].kind = "matmul"; }), "forward launch 1 is experts (expert_up) for cuda:sm_80 and experts (matmul) for cpu:");
  expect(broken([](Plan& p) { p.forward.pop_back(); }), "cuda:sm_80 has 3 forward launches");
  expect(broken([](Plan& p) { p.forward.pop_back(); }), "the first one more is experts (expert_down)");
  expect(broken([](Plan& p) { p.forward[1].inputs.pop_back(); }), "with 2 and 1 inputs");
  expect(broken([](Plan& p) { p.forward[2].inputs = {3, 4}; }), "and input 0 is buffer 'rows' for cuda:sm_80, which stood for another than 'routing'");
  expect(broken([](Plan& p) { p.forward[1].inputs[1] = 0; }), "with 2 and 3 inputs");
  expect(broken([](Plan& p) { p.buffers[4].dtype = DType::F64; }), "has another dtype or shape in 'rows'");
  expect(broken([](Plan& p) { p.parameters[0].name = "v"; }), "parameter 0 is 'w' for cuda:sm_80 and 'v'");
  expect(broken([](Plan& p) { p.outputs.pop_back(); }), "has 2 outputs");
  b.forward[1].inputs = {0, 3, 2}; // where the weight stands is the schedule's
  EXPECT_EQ(matchPlans(a, b).buffers, match.buffers);
}

/// The tiny plan with its three launches in one.
Plan layerPlan(Plan plan) {
  auto place = [&](const char* name) {
    return static_cast<int>(std::find_if(plan.buffers.begin(), plan.buffers.end(), [&](const BufferInfo& buffer) { return buffer.name == name; }) -
                            plan.buffers.begin());
  };
  LaunchInfo layer = plan.forward[2];
  layer.kernel = "tiny_layer";
  layer.kind = "moe_layer";
  layer.inputs = {place("w"), place("x")};
  layer.outputs = {place("y"), place("total")};
  layer.workspaces = {};
  plan.forward = {layer};
  plan.target = "cuda:sm_90a";
  return plan;
}

TEST(PlanMatch, ALayerInOneLaunchStandsForItsParts) {
  Plan layer = layerPlan(tinyCudaPlan()), parts = tinyProgramData().plans[0];
  for (bool isFirst : {true, false}) {
    const Plan &a = isFirst ? layer : parts, &b = isFirst ? parts : layer;
    PlanMatch match = matchPlans(a, b);
    ASSERT_EQ(match.forward.size(), 1u);
    EXPECT_EQ(match.forward[0].countA, isFirst ? 1u : 3u);
    EXPECT_EQ(match.forward[0].countB, isFirst ? 3u : 1u);
    EXPECT_EQ(&match.of(LaunchList::Forward, match.forward[0].countA - 1), &match.forward[0]);
    // x, w, y, total; routing and rows are the parts' own.
    EXPECT_EQ(match.buffers, isFirst ? (std::vector<int>{0, 1, -1, -1, 5, 6, -1}) : (std::vector<int>{0, 1, -1, -1, -1, 4, 5, -1}));
  }
  Plan other = parts;
  other.outputs.push_back({.name = "choices", .dtype = DType::I32, .shape = other.buffers[3].shape, .buffer = 3});
  other.buffers[3].kind = BufferKind::Output;
  Thrown thrown = thrownBy([&] { matchPlans(layer, other); });
  EXPECT_TRUE(thrown.says("forward launch 0 is experts (moe_layer) for cuda:sm_90a and gate (gate) for")) << thrown.message;
  EXPECT_TRUE(thrown.says("experts (moe_layer) for 3 launches, with 1 and 1 inputs, 2 and 3 outputs")) << thrown.message;
}

TEST(PlanMatch, PlansForTrainingPackOnTheirOwn) {
  Plan a = tinyTrainingData(true).plans[1], b = a;
  // B reads w in panels that it packs in every call.
  b.target = "cuda:sm_80";
  auto packed = static_cast<int>(b.buffers.size());
  for (BufferInfo& buffer : b.buffers)
    if (buffer.kind == BufferKind::Temporary) {
      ++buffer.firstLaunch;
      ++buffer.lastLaunch;
    }
  b.buffers.push_back({.name = "w.packed", .shape = {kTinyWidth}, .firstLaunch = 0, .lastLaunch = 1});
  int weight = a.parameters[0].buffer;
  b.forward.insert(b.forward.begin(), {.kernel = "pack", .label = "w", .kind = "pack", .inputs = {weight}, .outputs = {packed}, .stages = {{1, 0, 1}}});
  std::ranges::replace(b.forward[1].inputs, weight, packed);
  checkPlan(b);
  for (bool isFirst : {true, false}) {
    PlanMatch match = isFirst ? matchPlans(a, b) : matchPlans(b, a);
    ASSERT_EQ(match.forward.size(), 3u);
    EXPECT_EQ(match.forward[0].countA, isFirst ? 1u : 2u);
    EXPECT_EQ(match.forward[0].countB, isFirst ? 2u : 1u);
    EXPECT_FALSE(match.forward[0].isLayer);
    EXPECT_EQ(match.forward[1].firstB, isFirst ? 2u : 1u);
    EXPECT_EQ(match.apply.size(), 2u);
    for (size_t i = 0; i < a.buffers.size(); ++i)
      EXPECT_EQ(match.buffers[i], static_cast<int>(i)) << a.buffers[i].name;
    if (!isFirst)
      EXPECT_EQ(match.buffers[static_cast<size_t>(packed)], -1);
  }
  b.apply.pop_back();
  Thrown thrown = thrownBy([&] { matchPlans(a, b); });
  EXPECT_TRUE(thrown.says("has 2 apply launches, cuda:sm_80 has 1")) << thrown.message;
}

TEST(PlanMatch, SaysWhichLaunchesAreNoPartsOfALayer) {
  Plan layer = layerPlan(tinyCudaPlan());
  auto refusal = [&](auto change) {
    Plan parts = tinyProgramData().plans[0];
    change(parts);
    Thrown thrown = thrownBy([&] { matchPlans(layer, parts); });
    EXPECT_EQ(thrown.fault, Fault::Usage);
    return thrown.message;
  };
  for (const std::string& message : {refusal([](Plan& p) { p.forward[1].kind = "rows"; }), refusal([](Plan& p) { p.forward[2].label = "others"; }),
                                     refusal([](Plan& p) { p.forward.pop_back(); })})
    EXPECT_NE(message.find("forward launch 0 is experts (moe_layer) for cuda:sm_90a and gate (gate) for cpu:"), std::string::npos) << message;
  std::string message = refusal([](Plan& p) { p.forward.push_back({.label = "behind", .kind = "rows", .inputs = {5}}); });
  EXPECT_NE(message.find("cuda:sm_90a has 1 forward launches"), std::string::npos) << message;
  EXPECT_NE(message.find("the first one more is behind (rows)"), std::string::npos) << message;
  // Rows that another launch reads too are visible beside the layer.
  message = refusal([](Plan& p) { p.forward.push_back({.label = "behind", .kind = "rows", .inputs = {4}}); });
  EXPECT_NE(message.find("with 1 and 1 inputs, 2 and 3 outputs"), std::string::npos) << message;
}

} // namespace
} // namespace moec
