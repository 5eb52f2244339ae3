#include "tests/emulator/Harness.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace moec::emulator::test {
namespace {

const char* const kClangWords = R"(
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(n) __attribute__((launch_bounds(n)))
#define TID ((int)__nvvm_read_ptx_sreg_tid_x())
#define BID ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define THREADS ((int)__nvvm_read_ptx_sreg_ntid_x())
#define BLOCKS ((int)__nvvm_read_ptx_sreg_nctaid_x())
#define SYNC() __syncthreads()
#define SYNCWARP() __nvvm_bar_warp_sync(0xffffffffu)
#define SHFL_XOR(mask, value, by) __nvvm_shfl_sync_bfly_i32(mask, value, by, 31)
#define SHFL_DOWN(mask, value, by) __nvvm_shfl_sync_down_i32(mask, value, by, 31)
#define BALLOT(mask, value) __nvvm_vote_ballot_sync(mask, value)
#define ATOMIC_ADD(p, v) __nvvm_atom_add_gen_i(p, v)
#define ATOMIC_ADD_F(p, v) __nvvm_atom_add_gen_f(p, v)
#define FENCE() __nvvm_membar_gl()
)";
const char* const kNvrtcWords = R"(
#define TID ((int)threadIdx.x)
#define BID ((int)blockIdx.x)
#define THREADS ((int)blockDim.x)
#define BLOCKS ((int)gridDim.x)
#define SYNC() __syncthreads()
#define SYNCWARP() __syncwarp()
#define SHFL_XOR(mask, value, by) __shfl_xor_sync(mask, value, by)
#define SHFL_DOWN(mask, value, by) __shfl_down_sync(mask, value, by)
#define BALLOT(mask, value) __ballot_sync(mask, value)
#define ATOMIC_ADD(p, v) atomicAdd(p, v)
#define ATOMIC_ADD_F(p, v) atomicAdd(p, v)
#define FENCE() __threadfence()
)";

std::string withWords(const char* words, const std::string& text) { return fmt::format("{}#line 1 \"kernel.cu\"\n{}", words, text); }

std::string compileByClang(const std::string& arch, const std::string& text, std::string* problem) {
  std::string clang = MOEC_TEST_CLANG;
  if (access(clang.c_str(), X_OK) != 0) {
    *problem = "clang-22 is not installed";
    return {};
  }
  char folder[] = "/tmp/moec-emulator-XXXXXX";
  if (!mkdtemp(folder)) {
    *problem = "no temporary folder";
    return {};
  }
  std::string base = folder;
  std::ofstream(base + "/kernel.cu") << withWords(kClangWords, text);
  // No toolkit: the version of PTX, else that of the toolkit that is found or a very old one, is named (8.7 knows all architectures).
  std::string command =
      fmt::format("cd {0} && {1} -x cuda --cuda-device-only --cuda-gpu-arch={2} --cuda-path=none -nocudainc -nocudalib -Xclang -target-feature "
                  "-Xclang +ptx87 -O2 -gline-tables-only -S kernel.cu -o kernel.ptx > log 2>&1",
                  base, clang, arch);
  int status = std::system(command.c_str());
  std::stringstream ptx, log;
  ptx << std::ifstream(base + "/kernel.ptx").rdbuf();
  log << std::ifstream(base + "/log").rdbuf();
  for (const char* file : {"/kernel.cu", "/kernel.ptx", "/log"})
    std::remove((base + file).c_str());
  rmdir(folder);
  if (status != 0)
    ADD_FAILURE() << "clang refused the kernel:\n" << log.str();
  return ptx.str();
}

// NVRTC's functions, declared here: tests need neither its headers nor to link it.
struct Nvrtc {
  int (*create)(void** program, const char* source, const char* name, int headers, const char* const* sources, const char* const* names) = nullptr;
  int (*compile)(void* program, int count, const char* const* options) = nullptr;
  int (*ptxSize)(void* program, size_t* bytes) = nullptr;
  int (*ptx)(void* program, char* text) = nullptr;
  int (*logSize)(void* program, size_t* bytes) = nullptr;
  int (*log)(void* program, char* text) = nullptr;
  int (*destroy)(void** program) = nullptr;
  std::string problem;

