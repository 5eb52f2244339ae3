// Owner of the CPU device: kernels from memory, ragged stages, scratch, threads, and what is said when a machine or a program lacks something.

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Tolerance.h"
#include "runtime/device/cpu/CpuCount.h"
#include "runtime/device/cpu/KernelImage.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyProgram.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <dirent.h>
#include <filesystem>
#include <fstream>
#include <thread>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moec {
namespace {

/// Runs the tiny program through the Executable interface.
struct TinyRun {
  Tensor y, total, rows;
  TinyRun(int threads, const Tensor& x, const Tensor& w, uint64_t seed = 5, uint32_t step = 6) {
    auto executable = CpuDevice({.threads = threads}).load(Program(tinyProgramData()));
    executable->write(1, w);
    executable->launch(LaunchList::Prepare, 0, {});
    executable->releaseUnusedParameters();
    executable->bind({{"T", x.shape()[0]}});
    executable->write(0, x);
    for (int i = 0; i < 3; ++i)
      executable->launch(LaunchList::Forward, i, {seed, step});
    y = executable->read(5);
    total = executable->read(6);
  }
};

Tensor someWeights() { return Tensor::of<float>({0.5f, 1, 1.5f, 2, -1, 3, 0.25f, 1}, {kTinyWidth}); }

bool sameBytes(const Tensor& a, const Tensor& b) { return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0; }

TEST(CpuDevice, ComputesWhatPlainLoopsDo) {
  for (int64_t tokens : {1, 2, 15, 16, 17, 1000}) {
    Tensor x = tinyTokens(tokens, 1);
    TinyRun run(2, x, someWeights());
    TinyAnswer expected = tinyAnswer(x, someWeights(), 5, 6);
    ASSERT_EQ(run.y.shape(), (Shape{tokens, kTinyWidth}));
    for (size_t i = 0; i < expected.y.size(); ++i)
      ASSERT_EQ(run.y.as<float>()[i], expected.y[i]) << i;
    EXPECT_EQ(run.total.as<double>()[0], expected.total);
  }
}

TEST(CpuDevice, BitsDoNotDependOnThreads) {
  Tensor x = tinyTokens(3001, 2), w = someWeights();
  TinyRun one(1, x, w);
  for (int threads : {2, 3, 7})
    for (int repeat = 0; repeat < 5; ++repeat) {
      TinyRun more(threads, x, w);
      ASSERT_TRUE(sameBytes(one.y, more.y)) << threads;
      ASSERT_TRUE(sameBytes(one.total, more.total)) << threads;
    }
}

TEST(CpuDevice, DrawsDependOnSeedAndStep) {
  Tensor x = tinyTokens(40, 2), w = someWeights();
  TinyRun run(1, x, w, 1, 2), same(2, x, w, 1, 2), seed(1, x, w, 2, 2), step(1, x, w, 1, 3);
  EXPECT_TRUE(sameBytes(run.y, same.y));
  EXPECT_FALSE(sameBytes(run.y, seed.y));
  EXPECT_FALSE(sameBytes(run.y, step.y));
}

TEST(CpuDevice, BindsAgainForOtherSizes) {
  auto executable = CpuDevice({.threads = 2}).load(Program(tinyProgramData()));
  executable->write(1, someWeights());
  executable->launch(LaunchList::Prepare, 0, {});
  for (int64_t tokens : {5, 500, 3, 100}) {
    Tensor x = tinyTokens(tokens, 3);
    executable->bind({{"T", tokens}});
    executable->write(0, x);
    for (int i = 0; i < 3; ++i)
      executable->launch(LaunchList::Forward, i, {1, 1});
    EXPECT_EQ(executable->read(6).as<double>()[0], tinyAnswer(x, someWeights(), 1, 1).total);
  }
  EXPECT_FAULT(executable->bind({{"T", -1}}), Fault::Data, "is -1");
  EXPECT_FAULT(executable->bind({{"U", 1}}), Fault::Usage, "'T' has no value");
}

/// The tiny program with weights, bound to so many tokens.
std::unique_ptr<Executable> tinyExecutable(int64_t tokens) {
  auto executable = CpuDevice({.threads = 2}).load(Program(tinyProgramData()));
  executable->write(1, someWeights());
  executable->launch(LaunchList::Prepare, 0, {});
  executable->bind({{"T", tokens}});
  return executable;
}

double totalOf(Executable& executable) {
  for (int i = 0; i < 3; ++i)
    executable.launch(LaunchList::Forward, i, {1, 1});
  return executable.read(6).as<double>()[0];
}

TEST(CpuDevice, ReadsWhatIsLentWhereItLies) {
  auto executable = tinyExecutable(1000);
  Tensor lent = tinyTokens(1000, 3), other = tinyTokens(1000, 4), before = lent.clone();
  auto total = [](const Tensor& x) { return tinyAnswer(x, someWeights(), 1, 1).total; };
  executable->lend(0, lent);
  EXPECT_TRUE(sameBytes(executable->read(0), lent));
  EXPECT_EQ(totalOf(*executable), total(before));
  std::memcpy(lent.data(), other.data(), lent.bytes());
  EXPECT_EQ(totalOf(*executable), total(other)); // no copy was made
  executable->write(0, before);
  EXPECT_TRUE(sameBytes(lent, other)); // it is the caller's
  EXPECT_EQ(totalOf(*executable), total(before));
  for (bool byBind : {false, true}) { // what ends a loan
    executable->lend(0, lent);
    byBind ? executable->bind({{"T", 1000}}) : executable->endLoans();
    EXPECT_FALSE(sameBytes(executable->read(0), lent));
    executable->bind({{"T", 1000}});
    executable->write(0, before);
    EXPECT_EQ(totalOf(*executable), total(before));
  }
}

TEST(CpuDevice, CopiesWhatIsLentAcrossLinesOrSmall) {
  for (auto [tokens, from] : {std::pair(1000, 1), std::pair(40, 0)}) {
    auto executable = tinyExecutable(tokens);
    Tensor x = tinyTokens(tokens, 3), memory(DType::F32, {tokens * kTinyWidth + from});
    Tensor lent = Tensor::borrow(memory.as<float>().data() + from, x.shape(), DType::F32);
    std::memcpy(lent.data(), x.data(), x.bytes());
    executable->lend(0, lent);
    std::memset(lent.data(), 0, lent.bytes());
    EXPECT_EQ(totalOf(*executable), tinyAnswer(x, someWeights(), 1, 1).total) << tokens;
    EXPECT_FAULT(executable->lend(0, Tensor(DType::F64, x.shape())), Fault::Internal, "is written to x");
  }
}

TEST(CpuDevice, GivesOutputsAwayAndTakesOtherMemoryWhereSomebodyHasThem) {
  auto executable = tinyExecutable(40);
  auto run = [&](uint64_t seed) {
    Tensor x = tinyTokens(40, seed);
    executable->bind({{"T", 40}});
    executable->write(0, x);
    totalOf(*executable);
    Tensor y = executable->take(5);
    EXPECT_EQ(std::memcmp(y.data(), tinyAnswer(x, someWeights(), 1, 1).y.data(), y.bytes()), 0);
    return y;
  };
  Tensor first = run(1), copy = first.clone();
  void* place = first.data();
  Tensor second = run(2);
  EXPECT_NE(second.data(), place);
  EXPECT_TRUE(sameBytes(first, copy));
  place = second.data();
  second = Tensor();
  EXPECT_EQ(run(3).data(), place); // nobody had it
  Tensor last = run(4);
  copy = last.clone();
  executable.reset();
  EXPECT_TRUE(sameBytes(last, copy));
}

TEST(CpuDevice, GivesAnOutputAwayOnce) {
  auto executable = tinyExecutable(40);
  Tensor x = tinyTokens(40, 1);
  executable->write(0, x);
  totalOf(*executable);
  Tensor y = executable->take(5), again = executable->take(5), copy = y.clone();
  EXPECT_TRUE(sameBytes(again, copy));
  std::memset(y.data(), 0, y.bytes());
  EXPECT_TRUE(sameBytes(again, copy));
}

TEST(CpuDevice, RefusesMisuse) {
  auto executable = CpuDevice({.threads = 1}).load(Program(tinyProgramData()));
  EXPECT_FAULT(executable->launch(LaunchList::Forward, 0, {}), Fault::Internal, "no sizes are bound");
  EXPECT_FAULT(executable->read(5), Fault::Internal, "cannot read y");
  EXPECT_FAULT(executable->write(1, Tensor(DType::F64, {kTinyWidth})), Fault::Internal, "f64[8] is written to w");
  EXPECT_FAULT(executable->write(99, Tensor(DType::F64, {1})), Fault::Internal, "buffer 99");
  executable->releaseUnusedParameters();
  EXPECT_FAULT(executable->read(1), Fault::Internal, "released");
  executable->write(1, someWeights());
  EXPECT_TRUE(sameBytes(executable->read(1), someWeights()));
  EXPECT_FAULT(CpuDevice({.threads = -1}), Fault::Usage, "-1 threads");
}

TEST(CpuDevice, NamesAMissingOrBrokenKernel) {
  ProgramData data = tinyProgramData();
  std::string target = data.plans[0].target, key = target + "/tiny_up";
  data.kernels.erase(key);
  EXPECT_FAULT(CpuDevice({.threads = 1}).load(Program(data)), Fault::Data, "no kernel 'tiny_up' for target '" + target + "'");
  data.kernels[key] = {1, 2, 3};
  EXPECT_FAULT(CpuDevice({.threads = 1}).load(Program(data)), Fault::Data, "kernel 'tiny_up' for target '" + target + "': the image is no whole shared object");
  data = tinyProgramData();
  data.plans[0].forward[0].kernel = "tiny_other";
  data.kernels[target + "/tiny_other"] = tinyImage();
  EXPECT_FAULT(CpuDevice({.threads = 1}).load(Program(data)), Fault::Data, "kernel 'tiny_other' for target '" + target + "': the image lacks the symbol");
}

TEST(CpuDevice, WhatIsKeptHasMemoryOfItsOwn) {
  ProgramData data = tinyProgramData();
  std::vector<BufferInfo>& buffers = data.plans[0].buffers;
  size_t first = buffers.size();
  for (int64_t bytes : {3, 64, 0, 1, 65, 4096, (16 << 20) - 1, 16 << 20, 1000}) // some share a block, the largest does not
    buffers.push_back({.name = "kept", .kind = BufferKind::State, .dtype = DType::U8, .shape = {bytes}});
  buffers.push_back({.name = "constant", .kind = BufferKind::Constant, .dtype = DType::U8, .shape = {5}, .data = {1, 2, 3, 4, 5}});
  auto executable = CpuDevice({.threads = 1}).load(Program(data));
  size_t end = buffers.size() - 1;
  auto filled = [&](size_t buffer) {
    Tensor tensor(DType::U8, {buffers[buffer].shape[0].constant().value()});
    std::ranges::fill(tensor.as<uint8_t>(), static_cast<uint8_t>(buffer));
    return tensor;
  };
  for (size_t buffer = first; buffer < end; ++buffer)
    executable->write(static_cast<int>(buffer), filled(buffer));
  for (size_t buffer = first; buffer < end; ++buffer)
    EXPECT_TRUE(std::ranges::equal(executable->read(static_cast<int>(buffer)).as<uint8_t>(), filled(buffer).as<uint8_t>())) << buffer - first;
  EXPECT_TRUE(std::ranges::equal(executable->read(static_cast<int>(end)).as<uint8_t>(), buffers.back().data));
}

TEST(CpuDevice, SaysWhatTheMachineLacks) {
  ProgramData data = tinyProgramData();
  data.plans[0].target = "cpu:x86-64-v9";
  EXPECT_FAULT(CpuDevice({.threads = 1}).load(Program(data)), Fault::Device, "cpu:x86-64-v9: no CPU target of this moec");
  data.plans.clear();
  EXPECT_FAULT(CpuDevice({.threads = 1}).load(Program(data)), Fault::Device, "its targets: none");
  data = tinyProgramData();
  for (auto [target, feature] : {std::pair("cpu:x86-64-v4", "avx512f"), {"cpu:x86-64-v4+amx", "amx-tile"}})
    if (data.plans[0].target = target; std::ranges::count(missingFeatures(target), feature))
      EXPECT_FAULT(CpuDevice({.threads = 1}).load(Program(data)), Fault::Device, std::string("this CPU lacks ") + feature);
}

TEST(CpuDevice, PrefersTheBestPlan) {
  ProgramData data = tinyProgramData();
  Plan worse = data.plans[0];
  worse.target = "cpu:x86-64-v3";
  data.plans.insert(data.plans.begin(), worse);
  EXPECT_EQ(choosePlan(Program(data)).target, nativeCpuTarget());
}

TEST(CpuTargets, TheBestOfThoseThatRunIsTheNativeOne) {
  std::vector<std::string> names = runnableCpuTargets();
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), nativeCpuTarget());
  // Each level has what those below it have.
  EXPECT_EQ(names.back(), "cpu:x86-64-v2");
  const char* levels[] = {"cpu:x86-64-v4+amx", "cpu:x86-64-v4", "cpu:x86-64-v3", "cpu:x86-64-v3+soft-avx512", "cpu:x86-64-v3+soft-tiles", "cpu:x86-64-v2"};
  EXPECT_EQ(names, std::vector<std::string>(std::ranges::find(levels, names.front()), std::end(levels)));
  EXPECT_EQ(names.front().find("soft"), std::string::npos); // never by itself
}

