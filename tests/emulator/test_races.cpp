// The check for races against happens-before worked out pair by pair, on drawn kernels: accesses of all sizes and shapes by three warps, between
// them barriers of the block, of two of its warps and of single warps. Bytes that were never written are worked out beside.

#include "tests/emulator/Harness.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <random>
#include <set>

namespace moec::emulator::test {
namespace {

constexpr uint32_t kThreads = 96, kWarps = 3, kBytes = 512, kNone = ~0u;

struct Step {
  enum class Kind { Load, Store, BlockBarrier, PairBarrier, WarpBarrier } kind;
  uint32_t bytes = 4;
  std::vector<uint32_t> addresses; // by thread; kNone: it does not take part
};

using Draw = std::mt19937;
uint32_t below(Draw& draw, uint32_t n) { return uint32_t(draw() % n); }

Step drawAccess(Draw& draw, uint32_t smallest) {
  Step step;
  step.kind = below(draw, 3) ? Step::Kind::Load : Step::Kind::Store;
  do
    step.bytes = 1u << below(draw, 5);
  while (step.bytes < smallest || (step.bytes == 1 && step.kind == Step::Kind::Store)); // 256 values would not tell all stores apart
  step.addresses.assign(kThreads, kNone);
  uint32_t shape = below(draw, 5), places = kBytes / step.bytes, base = below(draw, places), takePart = below(draw, 4), owner = below(draw, kWarps);
  for (uint32_t thread = 0; thread < kThreads; ++thread) {
    if (takePart == 0 && below(draw, 2))
      continue; // some lanes
    if (takePart == 1 && thread != owner * 32 + base % 32)
      continue; // one thread
    if (takePart == 2 && thread / 32 != owner)
      continue; // one warp
    uint32_t place = shape == 0 ? base : shape == 1 ? base + thread : shape == 2 ? base + (thread ^ 5) : shape == 3 ? base + 3 * thread : below(draw, places);
    step.addresses[thread] = place % places * step.bytes;
  }
  return step;
}

/// One thread of an access once more, where it was or in the bytes beside: alone against what the others did there.
Step drawSequel(Draw& draw, const Step& before) {
  Step step{below(draw, 2) ? Step::Kind::Load : Step::Kind::Store, before.bytes, std::vector<uint32_t>(kThreads, kNone)};
  uint32_t thread = below(draw, kThreads);
  while (before.addresses[thread] == kNone)
    thread = (thread + 1) % kThreads;
  step.addresses[thread] = below(draw, 2) ? before.addresses[thread] : before.addresses[thread] ^ before.bytes;
  if (step.bytes == 1)
    step.kind = Step::Kind::Load;
  return step;
}

std::vector<Step> drawSteps(Draw& draw) {
  std::vector<Step> steps;
  bool pairs = below(draw, 4) == 0;
  uint32_t smallest = 1u << below(draw, 5), count = 6 + below(draw, 14), quiet = below(draw, 3);
  if (below(draw, 4)) { // everything is written before; else reads find bytes that are not
    for (uint32_t part = 0; part < kBytes; part += 16 * 32) {
      Step fill{Step::Kind::Store, 16, std::vector<uint32_t>(kThreads, kNone)};
      for (uint32_t lane = 0; lane < 32 && part + lane * 16 < kBytes; ++lane)
        fill.addresses[lane] = part + lane * 16;
      steps.push_back(fill);
    }
    steps.push_back({Step::Kind::BlockBarrier, 0, {}});
  }
  if (quiet == 2) { // barriers everywhere but in one place, so that one race is not hidden by others
    uint32_t open = below(draw, count);
    for (uint32_t i = 0; i < count; ++i) {
      steps.push_back(drawAccess(draw, smallest));
      bool anyone = std::any_of(steps.back().addresses.begin(), steps.back().addresses.end(), [](uint32_t address) { return address != kNone; });
      Step sequel = anyone ? drawSequel(draw, steps.back()) : drawAccess(draw, smallest);
      if (i != open)
        steps.push_back({Step::Kind::BlockBarrier, 0, {}});
      else if (uint32_t which = below(draw, 4); which < 2)
        steps.push_back({which == 0 && pairs ? Step::Kind::PairBarrier : Step::Kind::WarpBarrier, 0, {}});
      if (i == open || below(draw, 4) == 0) {
        steps.push_back(sequel);
        steps.push_back({Step::Kind::BlockBarrier, 0, {}});
      }
    }
    return steps;
  }
  while (steps.size() < count) {
    uint32_t which = below(draw, 10);
    if (which < 7) {
      steps.push_back(drawAccess(draw, smallest));
      if (quiet && below(draw, 8))
        steps.push_back({Step::Kind::BlockBarrier, 0, {}});
    } else if (which < 8) {
      steps.push_back({Step::Kind::WarpBarrier, 0, {}});
    } else {
      steps.push_back({pairs && which == 8 ? Step::Kind::PairBarrier : Step::Kind::BlockBarrier, 0, {}});
    }
  }
  return steps;
}

/// Threads read their address of each step from a table. What they store tells threads and steps apart, so that no store is of what is there.
std::string kernelOf(const std::vector<Step>& steps, bool shared, std::vector<int>& lines) {
  std::string text =
      ".version 8.6\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 table, .param .u64 data)\n{\n.reg .pred %p<3>;\n.reg .b32 %r<12>;\n.reg .b64 %d<9>;\n"
      ".reg .b16 %h<2>;\n" +
      std::string(shared ? fmt::format(".shared .align 16 .b8 memory[{}];\n", kBytes) : "") +
      "ld.param.u64 %d1, [table];\nld.param.u64 %d2, [data];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %d3, %r1, 4;\nadd.u64 %d1, %d1, %d3;\nsetp.lt.u32 %p2, %r1, 64;\n" +
      (shared ? "mov.u64 %d2, memory;\n" : "");
  const char* space = shared ? "shared" : "global";
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    if (step.kind == Step::Kind::BlockBarrier)
      text += "bar.sync 0;\n";
    else if (step.kind == Step::Kind::PairBarrier)
      text += "@%p2 bar.sync 1, 64;\n";
    else if (step.kind == Step::Kind::WarpBarrier)
      text += "bar.warp.sync -1;\n";
    else {
      text += fmt::format("ld.global.u32 %r2, [%d1+{}];\nsetp.ne.u32 %p1, %r2, -1;\ncvt.u64.u32 %d4, %r2;\nadd.u64 %d4, %d4, %d2;\n"
                          "add.u32 %r3, %r1, {};\nmul.lo.u32 %r3, %r3, 0x01010101;\nmov.b64 %d5, {{%r3, %r3}};\n",
                          i * kThreads * 4, i * 97);
      bool load = step.kind == Step::Kind::Load;
      std::string address = "[%d4]", value, type;
      switch (step.bytes) {
      case 1:
        type = "u8", value = load ? "%r4" : "%r3";
        break;
      case 2:
        type = "u16", value = load ? "%r4" : "%r3";
        break;
      case 4:
        type = "u32", value = load ? "%r4" : "%r3";
        break;
      case 8:
        type = i % 2 ? "v2.u32" : "u64", value = i % 2 ? (load ? "{%r4, %r5}" : "{%r3, %r3}") : load ? "%d6" : "%d5";
        break;
      default:
        type = "v4.u32", value = load ? "{%r4, %r5, %r6, %r7}" : "{%r3, %r3, %r3, %r3}";
        break;
      }
      lines.resize(steps.size());
      lines[i] = 1 + int(std::count(text.begin(), text.end(), '\n'));
      text += fmt::format("@%p1 {}.{}.{} {}, {};\n", load ? "ld" : "st", space, type, load ? value : address, load ? address : value);
    }
  }
  lines.resize(steps.size());
  return text + "ret;\n}\n";
}

struct Truth {
  std::set<int> races, uninitialised; // the steps of both sides of every race; in what order warps run does not matter to them
};

Truth worked(const std::vector<Step>& steps) {
  Truth truth;
  using Clock = std::array<uint32_t, kThreads>; // what of each thread happened before
  std::vector<Clock> clocks(kThreads);
  for (uint32_t t = 0; t < kThreads; ++t) {
    clocks[t].fill(0);
    clocks[t][t] = 1;
  }
  struct Touch {
    uint32_t thread, time;
    int step;
    bool store;
  };
  std::vector<std::vector<Touch>> touches(kBytes);
  auto join = [&](uint32_t from, uint32_t to) {
    Clock all;
    all.fill(0);
    for (uint32_t t = from; t < to; ++t)
      for (uint32_t i = 0; i < kThreads; ++i)
        all[i] = std::max(all[i], clocks[t][i]);
    for (uint32_t t = from; t < to; ++t) {
      clocks[t] = all;
      ++clocks[t][t];
    }
  };
  size_t at[kWarps] = {};
  auto runTo = [&](uint32_t warp) {
    for (; at[warp] < steps.size(); ++at[warp]) {
      const Step& step = steps[at[warp]];
      if (step.kind == Step::Kind::BlockBarrier || (step.kind == Step::Kind::PairBarrier && warp < 2))
        return;
      if (step.kind == Step::Kind::PairBarrier)
        continue;
      if (step.kind == Step::Kind::WarpBarrier) {
        join(warp * 32, warp * 32 + 32);
        continue;
      }
      bool store = step.kind == Step::Kind::Store;
      for (uint32_t thread = warp * 32; thread < warp * 32 + 32; ++thread) {
        if (step.addresses[thread] == kNone)
          continue;
        for (uint32_t byte = step.addresses[thread]; byte < step.addresses[thread] + step.bytes; ++byte) {
          bool written = false;
          for (const Touch& touch : touches[byte]) {
            written |= touch.store;
            if ((store || touch.store) && touch.thread != thread && touch.time > clocks[thread][touch.thread])
              truth.races.insert({touch.step, int(at[warp])});
          }
          if (!store && !written)
            truth.uninitialised.insert(int(at[warp]));
          touches[byte].push_back({thread, clocks[thread][thread], int(at[warp]), store});
        }
      }
    }
  };
  while (at[0] < steps.size() || at[1] < steps.size() || at[2] < steps.size()) {
    for (uint32_t warp = 0; warp < kWarps; ++warp)
      runTo(warp);
    if (at[0] < steps.size() && steps[at[0]].kind == Step::Kind::PairBarrier && at[1] == at[0]) {
      join(0, 64);
      ++at[0], ++at[1];
    } else if (at[0] < steps.size() && at[1] == at[0] && at[2] == at[0]) {
      join(0, kThreads);
      ++at[0], ++at[1], ++at[2];
    }
  }
  return truth;
}

void compare(bool shared, uint32_t seed, int& racy, int& dirty, int& clean) {
  Draw draw(seed);
  std::vector<Step> steps = drawSteps(draw);
  std::vector<int> lines;
  std::string ptx = kernelOf(steps, shared, lines);
  SCOPED_TRACE(fmt::format("seed {}, {} memory\n{}", seed, shared ? "shared" : "global", ptx));
  std::vector<uint32_t> table;
  for (const Step& step : steps) {
    std::vector<uint32_t> row = step.addresses;
    row.resize(kThreads, kNone);
    table.insert(table.end(), row.begin(), row.end());
  }
  Device device("sm_80");
  auto where = device.upload(table), data = device.allocate(kBytes);
  device.launch(device.load(ptx, "k"), 1, kThreads, 0, where, data);
  std::set<int> races, uninitialised;
  for (const Finding& finding : device.emulator().findings()) {
    int step = int(std::find(lines.begin(), lines.end(), finding.ptxLine) - lines.begin());
    ASSERT_TRUE(finding.kind == Finding::Kind::Race || finding.kind == Finding::Kind::Uninitialised) << finding.text();
    (finding.kind == Finding::Kind::Race ? races : uninitialised).insert(step);
  }
  Truth truth = worked(steps);
  EXPECT_EQ(races.empty(), truth.races.empty());
  for (int step : races)
    EXPECT_TRUE(truth.races.count(step)) << "no race in line " << lines[size_t(step)];
  if (truth.races.empty()) // else it depends on who comes first
    EXPECT_EQ(uninitialised, truth.uninitialised);
  ++(truth.races.empty() && truth.uninitialised.empty() ? clean : truth.races.empty() ? dirty : racy);
}

void compareMany(bool shared) {
  int racy = 0, dirty = 0, clean = 0;
  for (uint32_t seed = 1; seed <= 800 && !testing::Test::HasFailure(); ++seed)
    compare(shared, seed, racy, dirty, clean);
  EXPECT_GT(racy, 100);
  EXPECT_GT(dirty, 15);
  EXPECT_GT(clean, 60);
}

// Two warps read a place; the one that read last synchronises its own lanes and writes: that is a race with the other.
TEST(Races, ABarrierOfAWarpOrdersNobodyElse) {
  int racy = 0, dirty = 0, clean = 0;
  compare(true, 2321, racy, dirty, clean);
  compare(false, 2321, racy, dirty, clean);
  EXPECT_EQ(racy, 2);
}

TEST(Races, OfSharedMemoryAreThoseOfHappensBefore) { compareMany(true); }
TEST(Races, OfGlobalMemoryAreThoseOfHappensBefore) { compareMany(false); }

} // namespace
} // namespace moec::emulator::test
