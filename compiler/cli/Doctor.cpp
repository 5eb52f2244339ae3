#include "compiler/cli/Doctor.h"

#include "compiler/cli/CacheFolder.h"
#include "compiler/cli/Table.h"
#include "compiler/cli/TuningFile.h"
#include "moec_build_id.h"
#include "runtime/Compile.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/BuildId.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/device/cpu/CpuCount.h"
#include "runtime/device/cpu/KernelImage.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/Driver.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <dlfcn.h>
#include <thread>

namespace moec::cli {

namespace fs = std::filesystem;
using Status = Diagnosis::Status;

/// A kernel that does nothing, as a shared object like those of programs (ProbeImage.cpp).
extern "C" const uint8_t moecProbeBegin[], moecProbeEnd[];

namespace {

std::string fileOf(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) && info.dli_fname ? info.dli_fname : "?";
}

/// Lines of a message as one.
std::string joined(std::string text) {
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos;) {
    size_t end = text.find_first_not_of(" \n", at);
    text.replace(at, end == std::string::npos ? end : end - at, "; ");
  }
  return text;
}

Diagnosis version() { return {"moec", Status::Ok, fmt::format("version {}, build {}", kVersion, sourceId())}; }

Diagnosis cpu() {
  std::string native = nativeCpuTarget();
  std::string features = fmt::format("{}", fmt::join(cpuFeatures(), " "));
  if (native.empty())
    return {"cpu", Status::Fail,
            fmt::format("runs none of moec's CPU targets: it lacks {}; it has: {}", fmt::join(missingFeatures(cpuTargets().back().name), ", "), features),
            "use a CPU with SSE4.2 and POPCNT (x86-64-v2), or a virtual machine that shows them to its guest"};
  std::string found = fmt::format("kernels are compiled for {}; programs for {} run; features: {}", native, fmt::join(runnableCpuTargets(), ", "), features);
  if (std::string withheld = withheldTiles(); !withheld.empty())
    return {"cpu", Status::Warn, fmt::format("{}; it has tiles (AMX), but {}", found, withheld),
            "for products of bf16 by tiles, use Linux 5.16 or newer, and let this process call arch_prctl (seccomp)"};
  return {"cpu", Status::Ok, found};
}

Diagnosis threads() {
  int machine = static_cast<int>(std::thread::hardware_concurrency()), usable = usableCpus();
  std::optional<double> limit = cgroupCpuLimit();
  std::string found =
      fmt::format("{} of the machine's {} CPUs, {}", usable, machine, limit ? fmt::format("by a cgroup limit of {:.2f} CPUs", *limit) : "no cgroup limit");
  if (limit && *limit < 1)
    return {"threads", Status::Warn, found, "less than one CPU: kernels are stopped while they wait for their share; raise the cgroup's cpu.max"};
  return {"threads", Status::Ok, found};
}

Diagnosis executableMemory() {
  try {
    KernelImage image({moecProbeBegin, moecProbeEnd}, "moec_probe", "this machine");
    image.function()(nullptr, 0, 0, 0, nullptr);
    return {"kernel images", Status::Ok, "a kernel was opened from memory and ran"};
  } catch (const Error& error) {
    return {"kernel images", Status::Fail, joined(error.what()),
            "let this process run code from files in memory: memfd_create with exec must be allowed (sysctl "
            "vm.memfd_noexec=0; SELinux, seccomp, noexec)"};
  }
}

Diagnosis compiler() {
  if (std::string missing = missingCompilerLibrary(); !missing.empty())
    return {"compiler", Status::Warn, joined(missing),
            "compiled programs run; to compile models, install libmoec_compiler of this build or name it by MOEC_COMPILER"};
  try {
    const CompilerInterface& library = compilerLibrary();
    return {"compiler", Status::Ok, fmt::format("{}, of the runtime's build ({})", fileOf(reinterpret_cast<const void*>(library.compileFile)), kBuildId)};
  } catch (const Error& error) {
    return {"compiler", Status::Fail, joined(error.what()), "install the command, libmoec_runtime and libmoec_compiler from one build"};
  }
}

Diagnosis nvrtc(bool hasCompiler) {
  if (!hasCompiler)
    return {"nvrtc", Status::Warn, "not looked for: there is no compiler library", "see compiler"};
  std::string found = compilerLibrary().describeNvrtc();
  if (!found.empty())
    return {"nvrtc", Status::Ok, found};
  // The message ends with what to do, on a line of its own.
  std::string message = missingCudaCompiler();
  size_t last = message.rfind('\n');
  return {"nvrtc", Status::Warn, joined(message.substr(0, last)), last == std::string::npos ? "" : message.substr(last + 1)};
}

Diagnosis driver() {
  std::string problem;
  if (const cuda::DriverTable* table = cuda::driverTable(&problem))
    return {"cuda driver", Status::Ok, fileOf(reinterpret_cast<const void*>(table->init))};
  return {"cuda driver", Status::Warn, problem, "for GPUs, install the NVIDIA driver, 525 or newer (CUDA 12.0)"};
}

