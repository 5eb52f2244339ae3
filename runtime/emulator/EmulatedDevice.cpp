#include "runtime/emulator/EmulatedDevice.h"

#include "runtime/emulator/Opcodes.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>
#include <thread>

namespace moec::emulator {

using cuda::Result;

struct EmulatedDevice::LoadedFunction {
  Program program;
  int dynamicSharedLimit = 49152;
};

struct EmulatedDevice::LoadedModule {
  emulator::Module source;
  VariablePlaces places;
  std::vector<std::unique_ptr<LoadedFunction>> functions;
  std::vector<uint64_t> allocations;
};

struct EmulatedDevice::Sums {
  KernelCounters totals;
  std::vector<uint64_t> byKind = std::vector<uint64_t>(kClasses);
  std::map<std::pair<int, std::string>, AccessCounters> accesses; // by PTX line and opcode
};

namespace {
constexpr uint64_t kDeviceBytes = 16ull << 30;
}

EmulatedDevice::EmulatedDevice(const TargetLimits& limits) : limits_(limits), memory_(kDeviceBytes) {}
EmulatedDevice::~EmulatedDevice() = default;

Result EmulatedDevice::fail(Result code, const std::string& message) {
  std::lock_guard lock(mutex_);
  lastError_ = message;
  return code;
}

void EmulatedDevice::setOptions(const Options& options) {
  std::lock_guard lock(mutex_);
  options_ = options;
}
Options EmulatedDevice::options() const {
  std::lock_guard lock(mutex_);
  return options_;
}
void EmulatedDevice::registerBuffer(cuda::DevicePtr pointer, size_t bytes, const std::string& name) {
  std::lock_guard lock(mutex_);
  if (bytes && !memory_.registerBuffer(pointer, bytes, name))
    throw std::invalid_argument(fmt::format("buffer '{}' ({} bytes at {:#x}) lies outside every allocation or overlaps another buffer", name, bytes, pointer));
}
void EmulatedDevice::unregisterBuffer(cuda::DevicePtr pointer) {
  std::lock_guard lock(mutex_);
  memory_.unregisterBuffer(pointer);
}
std::vector<Finding> EmulatedDevice::findings() const {
  std::lock_guard lock(mutex_);
  std::vector<Finding> all;
  for (const auto& [key, finding] : findings_)
    all.push_back(finding);
  return all;
}
void EmulatedDevice::clearFindings() {
  std::lock_guard lock(mutex_);
  findings_.clear();
}
void EmulatedDevice::resetCounters() {
  std::lock_guard lock(mutex_);
  sums_.clear();
}
std::string EmulatedDevice::lastError() const {
  std::lock_guard lock(mutex_);
  return lastError_;
}

std::vector<KernelCounters> EmulatedDevice::counters() const {
  std::lock_guard lock(mutex_);
  std::vector<KernelCounters> all;
  for (const auto& [name, sums] : sums_) {
    KernelCounters made = sums.totals;
    for (int i = 0; i < kClasses; ++i)
      if (sums.byKind[size_t(i)])
        made.byKind.push_back({emulator::nameOf(Class(i)), sums.byKind[size_t(i)]});
    for (const auto& [place, access] : sums.accesses)
      made.accesses.push_back(access);
    all.push_back(std::move(made));
  }
  return all;
}

// --- modules ---

Result EmulatedDevice::moduleLoadData(cuda::Module* module, const void* image, unsigned optionCount, int* options, void** values) {
  std::lock_guard lock(mutex_);
  if (!module || !image)
    return fail(cuda::kInvalidValue, "no image");
  auto made = std::make_unique<LoadedModule>();
  const char* text = static_cast<const char*>(image);
  Result result = cuda::kSuccess;
  if (text[0] == 0x7f || text[0] == 'P' || std::memcmp(text, "\x50\xed\x55\xba", 4) == 0)
    result = fail(cuda::kNoBinaryForGpu, "the image is machine code; the emulator runs PTX");
  else
    try {
      result = load(*made, text);
    } catch (const PtxError& error) {
      result = fail(cuda::kInvalidPtx, error.what());
    }
  if (result != cuda::kSuccess) {
    for (uint64_t pointer : made->allocations)
      memory_.release(pointer);
    size_t bytes = 0;
    for (unsigned i = 0; i < optionCount; ++i)
      if (options[i] == cuda::kJitErrorLogBufferBytes)
        bytes = reinterpret_cast<size_t>(values[i]);
    for (unsigned i = 0; i < optionCount; ++i)
      if (options[i] == cuda::kJitErrorLogBuffer && bytes) {
        size_t length = std::min(lastError_.size(), bytes - 1);
        std::memcpy(values[i], lastError_.data(), length);
        static_cast<char*>(values[i])[length] = '\0';
      }
    return result;
  }
  *module = reinterpret_cast<cuda::Module>(made.get());
  modules_.push_back(std::move(made));
  return cuda::kSuccess;
}

Result EmulatedDevice::load(LoadedModule& module, const std::string& text) {
  module.source = parsePtx(text);
  const std::string& target = module.source.target;
  int number = std::atoi(target.c_str() + std::min<size_t>(3, target.size())), own = limits_.major * 10 + limits_.minor;
  bool exact = !target.empty() && std::isalpha((unsigned char)target.back());
  if (exact ? target != limits_.name && target != fmt::format("{}f", limits_.name) : number > own)
    return fail(cuda::kNoBinaryForGpu, fmt::format("the PTX is made for {}, this device is {}", target, limits_.name));
  placeVariables(module);
  int variant = options_.portable ? 0 : bestVariant();
  for (const emulator::Function& function : module.source.functions) {
    if (!function.entry)
      continue;
    auto made = std::make_unique<LoadedFunction>();
    made->program = Decoder(module.source, module.places, variant).decode(function);
    module.functions.push_back(std::move(made));
  }
  return cuda::kSuccess;
}

void EmulatedDevice::placeVariables(LoadedModule& module) {
  for (const Variable& variable : module.source.variables) {
    uint64_t place = 0;
    if (variable.space != Space::Shared && !variable.external) {
      place = memory_.allocate(std::max<uint64_t>(variable.bytes, 1), variable.name);
      if (!place)
        throw PtxError(fmt::format("ptx:{}: no room for the {} bytes of {}", variable.line, variable.bytes, variable.name));
      module.allocations.push_back(place);
      std::memset(memory_.host(place), 0, variable.bytes);
      std::copy(variable.initial.begin(), variable.initial.end(), memory_.host(place));
      memory_.setWritten(place, std::max<uint64_t>(variable.bytes, 1), true);
    }
    module.places.addresses.push_back(place);
  }
  for (size_t i = 0; i < module.source.variables.size(); ++i) // declared here, defined further up or down
    for (size_t j = 0; j < module.source.variables.size(); ++j)
      if (!module.places.addresses[i] && module.source.variables[i].space != Space::Shared &&
          module.source.variables[j].name == module.source.variables[i].name)
        module.places.addresses[i] = module.places.addresses[j];
  for (size_t i = 0; i < module.source.variables.size(); ++i)
    for (const Variable::Address& address : module.source.variables[i].addresses) {
      bool found = false;
      for (size_t j = 0; j < module.source.variables.size(); ++j)
        if (module.source.variables[j].name == address.symbol && module.places.addresses[j]) {
          uint64_t value = module.places.addresses[j] + uint64_t(address.addend);
          std::memcpy(memory_.host(module.places.addresses[i] + address.offset), &value, 8);
          found = true;
        }
      if (!found)
        throw PtxError(fmt::format("ptx:{}: the initialiser of {} names {}, which is no global variable", module.source.variables[i].line,
                                   module.source.variables[i].name, address.symbol));
    }
}

Result EmulatedDevice::moduleUnload(cuda::Module module) {
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < modules_.size(); ++i)
    if (reinterpret_cast<cuda::Module>(modules_[i].get()) == module) {
      for (uint64_t pointer : modules_[i]->allocations)
        memory_.release(pointer);
      modules_.erase(modules_.begin() + long(i));
      return cuda::kSuccess;
    }
  return fail(cuda::kInvalidHandle, "no such module");
}