int openFiles() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder))
    ++count;
  closedir(folder);
  return count;
}

TEST(KernelImage, ImagesAreNotMistakenForEachOther) { // descriptors are used again, the loader must not take the first library for the second
  std::string target = "cpu:test";
  int before = openFiles();
  {
    KernelImage right(tinyImage(0), "tiny_up", target), wrong(tinyImage(1), "tiny_up", target);
    EXPECT_NE(right.function(), wrong.function());
    EXPECT_EQ(openFiles(), before + 2); // for debuggers that come later
  }
  EXPECT_EQ(openFiles(), before);
}

TEST(KernelImage, TruncatedImagesAreErrors) {
  std::vector<uint8_t> image = tinyImage();
  for (size_t size = 0; size < 4096; size += 61) {
    std::vector<uint8_t> cut(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FAULT(KernelImage(cut, "tiny_up", "cpu:test"), Fault::Data, "tiny_up");
  }
}

#if defined(__x86_64__)
TEST(CpuDevice, KeepsDenormalsWhateverTheHostSets) {
  ProgramData data;
  Plan plan;
  plan.target = nativeCpuTarget();
  plan.buffers = {{.name = "x", .kind = BufferKind::Input, .shape = {64}}, {.name = "y", .kind = BufferKind::Output, .shape = {64}}};
  plan.forward = {{.kernel = "tiny_denormal", .label = "l", .kind = "rows", .inputs = {0}, .outputs = {1}, .stages = {{64, 0, 1000000}}}};
  data.kernels[plan.target + "/tiny_denormal"] = tinyImage();
  data.plans = {plan};
  unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040); // flush results, and operands, to zero
  for (int threads : {1, 2}) {
    auto executable = CpuDevice({.threads = threads}).load(Program(data));
    executable->bind({});
    Tensor x(DType::F32, {64});
    std::fill_n(x.as<float>().begin(), 64, 1.0f);
    executable->write(0, x);
    executable->launch(LaunchList::Forward, 0, {});
    Tensor y = executable->read(1);
    for (uint32_t i = 0; i < 64; ++i) {
      uint32_t bits;
      std::memcpy(&bits, static_cast<char*>(y.data()) + i * 4, 4);
      EXPECT_NE(bits, 0u) << threads << " threads, element " << i;
    }
  }
  EXPECT_EQ(_mm_getcsr() & 0x8040, 0x8040u);
  _mm_setcsr(saved);
}
#endif

