#include "codegen/cpu/Linker.h"

#include "lld/Common/Driver.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

LLD_HAS_DRIVER(elf)

namespace moec::codegen::cpu {

namespace {

/// A new file in memory where the system has a folder for such, else in that of temporary files: making and removing two files a kernel on a disk that others
/// write to takes longer than linking.
std::error_code makeFile(const char* ending, llvm::SmallVectorImpl<char>& path) {
  if (!llvm::sys::fs::createUniqueFile(llvm::Twine("/dev/shm/moec-%%%%%%%%.") + ending, path))
    return {};
  return llvm::sys::fs::createTemporaryFile("moec", ending, path);
}

} // namespace

std::optional<std::vector<uint8_t>> linkShared(const std::string& object, std::string& error) {
  llvm::SmallString<128> input, output;
  if (std::error_code code = makeFile("o", input)) {
    error = "cannot make a temporary file for the linker: " + code.message();
    return std::nullopt;
  }
  llvm::FileRemover removeInput(input);
  if (std::error_code code = makeFile("so", output)) {
    error = "cannot make a temporary file for the linker: " + code.message();
    return std::nullopt;
  }
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

} // namespace moec::codegen::cpu