Result EmulatedDevice::moduleGetFunction(cuda::Function* function, cuda::Module module, const char* name) {
  std::lock_guard lock(mutex_);
  for (const auto& known : modules_)
    if (reinterpret_cast<cuda::Module>(known.get()) == module)
      for (const auto& candidate : known->functions)
        if (candidate->program.name == name) {
          *function = reinterpret_cast<cuda::Function>(candidate.get());
          return cuda::kSuccess;
        }
  return fail(cuda::kNotFound, fmt::format("no kernel '{}' in the module", name));
}

Result EmulatedDevice::moduleGetGlobal(cuda::DevicePtr* pointer, size_t* bytes, cuda::Module module, const char* name) {
  std::lock_guard lock(mutex_);
  for (const auto& known : modules_)
    if (reinterpret_cast<cuda::Module>(known.get()) == module)
      for (size_t i = 0; i < known->source.variables.size(); ++i)
        if (known->source.variables[i].name == name && known->places.addresses[i] && !known->source.variables[i].external) {
          if (pointer)
            *pointer = known->places.addresses[i];
          if (bytes)
            *bytes = known->source.variables[i].bytes;
          return cuda::kSuccess;
        }
  return fail(cuda::kNotFound, fmt::format("no variable '{}' in the module", name));
}

