#include "compiler/cli/StopSignals.h"

#include <unistd.h>

namespace moec::cli {

namespace {

std::atomic<bool> wanted;
std::atomic<int> heard;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free, "a signal's handler sets them");
std::string words; // never changed while the handler may run

// Calls nothing that a handler may not.
void onSignal(int number) {
  wanted = true;
  if (heard.fetch_add(1) == 0)
    return;
  static_cast<void>(!write(STDERR_FILENO, words.data(), words.size()));
  std::signal(number, SIG_DFL);
  std::raise(number); // comes when the handler has returned, until when it is held back
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

StopSignals::StopSignals(const std::string& lastWords) {
  wanted = false;
  heard = 0;
  words = lastWords;
  listen(SIGINT, interrupt_);
  listen(SIGTERM, terminate_);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGTERM, &terminate_, nullptr);
}

const std::atomic<bool>& StopSignals::flag() const { return wanted; }

} // namespace moec::cli
