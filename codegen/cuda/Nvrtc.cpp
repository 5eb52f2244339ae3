#include "codegen/cuda/Nvrtc.h"

#include "codegen/cuda/NvrtcLibrary.h"
#include "codegen/cuda/NvrtcLog.h"
#include "codegen/cuda/NvrtcNames.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <iterator>

namespace moec::codegen::cuda {

namespace {

/// Texts end in a zero byte.
std::string trimmed(std::string text) {
  while (text.ends_with('\0'))
    text.pop_back();
  return text;
}

/// A program in NVRTC's hands.
class Run {
public:
  Run(const NvrtcLibrary& library, const CudaSource& source) : library_(library) {
    check(library_.createProgram(&program_, nvrtcText(source).c_str(), nvrtcName(source).c_str(), 0, nullptr, nullptr), "takes no text");
  }
  ~Run() {
    if (program_)
      library_.destroyProgram(&program_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// With usage, the log has ptxas's report of each function, and then lacks errors of ptxas that name no line.
  int compile(const std::string& arch, bool usage) {
    std::string architecture = "--gpu-architecture=" + arch;
    const char* options[] = {architecture.c_str(), "--std=c++17", "--fmad=false", "-lineinfo", "--ptxas-options=-v"};
    return library_.compileProgram(program_, static_cast<int>(std::size(options)) - (usage ? 0 : 1), options);
  }

  std::string log() { return trimmed(text(&NvrtcLibrary::logSize, &NvrtcLibrary::log)); }

  std::string text(int (*NvrtcLibrary::*size)(NvrtcProgram, size_t*), int (*NvrtcLibrary::*get)(NvrtcProgram, char*)) {
    size_t bytes = 0;
    check((library_.*size)(program_, &bytes), "gives no result");
    std::string text(bytes, '\0');
    if (bytes > 0)
      check((library_.*get)(program_, text.data()), "gives no result");
    return text;
  }

  /// PTX of a text that ptxas refused; empty when it did not come so far.
  std::string refusedPtx() {
    size_t bytes = 0;
    return library_.ptxSize(program_, &bytes) == 0 ? text(&NvrtcLibrary::ptxSize, &NvrtcLibrary::ptx) : std::string();
  }

  void check(int result, const char* what) {
    if (result != 0)
      throw Error(Fault::Device, fmt::format("{} (version {}.{}) {}: {}", library_.path, library_.major, library_.minor, what, library_.errorString(result)));
  }

private:
  const NvrtcLibrary& library_;
  NvrtcProgram program_ = nullptr;
};

} // namespace

std::optional<CompiledCuda> compileCuda(const CudaSource& source, const CudaTarget& target, std::string& error) {
  const NvrtcLibrary* library = nvrtcLibrary();
  if (!library)
    throw Error(Fault::Device, missingNvrtc());
  Run run(*library, source);
  int result = run.compile(target.arch, true);
  std::string log = run.log();
  if (result == kNvrtcInvalidOption)
    throw Error(Fault::Device, fmt::format("{} (version {}.{}) does not compile for {}; version 12.8 and newer ones do{}{}", library->path, library->major,
                                           library->minor, target.arch, log.empty() ? "" : "\n", log));
  if (result != 0) {
    Run refused(*library, source);
    refused.compile(target.arch, false);
    error = messagesFrom(refused.log(), source, trimmed(refused.refusedPtx()));
    if (error.find(": error") == std::string::npos) // "error: ", and "error #20: "
      error = fmt::format("{}: error: NVRTC {}.{}: {}{}{}", source.fileName, library->major, library->minor, library->errorString(result),
                          error.empty() ? "" : "\n", error);
    return std::nullopt;
  }
  CompiledCuda compiled;
  compiled.ptx = withFileName(trimmed(run.text(&NvrtcLibrary::ptxSize, &NvrtcLibrary::ptx)), source);
  std::string cubin = run.text(&NvrtcLibrary::cubinSize, &NvrtcLibrary::cubin);
  compiled.cubin.assign(cubin.begin(), cubin.end());
  compiled.functions = usageFrom(log);
  return compiled;
}

} // namespace moec::codegen::cuda