TEST(Workers, CoversEveryItemOnceAndKeepsWorkersApart) {
  Workers pool(4);
  for (auto taking : {Workers::Taking::AtOnce, Workers::Taking::FromTheLate})
    for (int64_t items : {0, 1, 3, 4, 100, 12345}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(items));
      std::atomic<int> inside[4] = {};
      auto work = [&](int worker, int64_t begin, int64_t end) {
        ASSERT_EQ(inside[worker]++, 0);
        for (int64_t i = begin; i < end; ++i)
          ++seen[static_cast<size_t>(i)];
        --inside[worker];
      };
      pool.run(items, work, taking);
      for (auto& count : seen)
        ASSERT_EQ(count, 1);
    }
  EXPECT_FAULT(pool.run(100, [](int, int64_t, int64_t) { throw Error(Fault::Data, "from a worker"); }), Fault::Data, "from a worker");
}

// So that what a run leaves in a core's caches is what the next one looks for there.
TEST(Workers, BeginWithTheSameShareInEveryRun) {
  Workers pool(3);
  for (int run = 0; run < 20; ++run) {
    std::atomic<int> begun{0};
    int64_t first[3] = {-1, -1, -1};
    pool.run(300, [&](int worker, int64_t begin, int64_t) {
      if (first[worker] >= 0)
        return;
      first[worker] = begin;
      ++begun;
      while (begun < 3) // nobody is late
        std::this_thread::yield();
    });
    EXPECT_THAT(first, testing::ElementsAre(0, 100, 200));
  }
}

