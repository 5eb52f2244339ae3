#include "runtime/device/cpu/KernelImage.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

namespace moec {
namespace {

class File {
public:
  explicit File(int handle) : handle(handle) {}
  ~File() {
    if (handle >= 0)
      close(handle);
  }
  File(const File&) = delete;
  int handle;
};

int createMemoryFile(const std::string& name) {
  constexpr unsigned kExecutable = 0x10; // MFD_EXEC: newer kernels want it said, older refuse to hear it
  int handle = memfd_create(name.c_str(), MFD_CLOEXEC | kExecutable);
  return handle >= 0 || errno != EINVAL ? handle : memfd_create(name.c_str(), MFD_CLOEXEC);
}

/// The loader maps what the program headers say and dies where the file ends before: they are checked here.
bool holdsItsSegments(std::span<const uint8_t> bytes) {
  Elf64_Ehdr header;
  if (bytes.size() < sizeof header)
    return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr))
    return false;
  auto fits = [&](uint64_t offset, uint64_t size) { return offset <= bytes.size() && size <= bytes.size() - offset; };
  if (!fits(header.e_phoff, uint64_t{header.e_phnum} * sizeof(Elf64_Phdr)))
    return false;
  for (size_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type != PT_NULL && !fits(segment.p_offset, segment.p_filesz))
      return false;
  }
  return true;
}

/// The loader knows an open library by its path and a descriptor's number is used again, so each opening spells its path
/// differently: a counter in binary, as "./" and ".//".
std::string uniquePath(int handle) {
  static std::atomic<uint64_t> counter{1};
  std::string path = "/proc/self/fd/";
  for (uint64_t bits = counter++; bits != 0; bits >>= 1)
    path += bits & 1 ? ".//" : "./";
  return path + std::to_string(handle);
}

} // namespace

KernelImage::KernelImage(std::span<const uint8_t> bytes, const std::string& symbol, const std::string& target) {
  std::string who = fmt::format("kernel '{}' for target '{}'", symbol, target);
  auto systemError = [&](const char* doing) {
    return Error(Fault::System, fmt::format("{}: cannot {}: {}", who, doing, std::generic_category().message(errno)));
  };
  if (!holdsItsSegments(bytes))
    throw Error(Fault::Data, fmt::format("{}: the image is no whole shared object; compile the program again", who));
  File file(createMemoryFile(symbol.substr(0, 200)));
  if (file.handle < 0)
    throw systemError("create a file in memory");
  for (size_t done = 0; done < bytes.size();) {
    ssize_t written = write(file.handle, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno != EINTR)
      throw systemError("write a file in memory");
    done += written > 0 ? static_cast<size_t>(written) : 0;
  }
  library_ = dlopen(uniquePath(file.handle).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library_)
    throw Error(Fault::Data, fmt::format("{}: the image does not open: {}; compile the program again", who, dlerror()));
  function_ = reinterpret_cast<KernelFunction>(dlsym(library_, symbol.c_str()));
  if (!function_) {
    dlclose(library_);
    throw Error(Fault::Data, fmt::format("{}: the image lacks the symbol; compile the program again", who));
  }
}

KernelImage::~KernelImage() { dlclose(library_); }

} // namespace moec
