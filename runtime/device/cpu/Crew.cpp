#include "runtime/device/cpu/Crew.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moec {
namespace {

constexpr int kPauses = 1 << 12;               // of waiting awake alone, about 0.1 ms; then others may have the core
constexpr std::chrono::milliseconds kAwake(2); // of waiting so
constexpr int kTurnsOfClock = 16;              // between two looks at the clock

void pauseAwhile() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

/// Waits awake, about two milliseconds at most, which is more than lies between the launches of a call, and often between calls. Whether `there` came true.
template <class There> bool comesSoon(There there) {
  for (int pause = 0; pause < kPauses; ++pause) {
    if (there())
      return true;
    pauseAwhile();
  }
  auto end = std::chrono::steady_clock::now() + kAwake;
  for (int turn = 1; turn % kTurnsOfClock != 0 || std::chrono::steady_clock::now() < end; ++turn) {
    if (there())
      return true;
    std::this_thread::yield();
  }
  return there();
}

} // namespace

/// One of the threads. A call is a number in one line, which it waits for, and its end the same number in another: between cores that lie far apart each line
/// that changes hands costs as much as a hundred products.
class Crew::Member {
public:
  explicit Member(int index) : thread_([this, index] { live(index); }) {}
  ~Member() {
    give(nullptr, nullptr);
    awaitEnd();
    thread_.join();
  }

  void give(Call call, void* context) {
    call_ = call;
    context_ = context;
    begun_.store(++given_, std::memory_order_release);
    wake();
  }

  void awaitEnd() {
    bool hasEnded = comesSoon([this] {
      wake(); // it may have fallen asleep without seeing the number
      return ended_.load(std::memory_order_acquire) == given_;
    });
    if (hasEnded)
      return;
    isAwaited_.store(true);
    for (uint32_t seen; (seen = ended_.load()) != given_;)
      ended_.wait(seen);
    isAwaited_.store(false);
  }

private:
  void wake() {
    if (sleeps_.load(std::memory_order_relaxed))
      begun_.notify_one();
  }

  void live(int index) {
    for (uint32_t number = 1;; ++number) {
      if (!comesSoon([&] { return begun_.load(std::memory_order_acquire) == number; })) {
        sleeps_.store(true);
        begun_.wait(number - 1, std::memory_order_acquire);
        sleeps_.store(false);
      }
      Call call = call_;
      if (call)
        call(context_, index);
      ended_.store(number);
      if (isAwaited_.load())
        ended_.notify_one();
      if (!call)
        return;
    }
  }

  alignas(kApart) std::atomic<uint32_t> begun_{0}; // the number of the call that there is to make
  Call call_ = nullptr;                            // published by it, as its context; null: no more will come
  void* context_ = nullptr;
  uint32_t given_ = 0;                             // the caller's
  alignas(kApart) std::atomic<uint32_t> ended_{0}; // the number of the call that was made
  std::atomic<bool> sleeps_{false}, isAwaited_{false};
  std::thread thread_; // last: it uses all of them
};

Crew::Crew(int threads) {
  for (int index = 1; index <= threads; ++index)
    members_.push_back(std::make_unique<Member>(index));
}

Crew::~Crew() = default;

void Crew::run(int count, Call call, void* context) {
  std::lock_guard turn(turn_);
  for (int index = 1; index < count; ++index)
    members_[static_cast<size_t>(index) - 1]->give(call, context);
  call(context, 0);
  for (int index = 1; index < count; ++index)
    members_[static_cast<size_t>(index) - 1]->awaitEnd();
}

} // namespace moec
