// Owner of the plan's JSON, its checks, and the arena's layout.

#include "runtime/core/Plan.h"
#include "runtime/core/Base64.h"
#include "runtime/core/Error.h"
#include "tests/runtime/Faults.h"

#include <nlohmann/json.hpp>

#include <random>

namespace moec {
namespace {

Plan samplePlan() {
  Plan plan;
  plan.target = "cpu:x86-64-v3";
  plan.invariant = true;
  plan.checkSizes = {{"T", 3}};
  Size t = Size::symbol("T");
  plan.buffers = {{.name = "x", .kind = BufferKind::Input, .dtype = DType::F32, .shape = {t, 4}},
                  {.name = "w", .kind = BufferKind::Parameter, .dtype = DType::F32, .shape = {4, 4}},
                  {.name = "w.packed", .kind = BufferKind::Prepared, .dtype = DType::F32, .shape = {16}},
                  {.name = "routing",
                   .kind = BufferKind::Temporary,
                   .dtype = DType::I32,
                   .shape = {t * 4 + 4},
                   .firstLaunch = 0,
                   .lastLaunch = 1,
                   .isRouting = true,
                   .experts = 3,
                   .choices = 2},
                  {.name = "rows", .kind = BufferKind::Temporary, .dtype = DType::F32, .shape = {t * 2, 4}, .firstLaunch = 0, .lastLaunch = 1, .raggedBy = 3},
                  {.name = "y", .kind = BufferKind::Output, .dtype = DType::BF16, .shape = {Size::parse("ceil(1.2*T)")}},
                  {.name = "table", .kind = BufferKind::Constant, .dtype = DType::U8, .shape = {5}, .data = {1, 2, 3, 254, 255}},
                  {.name = "space", .kind = BufferKind::Temporary, .dtype = DType::U8, .shape = {100}, .firstLaunch = 1, .lastLaunch = 1}};
  plan.prepare = {{.kernel = "pack", .label = "w", .kind = "pack", .inputs = {1}, .outputs = {2}, .stages = {{4, 0, 16}}}};
  plan.forward = {{.kernel = "route",
                   .label = "gate",
                   .kind = "gate",
                   .inputs = {0},
                   .outputs = {3, 4},
                   .sizes = {t, 4},
                   .streams = {"gate.noise"},
                   .stages = {{t, 64, t * 8}, {1, 0, 1}},
                   .ops = {"moe.select", "moe.assign"},
                   .reason = "a \"reason\"",
                   .schedule = "s",
                   .flops = t * 8,
                   .bytes = t * 16},
                  {.kernel = "mul", .label = "up", .kind = "matmul", .inputs = {4, 2, 3, 6}, .outputs = {5}, .stages = {{t, 0, t}}, .workspaces = {7}}};
  plan.inputs = {{.name = "x", .dtype = DType::F32, .shape = {t, 4}, .buffer = 0, .photo = PhotoRule{PhotoRule::Resize::Stretch, {0.5}, {0.25}}},
                 {.name = "label", .dtype = DType::I64, .shape = {t}, .below = 10, .except = -100, .forLoss = true},
                 {.name = "gate.noise", .dtype = DType::F32, .shape = {t}, .isDraw = true}};
  plan.parameters = {{.name = "w", .dtype = DType::F32, .shape = {4, 4}, .init = {Init::Kind::Normal, 0, 0.1}, .buffer = 1}};
  plan.outputs = {{.name = "y", .dtype = DType::BF16, .shape = {Size::parse("ceil(1.2*T)")}, .buffer = 5}};
  return plan;
}

TEST(PlanJson, SaysWhereRowsDependOnTheirNeighboursOrThatTheyDoNot) {
  Plan plan = samplePlan();
  plan.invariant = false;
  plan.couplings = {{"gate", "assign shares an expert's capacity"}, {"", "everywhere"}};
  Plan read = parsePlan(toJson(plan));
  ASSERT_EQ(read.couplings.size(), 2);
  EXPECT_EQ(describe(read.couplings[0]), "gate: assign shares an expert's capacity");
  EXPECT_EQ(describe(read.couplings[1]), "everywhere");
  plan.invariant = true;
  try {
    checkPlan(plan);
    FAIL() << "both were taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Data);
  }
}

TEST(PlanJson, SaysWhetherTilesAreUsed) {
  Plan plan = samplePlan();
  EXPECT_FALSE(parsePlan(toJson(plan)).usesTiles);
  plan.usesTiles = true;
  EXPECT_TRUE(parsePlan(toJson(plan)).usesTiles);
  plan.target = "cpu:x86-64-v4+amx";
  plan.usesTiles = false;
  nlohmann::json written = nlohmann::json::parse(toJson(plan));
  EXPECT_FALSE(parsePlan(written.dump()).usesTiles);
  written.erase("uses_tiles"); // as programs were before they said so
  EXPECT_TRUE(parsePlan(written.dump()).usesTiles);
}

TEST(PlanJson, RoundTripsEveryField) {
  std::string text = toJson(samplePlan());
  Plan plan = parsePlan(text);
  EXPECT_EQ(toJson(plan), text);
  EXPECT_EQ(plan.target, "cpu:x86-64-v3");
  EXPECT_TRUE(plan.invariant);
  EXPECT_EQ(plan.checkSizes.at("T"), 3);
  EXPECT_EQ(plan.buffers[6].data, (std::vector<uint8_t>{1, 2, 3, 254, 255}));
  EXPECT_EQ(plan.buffers[4].raggedBy, 3);
  EXPECT_EQ(plan.buffers[3].experts, 3);
  EXPECT_EQ(plan.buffers[5].shape[0].str(), "ceil(1.2*T)");
  EXPECT_EQ(plan.forward[0].streams, std::vector<std::string>{"gate.noise"});
  EXPECT_EQ(plan.forward[0].stages[0].scratchBytes, Size(64));
  EXPECT_EQ(plan.forward[1].workspaces, std::vector<int>{7});
  EXPECT_EQ(plan.forward[0].reason, "a \"reason\"");
  EXPECT_EQ(plan.inputs[0].photo->std[0], 0.25);
  EXPECT_EQ(plan.inputs[1].below, 10);
  EXPECT_EQ(plan.inputs[1].except, -100);
  EXPECT_TRUE(plan.inputs[1].forLoss);
  EXPECT_TRUE(plan.inputs[2].isDraw);
  EXPECT_EQ(plan.parameters[0].init.b, 0.1);
  EXPECT_EQ(plan.parameters[0].init.kind, Init::Kind::Normal);
}

/// The sample's buffers, with a parameter and a state that two lists update.
Plan sampleTrainingPlan() {
  Plan plan = samplePlan();
  plan.purpose = Purpose::Training;
  plan.prepare.clear();
  plan.buffers[2] = {.name = "w.momentum", .kind = BufferKind::State, .dtype = DType::F32, .shape = {4, 4}};
  plan.buffers.push_back({.name = "norm", .kind = BufferKind::Output, .dtype = DType::F32, .shape = {}});            // 8
  plan.buffers.push_back({.name = "mean", .dtype = DType::F32, .shape = {4, 4}, .firstLaunch = 2, .lastLaunch = 3}); // 9
  plan.buffers.push_back({.name = "rate", .kind = BufferKind::Input, .dtype = DType::F64, .shape = {}});             // 10
  plan.apply = {{.kernel = "mean", .label = "w", .kind = "update", .inputs = {2}, .outputs = {9, 2}, .stages = {{1, 0, 1}}},
                {.kernel = "update", .label = "w", .kind = "update", .inputs = {9, 1, 10}, .outputs = {8, 1}, .stages = {{1, 0, 1}}}};
  plan.states = {{{.name = "w.momentum", .dtype = DType::F32, .shape = {4, 4}, .buffer = 2}, "w"}};
  plan.inputs.push_back({.name = kLearningRateInput, .dtype = DType::F64, .buffer = 10, .list = LaunchList::Apply});
  plan.outputs.push_back({.name = "gradient_norm", .dtype = DType::F32, .buffer = 8, .list = LaunchList::Apply});
  return plan;
}

TEST(PlanJson, RoundTripsTraining) {
  std::string text = toJson(sampleTrainingPlan());
  Plan plan = parsePlan(text);
  EXPECT_EQ(toJson(plan), text);
  EXPECT_EQ(plan.purpose, Purpose::Training);
  EXPECT_EQ(plan.states[0].from, "w");
  EXPECT_EQ(plan.apply[1].outputs, (std::vector<int>{8, 1}));
  EXPECT_EQ(plan.inputs.back().list, LaunchList::Apply);
  EXPECT_EQ(plan.outputs[0].list, LaunchList::Forward);
  EXPECT_EQ(plan.outputs[1].list, LaunchList::Apply);
  EXPECT_EQ(toJson(samplePlan()).find("\"purpose\""), std::string::npos); // what a moec without training reads
}

TEST(CheckPlan, RefusesTrainingThatCannotBe) {
  auto refusal = [](auto change) {
    Plan plan = sampleTrainingPlan();
    change(plan);
    return thrownBy([&] { checkPlan(plan); }).message;
  };
  auto expect = [](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message << "\n  lacks: " << part;
  };
  EXPECT_EQ(refusal([](Plan&) {}), "");
  expect(refusal([](Plan& p) { p.apply[1].inputs.push_back(2); }), "apply launch 1 (w) uses w.momentum, which launch 0 (w) has updated");
  expect(refusal([](Plan& p) { p.apply[1].outputs.push_back(2); }), "apply launch 1 (w) uses w.momentum, which launch 0 (w) has updated");
  expect(refusal([](Plan& p) { p.buffers[9].firstLaunch = 1; }), "buffer 9 (mean) lives from forward launch 1 into apply launch 1");
  expect(refusal([](Plan& p) { p.apply[0].inputs.push_back(0); }), "apply launch 0 (w) uses x, whose size depends on the call");
  expect(refusal([](Plan& p) { p.apply[0].inputs.push_back(4); }), "apply launch 0 (w) uses rows, which lives from launch 0 to 1");
  expect(refusal([](Plan& p) { p.outputs[0].list = LaunchList::Apply; }), "output y of apply has a size that depends on the call");
  expect(refusal([](Plan& p) { p.prepare = samplePlan().prepare; }), "it is for training, and prepares weights");
  expect(refusal([](Plan& p) { p.states[0].from = "v"; }), "state w.momentum begins with 'v', which is no parameter of its shape");
  expect(refusal([](Plan& p) { p.states[0].buffer = 1; }), "state w.momentum has a buffer of another kind");
  expect(refusal([](Plan& p) { p.purpose = Purpose::Inference; }), "apply launch 1 (w) writes w");
  expect(refusal([](Plan& p) {
           p.purpose = Purpose::Inference;
           p.apply.clear();
           p.buffers[9].firstLaunch = p.buffers[9].lastLaunch = -1;
         }),
         "it is for inference, and has states or something to apply");
  expect(refusal([](Plan& p) {
           p.purpose = Purpose::Evaluation;
           p.apply.clear();
           p.buffers[9].firstLaunch = p.buffers[9].lastLaunch = -1;
         }),
         "it is for evaluation, and has states or something to apply");
  Plan writes = samplePlan();
  writes.forward[1].outputs.push_back(1);
  EXPECT_FAULT(checkPlan(writes), Fault::Data, "forward launch 1 (up) writes w");
}

TEST(CheckPlan, HoldsGenerationToItsStates) {
  auto refusal = [](auto change) {
    Plan plan = samplePlan();
    plan.purpose = Purpose::Generation;
    plan.buffers.push_back({.name = "keys", .kind = BufferKind::State, .dtype = DType::F32, .shape = {4, 4}}); // 8
    plan.states = {{{.name = "keys", .dtype = DType::F32, .shape = {4, 4}, .buffer = 8}, {}}};
    plan.forward[0].inputs.push_back(8);
    plan.forward[0].outputs.push_back(8);
    change(plan);
    return thrownBy([&] { checkPlan(plan); }).message;
  };
  auto expect = [](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message << "\n  lacks: " << part;
  };
  EXPECT_EQ(refusal([](Plan& p) { EXPECT_EQ(toJson(parsePlan(toJson(p))), toJson(p)); }), ""); // weights are prepared, as for inference
  expect(refusal([](Plan& p) { p.forward[1].inputs.push_back(8); }), "uses keys, which launch 0");
  expect(refusal([](Plan& p) { p.forward[1].outputs.push_back(1); }), "forward launch 1 (up) writes w");
  expect(refusal([](Plan& p) { p.states[0].buffer = 1; }), "state keys has a buffer of another kind");
  expect(refusal([](Plan& p) { p.buffers[8].shape[0] = Size::symbol("T"); }), "has a size that depends on the call");
  expect(refusal([](Plan& p) { p.apply = {{.kernel = "k", .label = "keys", .kind = "append", .inputs = {8}, .outputs = {8}, .stages = {{1, 0, 1}}}}; }),
         "it is for generation, and has something to apply");
  expect(refusal([](Plan& p) { p.purpose = Purpose::Evaluation; }), "it is for evaluation, and has states or something to apply");
}

TEST(Arena, WhatIsAppliedHasItsPlaceWhateverTheCallsSize) {
  Plan plan = sampleTrainingPlan();
  plan.buffers.push_back({.name = "norms", .dtype = DType::F64, .shape = {100}, .firstLaunch = 2, .lastLaunch = 3});
  ArenaLayout apply = layoutArena(plan, {}, 0, 2);
  for (int64_t tokens : {1, 50, 10000}) {
    ArenaLayout all = layoutArena(plan, {{"T", tokens}});
    EXPECT_GE(all.bytes, apply.bytes);
    for (size_t i = 0; i < plan.buffers.size(); ++i)
      if (plan.buffers[i].firstLaunch >= 2)
        EXPECT_EQ(all.offsets[i], apply.offsets[i]) << plan.buffers[i].name;
      else
        EXPECT_EQ(apply.offsets[i], -1);
  }
}

TEST(PlanJson, NamesThePlaceOfAnError) {
  auto broken = [](const std::string& pointer, nlohmann::json value) {
    nlohmann::json json = nlohmann::json::parse(toJson(samplePlan()));
    json[nlohmann::json::json_pointer(pointer)] = std::move(value);
    return json.dump();
  };
  EXPECT_FAULT(parsePlan("{"), Fault::Data, "not JSON");
  EXPECT_FAULT(parsePlan("[]"), Fault::Data, "expected an object");
  EXPECT_FAULT(parsePlan("{}"), Fault::Data, "'target' is missing");
  EXPECT_FAULT(parsePlan(broken("/buffers/3/dtype", "f16")), Fault::Data, "plan.buffers[3].dtype: unknown dtype 'f16'");
  EXPECT_FAULT(parsePlan(broken("/buffers/0/shape/0", "T+")), Fault::Data, "plan.buffers[0].shape[0]");
  EXPECT_FAULT(parsePlan(broken("/forward/0/inputs/0", 8)), Fault::Data, "buffer 8 of 8");
  EXPECT_FAULT(parsePlan(broken("/forward/0/inputs/0", -1)), Fault::Data, "buffer -1");
  EXPECT_FAULT(parsePlan(broken("/forward/0/inputs/0", 5000000000)), Fault::Data, "no index");
  EXPECT_FAULT(parsePlan(broken("/forward/0/inputs/0", 7)), Fault::Data, "lives from launch 1 to 1");
  EXPECT_FAULT(parsePlan(broken("/forward/0/outputs/0", 6)), Fault::Data, "writes table");
  EXPECT_FAULT(parsePlan(broken("/forward/1/workspaces/0", 4)), Fault::Data, "no temporary of u8");
  EXPECT_FAULT(parsePlan(broken("/buffers/4/ragged_by", 0)), Fault::Data, "no routing");
  EXPECT_FAULT(parsePlan(broken("/buffers/4/life/1", 2)), Fault::Data, "lives from launch 0 to 2 of 2");
  EXPECT_FAULT(parsePlan(broken("/buffers/6/data", "AQID")), Fault::Data, "3 bytes of data for 5");
  EXPECT_FAULT(parsePlan(broken("/buffers/6/data", "A")), Fault::Data, "base64");
  EXPECT_FAULT(parsePlan(broken("/prepare/0/inputs/0", 0)), Fault::Data, "which a call has");
  EXPECT_FAULT(parsePlan(broken("/parameters/0/shape/0", 5)), Fault::Data, "another dtype or shape");
  EXPECT_FAULT(parsePlan(broken("/inputs/1/name", "x")), Fault::Data, "appears twice");
  EXPECT_FAULT(parsePlan(broken("/inputs/1/below", 1e30)), Fault::Data, "expected an integer");
}

TEST(PlanJson, MutationsNeverCrash) {
  const std::string text = toJson(samplePlan());
  std::mt19937 rng(3);
  int accepted = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string mutated = text;
    for (int n = 0; n < 2; ++n)
      mutated[rng() % mutated.size()] = "0123456789\"{}[],:-eTx"[rng() % 21];
    Thrown thrown = thrownBy([&] { parsePlan(mutated); });
    accepted += !thrown.thrown;
    ASSERT_TRUE(!thrown.thrown || thrown.fault == Fault::Data) << thrown.message;
  }
  EXPECT_GT(accepted, 10);
}

TEST(Base64, KnownAnswers) { // RFC 4648, section 10
  const std::pair<const char*, const char*> cases[] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (auto [plain, coded] : cases) {
    std::vector<uint8_t> bytes(plain, plain + std::string_view(plain).size());
    EXPECT_EQ(encodeBase64(bytes), coded);
    EXPECT_EQ(decodeBase64(coded), bytes);
  }
  for (const char* bad : {"Z", "Zg=", "Zh==", "Zg==Zg==", "Z===", "Zm9\n"})
    EXPECT_FALSE(decodeBase64(bad)) << bad;
}

TEST(Arena, LiveBuffersNeverOverlap) {
  std::mt19937 rng(5);
  for (int round = 0; round < 300; ++round) {
    Plan plan;
    plan.target = round % 2 == 0 ? "cpu:x86-64-v4" : "cuda:sm_90a";
    int launches = 1 + static_cast<int>(rng() % 12);
    plan.forward.resize(static_cast<size_t>(launches));
    int64_t sum = 0;
    for (unsigned i = 0, n = rng() % 30; i < n; ++i) {
      BufferInfo buffer{.name = "b", .kind = BufferKind::Temporary, .dtype = DType::U8, .shape = {Size::symbol("T") * (rng() % 300)}};
      int a = static_cast<int>(rng()) & 0xFF, b = static_cast<int>(rng()) & 0xFF;
      buffer.firstLaunch = std::min(a, b) % launches;
      buffer.lastLaunch = std::max(buffer.firstLaunch, std::max(a, b) % launches);
      if (rng() % 8 == 0)
        buffer.kind = BufferKind::Output;
      plan.buffers.push_back(buffer);
    }
    Bindings bindings{{"T", (1 + rng() % 5) * (round % 4 < 2 ? 1 : 4096)}}; // a CPU's arena of few and of many bytes is laid in two ways
    ArenaLayout layout = layoutArena(plan, bindings);
    for (size_t i = 0; i < plan.buffers.size(); ++i) {
      if (plan.buffers[i].kind != BufferKind::Temporary) {
        EXPECT_EQ(layout.offsets[i], -1);
        continue;
      }
      int64_t bytes = bytesOf(plan.buffers[i], bindings), offset = layout.offsets[i];
      sum += (bytes + 255) / 256 * 256 + 256;
      ASSERT_EQ(offset % 256, 0);
      ASSERT_LE(offset + bytes, layout.bytes);
      for (size_t j = 0; j < i; ++j) {
        const BufferInfo &a = plan.buffers[i], &b = plan.buffers[j];
        if (b.kind != BufferKind::Temporary || a.lastLaunch < b.firstLaunch || b.lastLaunch < a.firstLaunch)
          continue;
        int64_t otherBytes = bytesOf(b, bindings), other = layout.offsets[j];
        ASSERT_TRUE(offset + bytes <= other || other + otherBytes <= offset) << i << " and " << j;
      }
    }
    ASSERT_LE(layout.bytes, sum);
  }
}

/// Of a plan's temporaries that share memory: how far the middles of two are apart, at most.
int64_t farthestMiddles(const Plan& plan, const ArenaLayout& layout) {
  int64_t farthest = 0;
  for (size_t i = 0; i < plan.buffers.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      int64_t a = layout.offsets[i], b = layout.offsets[j], bytesOfA = bytesOf(plan.buffers[i], {}), bytesOfB = bytesOf(plan.buffers[j], {});
      if (a < b + bytesOfB && b < a + bytesOfA)
        farthest = std::max(farthest, std::abs((a + bytesOfA / 2) - (b + bytesOfB / 2)));
    }
  return farthest;
}

// The first half of each buffer belongs to the first half of a CPU's workers: so it should lie over first halves, where an arena is more than what a core has
// in caches of its own.
TEST(Arena, OfACpuHalvesOfBuffersLieOverTheSameHalves) {
  struct Case {
    const char* target;
    int64_t large;
    bool halvesStay;
  };
  for (auto [target, large, halvesStay] : {Case{"cpu:x86-64-v4", 1 << 20, true}, {"cpu:x86-64-v4", 1 << 16, false}, {"cuda:sm_90a", 1 << 20, false}}) {
    Plan plan;
    plan.target = target;
    plan.forward.resize(8);
    auto add = [&](int64_t bytes, int first, int last) {
      plan.buffers.push_back({.name = "b", .kind = BufferKind::Temporary, .dtype = DType::U8, .shape = {bytes}, .firstLaunch = first, .lastLaunch = last});
    };
    for (int i = 0; i < 8; ++i) // of three that are there at once, one is small
      add(i % 3 == 0 ? large / 16 : large, std::max(0, i - 2), i);
    add(large / 4, 7, 7);
    ArenaLayout layout = layoutArena(plan, {});
    EXPECT_EQ(farthestMiddles(plan, layout) <= 256, halvesStay) << target << ", of " << large << " bytes";
    EXPECT_EQ(layout.bytes, 2 * large + large / 16) << target << ", of " << large << " bytes";
  }
}

TEST(Arena, ReusesMemory) {
  for (const char* target : {"cpu:x86-64-v4", "cuda:sm_90a"}) {
    Plan plan;
    plan.target = target;
    plan.forward.resize(4);
    for (int i = 0; i < 4; ++i)
      plan.buffers.push_back({.name = "b", .dtype = DType::F32, .shape = {1024}, .firstLaunch = i, .lastLaunch = i});
    EXPECT_EQ(layoutArena(plan, {}).bytes, 4096);
    EXPECT_EQ(layoutArena(plan, {}, 100).bytes, 4096 + 256);
  }
}

TEST(Arena, RefusesSizes) {
  for (const char* target : {"cpu:x86-64-v4", "cuda:sm_90a"}) {
    Plan plan;
    plan.target = target;
    plan.forward.resize(1);
    plan.buffers.push_back({.name = "big", .dtype = DType::F32, .shape = {Size::symbol("T")}, .firstLaunch = 0, .lastLaunch = 0});
    EXPECT_FAULT(layoutArena(plan, {{"T", int64_t{1} << 60}}), Fault::Data, "big");
    EXPECT_FAULT(layoutArena(plan, {{"T", -1}}), Fault::Data, "big");
    plan.buffers.assign(20, plan.buffers[0]);
    EXPECT_FAULT(layoutArena(plan, {{"T", int64_t{1} << 45}}), Fault::Data, "2^48");
  }
}

} // namespace
} // namespace moec
