#include "runtime/train/AppendWhole.h"

#include <cerrno>
#include <unistd.h>

namespace moec::train {

int appendWhole(int file, std::span<const uint8_t> bytes) {
  off_t before = lseek(file, 0, SEEK_END);
  while (!bytes.empty()) {
    ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0) {
      int code = written < 0 ? errno : EIO;
      (void)!ftruncate(file, before);
      return code;
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return 0;
}

} // namespace moec::train
