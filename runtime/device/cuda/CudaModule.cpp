#include "runtime/device/cuda/CudaModule.h"

#include "runtime/core/CudaTarget.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace moec {

CudaModule::CudaModule(std::shared_ptr<const CudaContext> context, std::span<const uint8_t> image, const std::string& kernel, const std::string& target)
    : context_(std::move(context)), kernel_(kernel), target_(target) {
  CudaImage parsed = CudaImage::parse(image, fmt::format("kernel {} for {}", kernel, target));
  const CudaTarget* made = findCudaTarget(target);
  bool own = made && made->major == context_->major() && made->minor == context_->minor();
  bool machineCode = own && !context_->ptxOnly() && !parsed.cubin.empty();
  if (!machineCode && parsed.ptx.empty())
    throw Error(Fault::Data, fmt::format("kernel {} for {}: the image holds no PTX", kernel, target));

  CudaContext::Current current(*context_);
  std::vector<char> log(16384, '\0');
  int options[] = {cuda::kJitErrorLogBuffer, cuda::kJitErrorLogBufferBytes};
  void* values[] = {log.data(), reinterpret_cast<void*>(log.size() - 1)};
  const void* code = machineCode ? static_cast<const void*>(parsed.cubin.data()) : parsed.ptx.c_str();
  cuda::Result result = context_->table().moduleLoadData(&module_, code, machineCode ? 0 : 2, options, values);
  if (result != cuda::kSuccess)
    throw Error(Fault::Device, fmt::format("{}: cannot load kernel {} for {} from its {}: {}{}{}", context_->name(), kernel, target,
                                           machineCode ? "machine code" : "PTX", context_->describe(result), log[0] ? "\n" : "", log.data()));
  fileName_ = std::move(parsed.fileName);
  source_ = std::move(parsed.source);
}

CudaModule::~CudaModule() {
  CudaContext::Current current(*context_, std::nothrow);
  context_->table().moduleUnload(module_);
}

cuda::Function CudaModule::function(const GridInfo& grid) const {
  CudaContext::Current current(*context_);
  cuda::Function function = nullptr;
  cuda::Result result = context_->table().moduleGetFunction(&function, module_, grid.function.c_str());
  if (result == cuda::kNotFound)
    throw Error(Fault::Data, fmt::format("kernel {} for {}: its image exports no function {}", kernel_, target_, grid.function));
  context_->check(result, fmt::format("find function {}", grid.function));
  if (grid.dynamicSharedBytes > 0 && std::max(grid.sharedBytes, grid.dynamicSharedBytes) > kStaticSharedBytes)
    context_->check(context_->table().functionSetAttribute(function, cuda::kFunctionMaxDynamicSharedBytes, static_cast<int>(grid.dynamicSharedBytes)),
                    fmt::format("give function {} its {} bytes of shared memory", grid.function, grid.dynamicSharedBytes));
  return function;
}

std::string CudaModule::sourceLine(const std::string& file, int line) const {
  if (line < 1 || file != fileName_)
    return {};
  size_t begin = 0;
  for (int i = 1; i < line && begin != std::string::npos; ++i)
    if (begin = source_.find('\n', begin); begin != std::string::npos)
      ++begin;
  if (begin == std::string::npos)
    return {};
  begin = std::min(source_.find_first_not_of(" \t", begin), source_.size());
  return source_.substr(begin, std::min(source_.find('\n', begin), source_.size()) - begin);
}

} // namespace moec