void addGpus(bool hasDriver, std::vector<Diagnosis>& list) {
  if (!hasDriver) {
    list.push_back({"gpus", Status::Warn, "none without a driver", "the devices ptx-emulator:TARGET run CUDA kernels on the CPU"});
    return;
  }
  for (const DeviceDescription& gpu : listCudaDevices())
    list.push_back({gpu.name, gpu.available ? Status::Ok : Status::Warn, gpu.available ? gpu.description : joined(gpu.reason),
                    gpu.available ? "" : "the devices ptx-emulator:TARGET run CUDA kernels on the CPU"});
}

std::string freeSpace(const fs::path& folder, bool& isLittle) {
  constexpr double kLittle = 512.0 * 1024 * 1024;
  std::error_code code;
  fs::space_info space = fs::space(folder, code);
  if (code)
    return fmt::format("free space unknown ({})", code.message());
  isLittle |= static_cast<double>(space.available) < kLittle;
  return shortBytes(static_cast<double>(space.available)) + " free";
}

std::pair<uint64_t, double> filesAndBytes(const fs::path& folder) {
  uint64_t files = 0, bytes = 0;
  std::error_code code;
  for (fs::recursive_directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored)) {
      ++files;
      uint64_t size = at->file_size(ignored);
      bytes += ignored ? 0 : size; // gone meanwhile
    }
  }
  return {files, static_cast<double>(bytes)};
}

Diagnosis cache() {
  fs::path folder = userCacheFolder();
  if (folder.empty())
    return {"cache", Status::Warn, "none: neither XDG_CACHE_HOME nor HOME is an absolute path", "set one of them, else every run compiles again"};
  try {
    std::error_code code;
    fs::create_directories(folder, code);
    if (code)
      throw Error(Fault::System, code.message());
    fs::path probe = folder / fmt::format("doctor-{}", reinterpret_cast<uintptr_t>(&code));
    writeFileAtomically(probe, std::string_view("moec"));
    fs::remove(probe, code);
  } catch (const Error& error) {
    return {"cache", Status::Warn, fmt::format("{}: cannot be written: {}", folder.string(), joined(error.what())),
            "make the folder writable, or let XDG_CACHE_HOME name another; else every run compiles again"};
  }
  auto [files, bytes] = filesAndBytes(folder);
  bool isLittle = false;
  std::string free = freeSpace(folder, isLittle);
  return {"cache", isLittle ? Status::Warn : Status::Ok,
          fmt::format("{}: writable, {}, {}; {}", folder.string(), counted(files, "file"), shortBytes(bytes), free),
          isLittle ? "make room, or let XDG_CACHE_HOME name a folder on a larger disk" : ""};
}

/// How to be rid of a tuning database.
std::string removalOf(const fs::path& file) {
  return isUsualTuningFile(file) ? "`moec cache clear --tuning` removes all of it"
                                 : fmt::format("MOEC_TUNING names the file {}: remove it, or name another", file.string());
}

Diagnosis tuning() {
  fs::path file = tuningFile({});
  try {
    if (file.empty())
      return {"tuning", Status::Ok, "off: schedules are the cost model's"};
    std::error_code code;
    if (!fs::exists(file, code))
      return {"tuning", Status::Ok, fmt::format("{}: nothing is tuned yet, schedules are the cost model's", file.string()), ""};
    TuningContents contents = TuningDatabase(file).read();
    return {"tuning", contents.bad > 0 ? Status::Warn : Status::Ok, fmt::format("{}: {}", file.string(), tuningWords(contents)),
            contents.bad > 0 ? "nothing has to be done; " + removalOf(file) : ""};
  } catch (const Error& error) {
    return {"tuning", Status::Warn, joined(error.what()), removalOf(file) + "; MOEC_TUNING=off leaves tuning alone"};
  }
}

Diagnosis disk() {
  std::error_code code;
  fs::path here = fs::current_path(code), temporary = fs::temp_directory_path(code);
  bool isLittle = false;
  std::string found = fmt::format("{}: {}", here.string(), freeSpace(here, isLittle));
  if (temporary.empty())
    return {"disk", Status::Warn, found + "; no folder for temporary files", "let TMPDIR name one: CUDA texts of yours are compiled there"};
  found += fmt::format("; {}: {}", temporary.string(), freeSpace(temporary, isLittle));
  return {"disk", isLittle ? Status::Warn : Status::Ok, found, isLittle ? "make room: programs and weights are written beside the old file, then renamed" : ""};
}

} // namespace

std::vector<Diagnosis> diagnose() {
  std::vector<Diagnosis> list{version(), cpu(), threads(), executableMemory(), compiler()};
  list.push_back(nvrtc(list.back().status == Status::Ok));
  list.push_back(driver());
  addGpus(list.back().status == Status::Ok, list);
  list.push_back(cache());
  list.push_back(tuning());
  list.push_back(disk());
  return list;
}

} // namespace moec::cli
