#pragma once
// Ctrl-C and SIGTERM as a wish: the first asks work to come to a good end, the second ends the process as if nobody listened.

#include <atomic>
#include <csignal>

namespace moec::cli {

class StopSignals {
public:
  /// From now on the first of these signals sets the flag. One of a process at a time. A signal that was ignored stays so, as under nohup.
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>& flag() const;

private:
  struct sigaction interrupt_, terminate_; // as they were
};

} // namespace moec::cli