EmulatedDevice::LoadedFunction* EmulatedDevice::functionOf(cuda::Function handle) {
  for (const auto& module : modules_)
    for (const auto& function : module->functions)
      if (reinterpret_cast<cuda::Function>(function.get()) == handle)
        return function.get();
  return nullptr;
}

Result EmulatedDevice::functionGetAttribute(int* value, int attribute, cuda::Function handle) {
  std::lock_guard lock(mutex_);
  LoadedFunction* function = functionOf(handle);
  if (!function)
    return fail(cuda::kInvalidHandle, "no such kernel");
  const Program& program = function->program;
  switch (attribute) {
  case cuda::kFunctionMaxThreadsPerBlock:
    *value = program.maxThreads ? program.maxThreads : 1024;
    return cuda::kSuccess;
  case cuda::kFunctionSharedBytes:
    *value = int(program.sharedBytes);
    return cuda::kSuccess;
  case cuda::kFunctionConstBytes:
    *value = 0;
    return cuda::kSuccess;
  case cuda::kFunctionLocalBytes:
    *value = int(program.localBytes);
    return cuda::kSuccess;
  case cuda::kFunctionPtxVersion:
  case cuda::kFunctionBinaryVersion:
    *value = limits_.major * 10 + limits_.minor;
    return cuda::kSuccess;
  case cuda::kFunctionMaxDynamicSharedBytes:
    *value = function->dynamicSharedLimit;
    return cuda::kSuccess;
  }
  return fail(cuda::kNotSupported, fmt::format("function attribute {} is not known without the assembler (registers come from NVRTC's log)", attribute));
}

Result EmulatedDevice::functionSetAttribute(cuda::Function handle, int attribute, int value) {
  std::lock_guard lock(mutex_);
  LoadedFunction* function = functionOf(handle);
  if (!function)
    return fail(cuda::kInvalidHandle, "no such kernel");
  if (attribute == cuda::kFunctionPreferredSharedCarveout)
    return cuda::kSuccess;
  if (attribute != cuda::kFunctionMaxDynamicSharedBytes)
    return fail(cuda::kNotSupported, fmt::format("function attribute {} cannot be set", attribute));
  if (value < 0 || value + int(function->program.sharedBytes) > limits_.sharedPerBlockOptin)
    return fail(cuda::kInvalidValue, fmt::format("{} bytes of dynamic shared memory: {} has {} per block, {} of them static", value, limits_.name,
                                                 limits_.sharedPerBlockOptin, function->program.sharedBytes));
  function->dynamicSharedLimit = value;
  return cuda::kSuccess;
}