  Nvrtc() {
    std::vector<std::string> folders;
    for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
      if (const char* value = std::getenv(variable))
        for (const char* below : {"/lib64", "/lib"})
          folders.push_back(std::string(value) + below);
    for (const char* folder : {"/usr/local/cuda/lib64", "/usr/local/cuda/lib", "/usr/lib/x86_64-linux-gnu"})
      folders.push_back(folder);
    if (const char* only = std::getenv("MOEC_NVRTC_DIR")) // then the only place, as it is for the compiler
      folders = {only};
    for (const std::string& folder : folders)
      for (const char* version : {"13", "12"}) {
        // NVRTC does not find its builtins beside itself: they must be in the process before.
        for (int minor = 9; minor >= 0; --minor)
          if (dlopen(fmt::format("{}/libnvrtc-builtins.so.{}.{}", folder, version, minor).c_str(), RTLD_NOW | RTLD_GLOBAL))
            break;
        if (void* library = dlopen(fmt::format("{}/libnvrtc.so.{}", folder, version).c_str(), RTLD_NOW | RTLD_LOCAL)) {
          auto take = [&](auto& function, const char* name) { function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name)); };
          take(create, "nvrtcCreateProgram");
          take(compile, "nvrtcCompileProgram");
          take(ptxSize, "nvrtcGetPTXSize");
          take(ptx, "nvrtcGetPTX");
          take(logSize, "nvrtcGetProgramLogSize");
          take(log, "nvrtcGetProgramLog");
          take(destroy, "nvrtcDestroyProgram");
          return;
        }
      }
    problem = fmt::format("libnvrtc.so.13 and .12 were found in none of {}; MOEC_NVRTC_DIR names another", fmt::join(folders, ", "));
  }
};

std::string compileByNvrtc(const std::string& arch, const std::string& text, std::string* problem) {
  static const Nvrtc nvrtc;
  if (!nvrtc.problem.empty()) {
    *problem = nvrtc.problem;
    return {};
  }
  void* program = nullptr;
  std::string source = withWords(kNvrtcWords, text), option = "--gpu-architecture=compute_" + arch.substr(3);
  nvrtc.create(&program, source.c_str(), "kernel.cu", 0, nullptr, nullptr);
  const char* options[] = {option.c_str(), "-lineinfo"};
  int status = nvrtc.compile(program, 2, options);
  size_t bytes = 0;
  std::string ptx;
  if (status == 0) {
    nvrtc.ptxSize(program, &bytes);
    ptx.resize(bytes);
    nvrtc.ptx(program, ptx.data());
  } else {
    nvrtc.logSize(program, &bytes);
    std::string log(bytes, '\0');
    nvrtc.log(program, log.data());
    ADD_FAILURE() << "NVRTC refused the kernel:\n" << log;
  }
  nvrtc.destroy(&program);
  return ptx;
}

} // namespace

const std::vector<Producer>& producers() {
  static const std::vector<Producer> all = {{"clang_sm_80", "sm_80", false},
                                            {"nvrtc_sm_80", "sm_80", true},
                                            {"nvrtc_sm_90a", "sm_90a", true},
                                            {"nvrtc_sm_100a", "sm_100a", true},
                                            {"nvrtc_sm_120", "sm_120", true}};
  return all;
}

std::string compile(const Producer& producer, const std::string& text, std::string* problem) {
  return producer.nvrtc ? compileByNvrtc(producer.target, text, problem) : compileByClang(producer.target, text, problem);
}

int lineOf(const std::string& text, const std::string& mark) {
  size_t at = text.find(mark);
  EXPECT_NE(at, std::string::npos) << mark;
  int line = 1;
  for (size_t i = 0; i < at; ++i)
    line += text[i] == '\n';
  return line;
}

Device::Device(const std::string& target) : emulator_(Emulator::of(target)) {
  emulator_->setOptions({});
  emulator_->clearFindings();
  emulator_->resetCounters();
}
Device::~Device() {
  for (cuda::DevicePtr pointer : pointers_)
    table().memoryFree(pointer);
  for (cuda::Module module : modules_)
    table().moduleUnload(module);
}
cuda::DevicePtr Device::allocate(size_t bytes) {
  cuda::DevicePtr pointer = 0;
  EXPECT_EQ(table().memoryAllocate(&pointer, bytes), cuda::kSuccess) << emulator_->lastError();
  pointers_.push_back(pointer);
  return pointer;
}
cuda::Function Device::load(const std::string& ptx, const std::string& kernel) {
  cuda::Module module = nullptr;
  cuda::Function function = nullptr;
  EXPECT_EQ(table().moduleLoadData(&module, ptx.c_str(), 0, nullptr, nullptr), cuda::kSuccess) << emulator_->lastError();
  if (module) {
    modules_.push_back(module);
    EXPECT_EQ(table().moduleGetFunction(&function, module, kernel.c_str()), cuda::kSuccess) << emulator_->lastError();
  }
  return function;
}

} // namespace moec::emulator::test
