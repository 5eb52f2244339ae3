#include "runtime/device/cpu/KernelImage.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace moec {
namespace {

class File {
public:
  explicit File(int handle) : handle(handle) {}
  ~File() {
    if (handle >= 0)
      ::close(handle);
  }
  File(const File&) = delete;
  int handle;
};

int createMemoryFile(const std::string& name) {
  constexpr unsigned kExecutable = 0x10; // MFD_EXEC: newer kernels want it said, older refuse to hear it
  int handle = memfd_create(name.c_str(), MFD_CLOEXEC | kExecutable);
  return handle >= 0 || errno != EINVAL ? handle : memfd_create(name.c_str(), MFD_CLOEXEC);
}

int writeMemoryFile(std::span<const uint8_t> bytes, const std::string& symbol, const std::string& who) {
  auto systemError = [&](const char* doing) {
    return Error(Fault::System, fmt::format("{}: cannot {}: {}", who, doing, std::generic_category().message(errno)));
  };
  File file(createMemoryFile(symbol.substr(0, 200)));
  if (file.handle < 0)
    throw systemError("create a file in memory");
  for (size_t done = 0; done < bytes.size();) {
    ssize_t written = write(file.handle, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno != EINTR)
      throw systemError("write a file in memory");
    done += written > 0 ? static_cast<size_t>(written) : 0;
  }
  return std::exchange(file.handle, -1);
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

/// A debugger opens the path as well, so it names this process by its number; /proc/self holds the number that /proc itself uses.
std::string processFolder() {
  char number[32];
  ssize_t length = readlink("/proc/self", number, sizeof number);
  return length > 0 && length < static_cast<ssize_t>(sizeof number) ? "/proc/" + std::string(number, static_cast<size_t>(length)) : "/proc/self";
}

/// The loader knows an open library by its path and a descriptor's number is used again, so each opening spells its path
/// differently: a counter in binary, as "./" and ".//".
std::string uniquePath(int handle) {
  static std::atomic<uint64_t> counter{1};
  std::string path = processFolder() + "/fd/";
  for (uint64_t bits = counter++; bits != 0; bits >>= 1)
    path += bits & 1 ? ".//" : "./";
  return path + std::to_string(handle);
}

/// Descriptors from here on are left to the host: of kernels that would need them a debugger that comes later finds no names.
constexpr int kMostKept = 256;

/// "<symbol>-<digest>.so": one path is one content, for this process and for those that share the folder.
std::filesystem::path writeImage(std::span<const uint8_t> bytes, const std::string& symbol, const std::filesystem::path& folder, const std::string& who) {
  for (char c : symbol)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_')
      throw Error(Fault::Data, fmt::format("{}: the symbol makes no file name; compile the program again", who));
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code)
    throw Error(Fault::System, fmt::format("{}: cannot make the folder: {}", folder.string(), code.message()));
  std::filesystem::path path = folder / fmt::format("{}-{}.so", symbol.substr(0, 200), digestOf(bytes).hex().substr(0, 8));
  writeFileAtomically(path, bytes);
  return std::filesystem::absolute(path);
}

} // namespace

KernelImage::KernelImage(std::span<const uint8_t> bytes, const std::string& symbol, const std::string& target, const std::filesystem::path& folder) {
  std::string who = fmt::format("kernel '{}' for target '{}'", symbol, target);
  if (!holdsItsSegments(bytes))
    throw Error(Fault::Data, fmt::format("{}: the image is no whole shared object; compile the program again", who));
  if (folder.empty()) {
    File file(writeMemoryFile(bytes, symbol, who));
    library_ = dlopen(uniquePath(file.handle).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (file.handle < kMostKept)
      file_ = std::exchange(file.handle, -1);
  } else {
    library_ = dlopen(writeImage(bytes, symbol, folder, who).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  std::string reason = "lacks the symbol";
  if (!library_)
    reason = fmt::format("does not open: {}", dlerror());
  else
    function_ = reinterpret_cast<KernelFunction>(dlsym(library_, symbol.c_str()));
  if (function_)
    return;
  close();
  throw Error(Fault::Data, fmt::format("{}: the image {}; compile the program again", who, reason));
}

void KernelImage::close() {
  if (library_)
    dlclose(library_);
  if (file_ >= 0)
    ::close(file_);
}

KernelImage::~KernelImage() { close(); }

} // namespace moec