Result EmulatedDevice::occupancyMaxActiveBlocks(int* blocks, cuda::Function handle, int blockSize, size_t dynamicSharedBytes) {
  std::lock_guard lock(mutex_);
  LoadedFunction* function = functionOf(handle);
  if (!function || blockSize <= 0)
    return fail(cuda::kInvalidValue, "no such kernel or block size");
  int byThreads = limits_.threadsPerMultiprocessor / ((blockSize + 31) / 32 * 32);
  size_t shared = function->program.sharedBytes + dynamicSharedBytes + 1024; // 1 KB of each block is the system's
  int byShared = int(size_t(limits_.sharedPerMultiprocessor) / shared);
  *blocks = std::min({byThreads, byShared, 32}); // registers are not known here
  return cuda::kSuccess;
}

// --- launches ---

Result EmulatedDevice::launchKernel(cuda::Function handle, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ,
                                    unsigned sharedBytes, cuda::Stream, void** parameters, void** extra) {
  std::lock_guard lock(mutex_);
  LoadedFunction* function = functionOf(handle);
  if (!function)
    return fail(cuda::kInvalidHandle, "no such kernel");
  if (extra)
    return fail(cuda::kNotSupported, "parameters are given as an array of pointers");
  const uint32_t grid[3] = {gridX, gridY, gridZ}, block[3] = {blockX, blockY, blockZ};
  if (Result result = checkLaunch(*function, grid, block, sharedBytes); result != cuda::kSuccess)
    return result;
  return launch(*function, grid, block, sharedBytes, parameters);
}

Result EmulatedDevice::launchKernelEx(const cuda::LaunchConfig* config, cuda::Function function, void** parameters, void** extra) {
  if (config->attributeCount)
    return fail(cuda::kNotSupported, "launch attributes are not emulated");
  return launchKernel(function, config->gridX, config->gridY, config->gridZ, config->blockX, config->blockY, config->blockZ, config->sharedBytes,
                      config->stream, parameters, extra);
}

Result EmulatedDevice::checkLaunch(const LoadedFunction& function, const uint32_t (&grid)[3], const uint32_t (&block)[3], uint32_t sharedBytes) {
  const Program& program = function.program;
  uint64_t threads = uint64_t(block[0]) * block[1] * block[2];
  uint64_t most = program.maxThreads ? uint64_t(program.maxThreads) : 1024;
  if (!grid[0] || !grid[1] || !grid[2] || grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535)
    return fail(cuda::kInvalidValue, fmt::format("{}: grid ({},{},{}) is not allowed", program.name, grid[0], grid[1], grid[2]));
  if (threads == 0 || threads > most || block[2] > 64)
    return fail(cuda::kInvalidValue,
                fmt::format("{}: block ({},{},{}) is not allowed, the kernel takes up to {} threads", program.name, block[0], block[1], block[2], most));
  if (const uint32_t (&only)[3] = program.requiredBlock; only[0] && !std::equal(only, only + 3, block))
    return fail(cuda::kInvalidValue, fmt::format("{}: block ({},{},{}) is not allowed, the kernel's .reqntid is ({},{},{})", program.name, block[0], block[1],
                                                 block[2], only[0], only[1], only[2]));
  if (uint64_t(grid[0]) * grid[1] * grid[2] > 0xffffffff)
    return fail(cuda::kInvalidValue, fmt::format("{}: more than 2^32 blocks", program.name));
  if (int64_t(sharedBytes) > std::max(0, std::max(function.dynamicSharedLimit, 49152 - int(program.sharedBytes))) ||
      int64_t(sharedBytes) + program.sharedBytes > limits_.sharedPerBlockOptin)
    return fail(cuda::kInvalidValue, fmt::format("{}: {} bytes of dynamic shared memory beside {} static: allowed are {} (raise it by the function "
                                                 "attribute), {} in all",
                                                 program.name, sharedBytes, program.sharedBytes, function.dynamicSharedLimit, limits_.sharedPerBlockOptin));
  return cuda::kSuccess;
}