/// Two workers of sixteen items each. With its last two not yet begun, worker 1 stands still until the other is done and `longer` beyond, or until these are
/// taken; the other took a tenth of a second. How many it took.
int64_t takenFromTheSlower(std::chrono::milliseconds longer, Workers::Taking taking) {
  constexpr int64_t each = 16, last = 2 * each - 2;
  constexpr std::chrono::milliseconds item(6), step(1);
  Workers pool(2);
  std::atomic<int64_t> done{0}, taken{0};
  auto work = [&](int worker, int64_t begin, int64_t end) {
    if (worker == 0 && begin >= each)
      taken += end - begin;
    else if (worker == 0)
      std::this_thread::sleep_for(item * (end - begin)), done += end - begin;
    else if (end == last) {
      while (done < each)
        std::this_thread::sleep_for(step);
      for (auto wait = longer; wait > step && taken == 0; wait -= step)
        std::this_thread::sleep_for(step);
    }
  };
  pool.run(2 * each, work, taking);
  return taken;
}

TEST(Workers, TakeItemsThatKeepWhatTheyWriteOnlyFromTheLate) {
  constexpr std::chrono::milliseconds little(15), much(10000);
  // Where other processes hold up a thread it is late: once is enough.
  auto isOnce = [](int64_t wanted, std::chrono::milliseconds longer, Workers::Taking taking) {
    for (int attempt = 0; attempt < 5; ++attempt)
      if (takenFromTheSlower(longer, taking) == wanted)
        return true;
    return false;
  };
  EXPECT_TRUE(isOnce(2, much, Workers::Taking::AtOnce));
  EXPECT_TRUE(isOnce(2, much, Workers::Taking::FromTheLate));
  EXPECT_TRUE(isOnce(0, little, Workers::Taking::FromTheLate));
}

