#include "bench/gpu/Figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace moec::bench {
namespace {

using testing::HasSubstr;

TEST(Roofline, TheSlowestSideBinds) {
  Peaks peaks{"chip", 100, 50, 10};
  Bound memory = boundOf({300, 0, 40}, peaks); // 3 s of arithmetic, 4 s of memory
  EXPECT_EQ(memory.seconds, 4);
  EXPECT_EQ(memory.side, Bound::Side::Memory);
  Bound wide = boundOf({300, 250, 40}, peaks); // 3 s, 5 s, 4 s
  EXPECT_EQ(wide.seconds, 5);
  EXPECT_EQ(wide.side, Bound::Side::Arithmetic);
}

// A product of 4096 x 2048 x 512 in fp32: 2 * 2^32 operations; a, b and c are 8 MiB, 4 MiB and 32 MiB.
TEST(Roofline, OfAProductOnH100) {
  double bytes = 44.0 * 1024 * 1024;
  Bound bound = boundOf({2 * 4294967296.0, 0, bytes}, h100Sxm());
  EXPECT_EQ(bound.side, Bound::Side::Arithmetic);
  EXPECT_NEAR(bound.seconds, 128.2e-6, 0.05e-6);                             // 8589934592 / 67e12
  EXPECT_NEAR(boundOf({0, 0, bytes}, h100Sxm()).seconds, 13.77e-6, 0.01e-6); // 46137344 / 3.35e12
}

TEST(Figures, Numbers) {
  EXPECT_EQ(shortCount(0), "0");
  EXPECT_EQ(shortCount(999), "999");
  EXPECT_EQ(shortCount(1000), "1.00 k");
  EXPECT_EQ(shortCount(999499), "999 k");
  EXPECT_EQ(shortCount(999500), "1.00 M");
  EXPECT_EQ(shortCount(46137344, "B"), "46.1 MB");
  EXPECT_EQ(shortCount(512, "B"), "512 B");
  EXPECT_EQ(shortTime(19.64e-9), "19.6 ns");
  EXPECT_EQ(shortTime(999.6e-9), "1.00 us");
  EXPECT_EQ(shortTime(128.2e-6), "128 us");
  EXPECT_EQ(shortTime(0.25), "250 ms");
  EXPECT_EQ(text(Spread{0.816, 0.8, 0.849}), "0.82 (0.80 - 0.85)");
}

ModelFigures figures() {
  GridInfo grid;
  grid.function = "expert_down_1f_combine";
  grid.threads = 256;
  grid.registers = 40;
  grid.sharedBytes = 1024;
  grid.blocksPerMultiprocessor = 6;
  StageFigures stage{"expert_down", "combine", "layers.0.moe", 2, 33, grid, 0.75, Counted{1100, 1000, 0, 0, 4096, 2048, 600, 0, {}}};
  return {"tiny",
          "ptx-emulator:sm_90a",
          "cuda:sm_90a",
          "batch=4",
          "batch=256",
          {stage},
          {{"expert_down_1f", "expert_down", "layers.0.moe", 2, {0, 0, 3.35e6}, std::nullopt}}};
}

TEST(Figures, ATable) {
  EXPECT_EQ(toMarkdown(figures(), h100Sxm()), "### tiny on ptx-emulator:sm_90a, batch=4\n\n"
                                              "| kernel: stage | layer | registers | spilled bytes | shared bytes | blocks x threads | blocks per "
                                              "multiprocessor | occupancy | sectors | over ideal | bank conflicts | in loops | read | written | FLOPs |\n"
                                              "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
                                              "| expert_down: combine | layers.0.moe (and 1 more) | 40 | 0 | 1024 | 33 x 256 | 6 | 75 % | 1.10 k | 1.10 "
                                              "| 0 | 0 | 4.10 kB | 2.05 kB | 600 |\n"
                                              "\nRoofline on H100 SXM, batch=256:\n\n"
                                              "| kernel | layer | FLOPs | bytes | at least | by |\n"
                                              "|---|---|---:|---:|---:|---:|\n"
                                              "| expert_down | layers.0.moe (and 1 more) | 0 | 3.35 MB | 1.00 us | memory |\n");
}

TEST(Figures, TimesStandBesideTheBound) {
  ModelFigures timed = figures();
  timed.launches[0].seconds = Spread{2e-6, 1.9e-6, 2.5e-6};
  EXPECT_THAT(toMarkdown(timed, h100Sxm()), HasSubstr("| 1.00 us | memory | 2.00 us | 1.90 us - 2.50 us | 50 % |"));
  EXPECT_EQ(toJson(timed, h100Sxm())["launches"][0]["seconds"]["median"], 2e-6);
  EXPECT_FALSE(toJson(figures(), h100Sxm())["launches"][0].contains("seconds"));
}

TEST(Figures, Faults) {
  EXPECT_EQ(faultsOf(figures()), std::vector<std::string>());
  ModelFigures wrong = figures();
  wrong.stages[0].grid.spillBytes = 8;
  wrong.stages[0].counted->sectors = 1151;
  wrong.stages[0].counted->inLoops = 5;
  wrong.stages[0].counted->costly = {{"line 7, x[i]", "ld.global.f32", 151, false}, {"line 9, y[i]", "ld.shared.f32", 5, true}};
  std::string where = "tiny on cuda:sm_90a, expert_down: combine of layers.0.moe: ";
  EXPECT_EQ(faultsOf(wrong), (std::vector<std::string>{where + "8 bytes of registers are spilled, expected 0",
                                                       where + "1.15 times the ideal's sectors, expected at most 1.15; 151 of them too many by ld.global.f32 "
                                                               "in line 7, x[i]",
                                                       where + "5 bank conflicts in loops, expected 0; 5 of them too many by ld.shared.f32 in line 9, y[i]"}));
}

TEST(Figures, AssigningIsListedByItself) {
  ModelFigures gate = figures();
  gate.stages[0].counted->sectors = 5000;
  gate.stages[0].kind = "gate";
  for (const char* stage : {"assign0", "count1", "scan0", "mark10", "sum0", "place0"}) {
    gate.stages[0].stage = stage;
    EXPECT_TRUE(gate.stages[0].assigns()) << stage;
    EXPECT_TRUE(faultsOf(gate).empty()) << stage;
    EXPECT_THAT(toMarkdown(gate, h100Sxm()), HasSubstr("| 5.00 (assigns) |"));
  }
  gate.stages[0].stage = "scores";
  EXPECT_EQ(faultsOf(gate).size(), 1u);
}

} // namespace
} // namespace moec::bench
