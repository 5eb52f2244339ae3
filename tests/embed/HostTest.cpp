// A host's memory and threads: the same bits, every failure of its allocator, pools that do not keep their promise; in C++ and in C.

#include "runtime/Session.h"
#include "runtime/c/c_api.h"
#include "runtime/device/cpu/Workers.h"
#include "tests/embed/Hosts.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyProgram.h"

#include <gmock/gmock.h>

namespace moec {
namespace {

using test::ReversePool;
using test::StartingPool;
using test::WatchedMemory;
using testing::ElementsAre;
using testing::HasSubstr;

Program tiny() { return Program(tinyProgramData()); }

void expectSame(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_EQ(tensor.bytes(), b.at(name).bytes());
    EXPECT_EQ(std::memcmp(tensor.data(), b.at(name).data(), tensor.bytes()), 0) << name;
  }
}

/// Two calls of different sizes, so that memory is taken anew.
TensorMap lifeOf(const DeviceOptions& options) {
  Session session(tiny(), "cpu", options);
  session.init(3);
  session.run({{"x", tinyTokens(40, 1)}}, {.seed = 5});
  return session.run({{"x", tinyTokens(3001, 1)}}, {.seed = 5, .step = 6});
}

TEST(Host, AnyMemoryAndAnyPoolGiveTheSameBits) {
  TensorMap expected = lifeOf({.threads = 1});
  auto reverse = std::make_shared<ReversePool>(5);
  for (const std::shared_ptr<ThreadPool>& pool :
       {std::shared_ptr<ThreadPool>(), std::shared_ptr<ThreadPool>(reverse), std::shared_ptr<ThreadPool>(std::make_shared<ReversePool>(1)),
        std::shared_ptr<ThreadPool>(std::make_shared<StartingPool>(4))}) {
    WatchedMemory memory;
    {
      TensorMap outputs = lifeOf({.allocator = memory.allocator(), .pool = pool});
      expectSame(expected, outputs);
      EXPECT_EQ(memory.live(), outputs.size()); // they outlive their session
    }
    // w, its packed form; arena and scratch, twice; x and y, twice
    EXPECT_GE(memory.calls(), 10);
    EXPECT_EQ(memory.live(), 0u);
    EXPECT_EQ(memory.wrongReleases(), 0);
  }
  EXPECT_GT(reverse->runs, 0);
}

TEST(Host, EveryFailureOfTheAllocatorIsAnErrorWithoutALeak) {
  WatchedMemory count;
  lifeOf({.threads = 1, .allocator = count.allocator()});
  for (int64_t n = 0; n < count.calls(); ++n) {
    WatchedMemory memory(n);
    EXPECT_FAULT(lifeOf({.threads = 1, .allocator = memory.allocator()}), Fault::System, "the host's allocator gave none");
    EXPECT_EQ(memory.live(), 0u) << "call " << n;
  }
}

TEST(Host, ASessionGoesOnWhenMemoryIsThereAgain) {
  TensorMap expected = lifeOf({.threads = 1});
  WatchedMemory count;
  lifeOf({.threads = 1, .allocator = count.allocator()});
  Program program = tiny();
  int64_t failures = 0;
  for (int64_t n = 0; n < count.calls(); ++n) {
    WatchedMemory memory(n);
    std::optional<Session> session;
    auto again = [&](auto step) { // what fails once does well the second time
      for (int attempt = 0;; ++attempt)
        try {
          return step();
        } catch (const Error& error) {
          ASSERT_EQ(attempt, 0) << error.what();
          ++failures;
        }
    };
    again([&] { session.emplace(program, "cpu", DeviceOptions{.threads = 1, .allocator = memory.allocator()}); });
    again([&] { session->init(3); });
    again([&] { session->run({{"x", tinyTokens(40, 1)}}, {.seed = 5}); });
    again([&] { expectSame(expected, session->run({{"x", tinyTokens(3001, 1)}}, {.seed = 5, .step = 6})); });
  }
  EXPECT_EQ(failures, count.calls());
}

TEST(Host, WhatAWorkerThrowsReachesTheCallerOnEveryPool) {
  for (const std::shared_ptr<ThreadPool>& pool :
       {std::shared_ptr<ThreadPool>(std::make_shared<ReversePool>(3)), std::shared_ptr<ThreadPool>(std::make_shared<StartingPool>(3))}) {
    Workers workers(pool);
    EXPECT_FAULT(workers.run(100,
                             [](int, int64_t begin, int64_t) {
                               if (begin > 50)
                                 throw Error(Fault::Data, "from a worker");
                             }),
                 Fault::Data, "from a worker");
    std::atomic<int64_t> sum{0};
    workers.run(100, [&](int worker, int64_t begin, int64_t end) {
      ASSERT_LT(worker, 3);
      for (int64_t i = begin; i < end; ++i)
        sum += i;
    });
    EXPECT_EQ(sum, 4950);
  }
}

TEST(Host, AWorkerTakesItsOwnShareFromTheFrontAndThenTheEndsOfOthers) {
  Workers workers(std::make_shared<ReversePool>(3)); // of which the last finds all the work but what others begin with
  std::vector<int64_t> begins, ends;
  std::string whose;
  workers.run(50, [&](int worker, int64_t begin, int64_t end) {
    whose += std::to_string(worker);
    begins.push_back(begin);
    ends.push_back(end);
  });
  // Shares of 17, 17 and 16 items, by two.
  EXPECT_THAT(begins, ElementsAre(34, 36, 38, 40, 42, 44, 46, 48, 15, 13, 11, 9, 7, 5, 3, 2, 32, 30, 28, 26, 24, 22, 20, 19, 17, 0));
  EXPECT_THAT(ends, ElementsAre(36, 38, 40, 42, 44, 46, 48, 50, 17, 15, 13, 11, 9, 7, 5, 3, 34, 32, 30, 28, 26, 24, 22, 20, 19, 2));
  EXPECT_EQ(whose, std::string(24, '2') + "10");
}

/// Calls what `indices` says instead of what it was asked.
class LyingPool : public ReversePool {
public:
  explicit LyingPool(std::vector<int64_t> indices) : ReversePool(3), indices_(std::move(indices)) {}
  void parallelFor(int64_t, const std::function<void(int64_t)>& work) override {
    for (int64_t index : indices_)
      work(index);
  }

private:
  std::vector<int64_t> indices_;
};

TEST(Host, APoolThatBreaksItsPromiseIsFound) {
  for (const std::vector<int64_t>& indices : {std::vector<int64_t>{}, {0, 1}, {0, 0, 1, 2}, {0, 1, 2, 3}, {-1, 0, 1, 2}})
    EXPECT_FAULT(Workers(std::make_shared<LyingPool>(indices)).run(100, [](int, int64_t, int64_t) {}), Fault::Usage,
                 "the host's thread pool was given 3 calls to make");
  EXPECT_FAULT(Workers(std::make_shared<ReversePool>(0)), Fault::Usage, "concurrency of 0");
}

TEST(Host, OptionsThatContradictEachOtherAreRefused) {
  WatchedMemory memory;
  EXPECT_FAULT(Session(tiny(), "cpu", {.threads = 2, .pool = std::make_shared<ReversePool>(2)}), Fault::Usage, "one of the two");
  EXPECT_FAULT(Session(tiny(), "cpu", {.allocator = {memory.allocator().allocate, nullptr, nullptr}}), Fault::Usage, "no function to release");
  Allocator crooked{[](void*, size_t, size_t) -> void* { return reinterpret_cast<void*>(65); }, [](void*, void*, size_t) {}, nullptr};
  EXPECT_FAULT(Session(tiny(), "cpu", {.allocator = crooked}), Fault::Usage, "no multiple of 64");
}

struct CHost {
  WatchedMemory memory;
  int64_t runs = 0;
};

TEST(Host, TheSameInC) {
  std::vector<uint8_t> bytes = tiny().bytes();
  moec_program* program = nullptr;
  ASSERT_EQ(moec_program_parse(bytes.data(), bytes.size(), &program), MOEC_OK);
  Tensor x = tinyTokens(3001, 1);
  TensorMap expected = lifeOf({.threads = 1});
  CHost host;
  Allocator inner = host.memory.allocator();
  moec_allocator allocator{inner.context, inner.allocate, inner.release};
  moec_thread_pool pool{&host, 3, [](void* context, size_t count, void (*work)(void*, size_t), void* task) {
                          ++static_cast<CHost*>(context)->runs;
                          while (count-- > 0)
                            work(task, count);
                        }};
  moec_session* session = nullptr;
  ASSERT_EQ(moec_session_create_hosted(program, "cpu", &allocator, &pool, &session), MOEC_OK) << moec_last_error();
  ASSERT_EQ(moec_session_init(session, 3), MOEC_OK);
  moec_tensor *input = nullptr, *outputs[2] = {};
  ASSERT_EQ(moec_tensor_borrow(x.data(), MOEC_F32, x.shape().data(), 2, &input), MOEC_OK);
  const char* name = "x";
  ASSERT_EQ(moec_session_run(session, &name, &input, 1, 5, 6, outputs), MOEC_OK) << moec_last_error();
  for (size_t i = 0; i < 2; ++i) {
    const Tensor& want = expected.at(moec_session_output_name(session, i));
    ASSERT_EQ(moec_tensor_bytes(outputs[i]), want.bytes());
    EXPECT_EQ(std::memcmp(moec_tensor_data(outputs[i]), want.data(), want.bytes()), 0);
  }
  EXPECT_GT(host.runs, 0);
  moec_session_free(session);
  EXPECT_EQ(host.memory.live(), 2u);
  for (moec_tensor* output : outputs)
    moec_tensor_free(output);
  EXPECT_EQ(host.memory.live(), 0u);

  WatchedMemory none(0);
  allocator.context = &none;
  EXPECT_EQ(moec_session_create_hosted(program, "cpu", &allocator, nullptr, &session), MOEC_ERROR_SYSTEM);
  EXPECT_THAT(moec_last_error(), HasSubstr("no memory for w.packed, f32[8] (32 bytes)"));
  allocator.release = nullptr;
  EXPECT_EQ(moec_session_create_hosted(program, "cpu", &allocator, nullptr, &session), MOEC_ERROR_USAGE);
  EXPECT_STREQ(moec_last_error(), "release is null");
  allocator = {nullptr, [](void*, size_t, size_t) -> void* { throw 7; }, inner.release};
  EXPECT_EQ(moec_session_create_hosted(program, "cpu", &allocator, nullptr, &session), MOEC_ERROR_INTERNAL);
  EXPECT_THAT(moec_last_error(), HasSubstr("a function of the host threw"));
  moec_tensor_free(input);
  moec_program_free(program);
}

} // namespace
} // namespace moec
