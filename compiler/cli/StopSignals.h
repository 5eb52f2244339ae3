#pragma once
// Ctrl-C and SIGTERM as one wish: the first asks work to come to a good end; the second, whichever of them it is, ends the process as if nobody listened, but
// says so.

#include <atomic>
#include <csignal>
#include <string>

namespace moec::cli {

class StopSignals {
public:
  /// From now on the first of these signals sets the flag; the second writes `lastWords` to stderr. One of a process at a time. A signal that was ignored stays
  /// so, as under nohup.
  explicit StopSignals(const std::string& lastWords);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>& flag() const;

private:
  struct sigaction interrupt_, terminate_; // as they were
};

} // namespace moec::cli
