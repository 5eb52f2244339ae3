#include "runtime/emulator/Emulator.h"

#include "runtime/emulator/EmulatedDevice.h"

#include <fmt/format.h>
#include <memory>
#include <stdexcept>

namespace moec::emulator {
namespace {

constexpr TargetLimits kTargets[] = {
    {"sm_80", "PTX emulator of sm_80", 8, 0, false, 108, 2048, 49152, 166912, 167936},
    {"sm_90a", "PTX emulator of sm_90a", 9, 0, true, 132, 2048, 49152, 232448, 233472},
    {"sm_100a", "PTX emulator of sm_100a", 10, 0, true, 148, 2048, 49152, 232448, 233472},
    {"sm_120", "PTX emulator of sm_120", 12, 0, false, 170, 1536, 49152, 101376, 102400},
};
constexpr int kTargetCount = int(sizeof(kTargets) / sizeof(kTargets[0]));

template <int I> EmulatedDevice& device() {
  static EmulatedDevice made(kTargets[I]);
  return made;
}

/// The driver's functions have no object: one set per target. No exception leaves them.
template <int I, auto Method> struct Forward;
template <int I, class... A, cuda::Result (EmulatedDevice::*Method)(A...)> struct Forward<I, Method> {
  static cuda::Result call(A... arguments) {
    try {
      return (device<I>().*Method)(arguments...);
    } catch (const std::bad_alloc&) {
      return device<I>().fail(cuda::kOutOfMemory, "the host is out of memory");
    } catch (const std::exception& error) {
      return device<I>().fail(cuda::kLaunchFailed, error.what());
    }
  }
};

template <int I> EmulatedDevice* open() {
  static const bool once = [] {
    cuda::DriverTable table;
#define MOEC_FILL(member, symbol, parameters) table.member = &Forward<I, &EmulatedDevice::member>::call;
    MOEC_CUDA_DRIVER_FUNCTIONS(MOEC_FILL)
    MOEC_CUDA_FURTHER_FUNCTIONS(MOEC_FILL)
#undef MOEC_FILL
    device<I>().setTable(table);
    return true;
  }();
  (void)once;
  return &device<I>();
}

} // namespace

const std::vector<std::string>& Emulator::targets() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> made;
    for (const TargetLimits& target : kTargets)
      made.push_back(target.name);
    return made;
  }();
  return names;
}

Emulator* Emulator::of(const std::string& target) {
  static_assert(kTargetCount == 4);
  constexpr EmulatedDevice* (*makers[])() = {&open<0>, &open<1>, &open<2>, &open<3>};
  for (int i = 0; i < kTargetCount; ++i)
    if (target == kTargets[i].name)
      return makers[i]();
  return nullptr;
}

const cuda::DriverTable& emulatorTable(const std::string& target) {
  Emulator* emulator = Emulator::of(target);
  if (!emulator)
    throw std::invalid_argument(fmt::format("no emulated target '{}'; known: {}", target, fmt::join(Emulator::targets(), ", ")));
  return emulator->table();
}

const char* nameOf(Finding::Kind kind) {
  constexpr const char* names[] = {"out of bounds",
                                   "misaligned access",
                                   "uninitialised read",
                                   "race",
                                   "divergent .sync",
                                   "divergent barrier",
                                   "deadlock",
                                   "read of an unfinished copy",
                                   "shuffle from a lane outside",
                                   "trap",
                                   "hang"};
  return names[int(kind)];
}

std::string Finding::text() const {
  std::string where = file.empty() ? std::string() : fmt::format(" at {}:{}", file, sourceLine);
  std::string often = times > 1 ? fmt::format(" ({} times)", times) : std::string();
  return fmt::format("{}{} (ptx line {}, {}): {}: {}; block ({},{},{}) thread ({},{},{}){}", kernel, where, ptxLine, instruction, nameOf(kind), detail,
                     block[0], block[1], block[2], thread[0], thread[1], thread[2], often);
}

} // namespace moec::emulator
