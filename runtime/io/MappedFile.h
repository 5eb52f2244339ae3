#pragma once
// A file's bytes, mapped privately (writing to them changes no file) and shared. Reading fails with Error(Data) when the path is wrong
// (absent, a folder, not readable), with Error(System) when the machine is at fault.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace moec {

/// Throws what reading a file fails with, by the number of the system's error.
[[noreturn]] void cannotRead(const std::filesystem::path& path, int code);

class MappedFile {
public:
  static MappedFile open(const std::filesystem::path& path);

  std::span<const uint8_t> bytes() const { return {static_cast<const uint8_t*>(memory_.get()), size_}; }
  /// Keeps the mapping alive. Its pages are private: writing through it changes no file.
  const std::shared_ptr<void>& owner() const { return memory_; }
  /// Gives the memory of these bytes back, where they lie in this file: whoever looks at them again reads them from it
  /// again. What was written to them is lost.
  void forget(std::span<const uint8_t> part) const;

private:
  std::shared_ptr<void> memory_;
  size_t size_ = 0;
};

} // namespace moec
