#include "compiler/cli/StopSignals.h"

namespace moec::cli {

namespace {

std::atomic<bool> wanted;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal's handler sets it");

void onSignal(int) {
  wanted = true;
  for (int number : {SIGINT, SIGTERM})
    std::signal(number, SIG_DFL);
}

void listen(int number, struct sigaction& before) {
  struct sigaction action = {};
  action.sa_handler = onSignal;
  action.sa_flags = SA_RESTART; // no read or write is cut short
  sigemptyset(&action.sa_mask);
  sigaction(number, nullptr, &before);
  if (before.sa_handler != SIG_IGN)
    sigaction(number, &action, nullptr);
}

} // namespace

StopSignals::StopSignals() {
  wanted = false;
  listen(SIGINT, interrupt_);
  listen(SIGTERM, terminate_);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGTERM, &terminate_, nullptr);
}

const std::atomic<bool>& StopSignals::flag() const { return wanted; }

} // namespace moec::cli
