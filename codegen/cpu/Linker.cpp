#include "codegen/cpu/Linker.h"

#include "lld/Common/Driver.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

LLD_HAS_DRIVER(elf)

namespace moec::codegen::cpu {

namespace {

/// A new file of a folder, which nobody else reads or writes.
std::error_code makeFile(llvm::StringRef folder, const char* ending, llvm::SmallVectorImpl<char>& path) {
  return llvm::sys::fs::createUniqueFile(folder + "/moec-%%%%%%%%." + ending, path, llvm::sys::fs::owner_read | llvm::sys::fs::owner_write);
}

/// Whether there is plenty of room for what is linked: lld writes it through a mapping, where a lack of room is a signal and no error.
bool hasRoom(llvm::StringRef folder, const std::string& object) {
  constexpr uint64_t ofOthers = 4 << 20; // that link at the same time
  llvm::ErrorOr<llvm::sys::fs::space_info> space = llvm::sys::fs::disk_space(folder);
  return !space || space->available >= 4 * object.size() + ofOthers;
}

std::optional<std::vector<uint8_t>> linkIn(llvm::StringRef folder, const std::string& object, std::string& error) {
  if (!hasRoom(folder, object)) {
    error = "cannot make temporary files for the linker in " + folder.str() + ": it has no room left";
    return std::nullopt;
  }
  llvm::SmallString<128> input, output;
  auto made = [&](const char* ending, llvm::SmallVectorImpl<char>& path) {
    std::error_code code = makeFile(folder, ending, path);
    if (code)
      error = "cannot make a temporary file for the linker in " + folder.str() + ": " + code.message();
    return !code;
  };
  if (!made("o", input))
    return std::nullopt;
  llvm::FileRemover removeInput(input);
  if (!made("so", output))
    return std::nullopt;
  llvm::FileRemover removeOutput(output);
  {
    std::error_code code;
    llvm::raw_fd_ostream file(input, code);
    file << object;
    file.close();
    if (file.has_error()) {
      error = "cannot write the temporary file " + input.str().str() + ": " + file.error().message();
      file.clear_error();
      return std::nullopt;
    }
  }

  // `-z defs` makes an undefined symbol an error that names it.
  const char* arguments[] = {"ld.lld",          "-shared",         "-z",          "defs", "-z",           "norelro",    "-z",
                             "noseparate-code", "--build-id=none", "--threads=1", "-o",   output.c_str(), input.c_str()};
  std::string text;
  llvm::raw_string_ostream messages(text);
  lld::Result result;
  {
    static std::mutex oneAtATime; // lld keeps its state in globals
    std::lock_guard lock(oneAtATime);
    result = lld::lldMain(arguments, messages, messages, {{lld::Gnu, &lld::elf::link}});
  }
  if (result.retCode != 0) {
    error = "linking the kernel failed: " + text;
    return std::nullopt;
  }
  auto file = llvm::MemoryBuffer::getFile(output);
  if (!file) {
    error = "cannot read the linker's result: " + file.getError().message();
    return std::nullopt;
  }
  llvm::StringRef bytes = (*file)->getBuffer();
  return std::vector<uint8_t>(bytes.begin(), bytes.end());
}

} // namespace

std::vector<std::string> linkerFolders() {
  llvm::SmallString<128> disk;
  llvm::sys::path::system_temp_directory(/*erasedOnReboot=*/true, disk);
  return {"/dev/shm", disk.str().str()};
}

std::optional<std::vector<uint8_t>> linkShared(const std::string& object, std::string& error, const std::vector<std::string>& folders) {
  std::string all;
  for (const std::string& folder : folders) {
    std::string why;
    if (auto image = linkIn(folder, object, why))
      return image;
    all += (all.empty() ? "" : "; ") + why;
  }
  error = all;
  return std::nullopt;
}

} // namespace moec::codegen::cpu
