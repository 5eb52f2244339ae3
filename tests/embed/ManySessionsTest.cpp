// One program in many threads: sessions of their own, sessions on one device, sessions on one host's pool, and what is shared meanwhile. Every result is
// the same. With the thread sanitizer (CONTRIBUTING.md) it also finds what only might go wrong.

#include "runtime/Session.h"
#include "tests/embed/Hosts.h"
#include "tests/runtime/TinyProgram.h"

#include <gtest/gtest.h>

#include <set>

namespace moec {
namespace {

constexpr int kThreads = 6, kCalls = 4;

std::vector<uint8_t> bytesOf(const TensorMap& outputs) {
  std::vector<uint8_t> bytes;
  for (const auto& [name, tensor] : outputs)
    bytes.insert(bytes.end(), static_cast<const uint8_t*>(tensor.data()), static_cast<const uint8_t*>(tensor.data()) + tensor.bytes());
  return bytes;
}

/// work(thread) in as many threads at once.
void inThreads(const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back(work, i);
  for (std::thread& thread : threads)
    thread.join();
}

class ManySessions : public testing::Test {
protected:
  ManySessions() {
    Session session(program, "cpu", {.threads = 1});
    session.init(1);
    expected = bytesOf(session.run({{"x", x}}, {.seed = 2}));
  }
  /// kCalls calls of a session, judged.
  bool isWell(Session& session) {
    session.init(1);
    for (int call = 0; call < kCalls; ++call) {
      session.run({{"x", tinyTokens(10 + call, 1)}}, {.seed = 2}); // another size between
      if (bytesOf(session.run({{"x", x}}, {.seed = 2})) != expected)
        return false;
    }
    return true;
  }

  Program program{tinyProgramData()};
  Tensor x = tinyTokens(700, 3);
  std::vector<uint8_t> expected;
};

TEST_F(ManySessions, EachWithItsOwnThreads) {
  std::atomic<int> well{0};
  inThreads([&](int) {
    Session session(program, "cpu", {.threads = 3});
    well += isWell(session);
  });
  EXPECT_EQ(well, kThreads);
}

TEST_F(ManySessions, OnOneDevice) {
  std::shared_ptr<Device> device = openDevice("cpu", {.threads = 3});
  std::atomic<int> well{0};
  inThreads([&](int) {
    Session session(program, device);
    well += isWell(session);
  });
  EXPECT_EQ(well, kThreads);
}

TEST_F(ManySessions, OnOneHost) {
  test::WatchedMemory memory;
  DeviceOptions host{.allocator = memory.allocator(), .pool = std::make_shared<test::StartingPool>(3)};
  std::atomic<int> well{0};
  inThreads([&](int) {
    Session session(program, "cpu", host);
    well += isWell(session);
  });
  EXPECT_EQ(well, kThreads);
  EXPECT_EQ(memory.live(), 0u);
  EXPECT_EQ(memory.wrongReleases(), 0);
}

TEST_F(ManySessions, ASessionMayMoveToAnotherThread) {
  Session session(program, "cpu", {.threads = 2});
  std::atomic<int> well{0};
  for (int i = 0; i < 3; ++i)
    std::thread([&] { well += isWell(session); }).join();
  EXPECT_EQ(well, 3);
}

// What holds the results of a call, and is dropped in another thread, holds those of a later one.
TEST_F(ManySessions, ResultsMayEndInOtherThreads) {
  constexpr int kResults = 40;
  Session session(program, "cpu", {.threads = 2}), other(program, "cpu", {.threads = 1});
  session.init(1);
  other.init(1);
  std::atomic<int> well{0}, ended{0};
  std::set<const void*> places;
  std::vector<std::thread> threads;
  for (int i = 0; i < kResults; ++i) {
    auto seed = static_cast<uint64_t>(i);
    std::vector<uint8_t> right = bytesOf(other.run({{"x", x}}, {.seed = seed}));
    TensorMap outputs = session.run({{"x", x}}, {.seed = seed});
    places.insert(outputs.at("y").data());
    threads.emplace_back([&, right = std::move(right), outputs = std::move(outputs)]() mutable {
      well += bytesOf(outputs) == right;
      outputs.clear();
      ended.fetch_add(1, std::memory_order_relaxed);
    });
    while (i % 2 && ended.load(std::memory_order_relaxed) <= i) // relaxed: the session alone sees to the order
      std::this_thread::yield();
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(well, kResults);
  EXPECT_LT(places.size(), static_cast<size_t>(kResults));
}

TEST_F(ManySessions, WhileTheProgramIsReadWrittenAndShared) {
  std::atomic<int> well{0};
  std::vector<uint8_t> bytes = program.bytes();
  inThreads([&](int thread) {
    Program own = thread % 2 ? Program::parse(program.bytes()) : program;
    Session session(own, "cpu", {.threads = 2});
    well += isWell(session) && own.bytes() == bytes && own.plan(own.data().plans[0].target) && !listDevices().empty();
  });
  EXPECT_EQ(well, kThreads);
}

} // namespace
} // namespace moec
