#pragma once
// Whether another process measures on this machine, too: two searches at once take each other's time for their schedules'.

#include <filesystem>

namespace moec::cli {

/// Held until it is destroyed, or its process ends, however that is. Knows of this user's processes alone.
class MeasuringLock {
public:
  /// In the user's cache folder. Empty, or one that cannot be written: nobody knows of others.
  explicit MeasuringLock(const std::filesystem::path& folder);
  ~MeasuringLock();
  MeasuringLock(const MeasuringLock&) = delete;
  MeasuringLock& operator=(const MeasuringLock&) = delete;

  bool isAlone() const { return isAlone_; }

private:
  int handle_ = -1;
  bool isAlone_ = true;
};

} // namespace moec::cli