Result EmulatedDevice::launch(LoadedFunction& function, const uint32_t (&grid)[3], const uint32_t (&block)[3], uint32_t sharedBytes, void** parameters) {
  const Program& program = function.program;
  Launch made;
  made.program = &program;
  made.memory = &memory_;
  made.options = &options_;
  std::copy_n(grid, 3, made.grid);
  std::copy_n(block, 3, made.block);
  made.threads = block[0] * block[1] * block[2];
  made.dynamicSharedBytes = sharedBytes;
  made.sharedBytes = std::max(program.sharedBytes, program.dynamicSharedAt + sharedBytes);
  made.globalShift = std::countr_zero(program.globalGranule);
  made.sharedShift = std::countr_zero(program.sharedGranule);
  if (++epoch_ > 127) {
    memory_.forgetAccesses();
    epoch_ = 1;
  }
  made.epoch = epoch_;
  made.parameters.assign(program.parameterBytes, 0);
  for (size_t i = 0; i < program.parameters.size(); ++i)
    std::memcpy(&made.parameters[program.parameters[i].offset], parameters[i], program.parameters[i].bytes);
  size_t threads = options_.threads > 0 ? size_t(options_.threads) : std::max(1u, std::thread::hardware_concurrency());
  workers_.resize(threads);
  runLaunch(made, workers_);
  if (options_.counters)
    count(made);
  return collect(made);
}

Result EmulatedDevice::collect(Launch& launch) {
  Result result = cuda::kSuccess;
  std::string first;
  for (auto& [key, finding] : launch.findings) {
    Result code = finding.kind == Finding::Kind::OutOfBounds  ? cuda::kIllegalAddress
                  : finding.kind == Finding::Kind::Misaligned ? cuda::kMisalignedAddress
                                                              : cuda::kLaunchFailed;
    if (result == cuda::kSuccess || code == cuda::kIllegalAddress)
      result = code;
    std::string name = fmt::format("{}/{:08}/{:02}", finding.kernel, finding.ptxLine, int(finding.kind));
    Finding& known = findings_[name];
    if (known.kernel.empty())
      known = finding;
    else
      known.times += finding.times;
    if (first.empty() || name < first)
      first = name;
  }
  if (result != cuda::kSuccess)
    lastError_ = findings_[first].text();
  return result;
}

void EmulatedDevice::count(const Launch& launch) {
  const Program& program = *launch.program;
  Sums& sums = sums_[program.name];
  KernelCounters& totals = sums.totals;
  totals.kernel = program.name;
  ++totals.launches;
  for (const Worker& worker : workers_) {
    if (worker.issued.size() != program.code.size())
      continue;
    for (size_t pc = 0; pc < program.code.size(); ++pc) {
      uint64_t issued = worker.issued[pc], lanes = worker.lanes[pc];
      if (!issued)
        continue;
      const InstrInfo& info = program.info[pc];
      totals.warpInstructions += issued;
      totals.laneInstructions += lanes;
      sums.byKind[size_t(info.kind)] += issued;
      bool wide = info.opcode.find(".f64") != std::string::npos, half = info.kind == Class::Half;
      (wide ? totals.flops64 : half ? totals.flops16 : totals.flops32) += lanes * info.flops;
      if (!worker.bytes[pc])
        continue;
      bool shared = worker.wavefronts[pc] && !worker.sectors[pc];
      AccessCounters& access = sums.accesses[{info.position.line, info.opcode}];
      access.ptxLine = info.position.line;
      access.sourceLine = info.position.sourceLine;
      access.file = size_t(info.position.file) < program.files.size() ? program.files[size_t(info.position.file)] : std::string();
      access.instruction = info.opcode;
      access.shared = shared;
      access.executed += issued;
      access.bytes += worker.bytes[pc];
      access.sectors += worker.sectors[pc];
      access.ideal += worker.ideal[pc];
      access.wavefronts += worker.wavefronts[pc];
      access.idealWavefronts += worker.idealWavefronts[pc];
      totals.sectors += worker.sectors[pc];
      totals.idealSectors += worker.ideal[pc];
      totals.bankConflicts += worker.wavefronts[pc] - worker.idealWavefronts[pc];
      if (!shared && info.kind != Class::Store)
        totals.globalBytesRead += worker.bytes[pc];
      if (!shared && (info.kind == Class::Store || info.kind == Class::Atomic))
        totals.globalBytesWritten += worker.bytes[pc];
    }
  }
}

} // namespace moec::emulator
