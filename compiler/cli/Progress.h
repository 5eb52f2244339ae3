#pragma once
// What takes long says so on stderr: on a terminal one line that is rewritten and wiped at last, elsewhere a line every
// ten seconds.

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace moec::cli {

class Progress {
public:
  /// Begins at once, with a thread of its own; `what` as in "compiling vit.json". `quiet`: shows nothing. `step` is
  /// between two lines where there is no terminal.
  Progress(std::string what, bool quiet, std::chrono::milliseconds step = std::chrono::seconds(10));
  /// Wipes the line of a terminal.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// What has been done, shown behind `what`.
  void add(const std::string& done);

private:
  void watch();
  std::string text() const;

  std::string what_, done_;
  std::chrono::milliseconds step_;
  double seconds_ = 0;
  bool shown_ = false, ended_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

} // namespace moec::cli
