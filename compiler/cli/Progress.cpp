#include "compiler/cli/Progress.h"

#include <fmt/format.h>

#include <cstdio>
#include <unistd.h>

namespace moec::cli {

using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kTerminalStep = std::chrono::milliseconds(500);

} // namespace

Progress::Progress(std::string what, bool quiet, std::chrono::milliseconds step) : what_(std::move(what)), step_(step) {
  if (!quiet)
    thread_ = std::thread([this] { watch(); });
}

Progress::~Progress() {
  if (!thread_.joinable())
    return;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Progress::add(const std::string& done) {
  std::lock_guard lock(mutex_);
  done_ += " " + done;
}

std::string Progress::text() const { return fmt::format("moec: {}{} ... {:.0f} s", what_, done_.empty() ? "" : ":" + done_, seconds_); }

void Progress::watch() {
  bool terminal = isatty(STDERR_FILENO);
  auto begin = Clock::now();
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, terminal ? kTerminalStep : step_, [this] { return ended_; })) {
    seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
    fmt::print(stderr, "{}{}{}", terminal ? "\r\033[K" : "", text(), terminal ? "" : "\n");
    std::fflush(stderr);
    shown_ = true;
  }
  if (terminal && shown_)
    fmt::print(stderr, "\r\033[K");
}

} // namespace moec::cli