/// Three workers of sixteen items each. Worker 1 is at its first ones until the others have done its rest, too, of which they take from the moment they have
/// done their own, worker 0 first. The part of its own time that worker 2 waits until it takes the first.
double waitedBesideAnotherTaker() {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t each = 16;
  constexpr std::chrono::milliseconds item(4), later(5), step(1);
  Workers pool(3);
  std::atomic<int64_t> done{0};
  Clock::time_point start = Clock::now(), own = start, taken = start;
  auto work = [&](int worker, int64_t begin, int64_t end) {
    bool isOwn = begin / each == worker;
    if (worker == 1 && isOwn) {
      for (int waits = 0; done < 3 * each - 2 && waits < 10000; ++waits)
        std::this_thread::sleep_for(step);
      return;
    }
    if (worker == 2 && !isOwn && taken == start)
      taken = Clock::now();
    std::this_thread::sleep_for((worker == 2 && isOwn ? later : item) * (end - begin));
    done += end - begin;
    if (worker == 2 && isOwn)
      own = Clock::now();
  };
  pool.run(3 * each, work, Workers::Taking::FromTheLate);
  return taken == start ? 1 : std::chrono::duration<double>(taken - own) / (own - start);
}

TEST(Workers, TakeAtOnceOfAShareThatItsWorkerHasNotBegun) {
  double least = 1;
  for (int attempt = 0; attempt < 5 && least > 0.2; ++attempt)
    least = std::min(least, waitedBesideAnotherTaker());
  EXPECT_LT(least, 0.2);
}

/// How many threads of this process wait in the kernel.
int sleepers() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream stat(entry.path() / "stat");
    std::string text((std::istreambuf_iterator<char>(stat)), {});
    count += text.substr(text.rfind(')') + 2, 1) == "S";
  }
  return count;
}

TEST(Workers, AreWokenAfterTheySlept) {
  int before = sleepers(); // of other tests' pools
  Workers pool(3);
  for (int run = 0; run < 5; ++run) {
    for (int wait = 0; sleepers() < before + 2 && wait < 30000; ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_GE(sleepers(), before + 2) << "workers that have nothing to do do not sleep";
    std::atomic<int> begun{0};
    pool.run(3, [&](int, int64_t, int64_t) {
      ++begun;
      while (begun < 3) // each has one item, so all are awake
        std::this_thread::yield();
    });
    EXPECT_EQ(begun, 3);
  }
}

TEST(Workers, OfSeveralCallersTakeTurns) {
  Workers pool(3);
  std::atomic<int> inside[3] = {}, done{0};
  auto call = [&] {
    for (int run = 0; run < 200; ++run)
      pool.run(30, [&](int worker, int64_t begin, int64_t end) {
        EXPECT_EQ(inside[worker]++, 0);
        done += static_cast<int>(end - begin);
        --inside[worker];
      });
  };
  std::thread other(call);
  call();
  other.join();
  EXPECT_EQ(done, 2 * 200 * 30);
}

TEST(CpuCount, ReadsCgroupQuotas) {
  namespace fs = std::filesystem;
  fs::path root = fs::temp_directory_path() / ("moec-cgroup-" + std::to_string(getpid()));
  auto put = [&](const fs::path& path, const char* text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  EXPECT_EQ(cgroupCpuLimit(root), std::nullopt);
  put("proc/self/cgroup", "0::/a/b\n");
  EXPECT_EQ(cgroupCpuLimit(root), std::nullopt);
  put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroupCpuLimit(root), std::nullopt);
  put("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroupCpuLimit(root), 1.5);
  put("proc/self/cgroup", "5:cpuset:/x\n3:cpu,cpuacct:/job\n");
  put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroupCpuLimit(root), std::nullopt);
  put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(cgroupCpuLimit(root), 3.0);
  fs::remove_all(root);
  EXPECT_GE(usableCpus(), 1);
}

} // namespace
} // namespace moec
