#include "runtime/device/cuda/CudaDevice.h"

#include "runtime/core/Error.h"
#include "runtime/device/cuda/CudaExecutable.h"
#include "runtime/device/cuda/Driver.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moec {
namespace {

std::string targetNames() {
  std::vector<std::string> names;
  for (const CudaTarget& target : cudaTargets())
    names.push_back(target.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

CudaPlace placeOf(int ordinal) {
  std::string problem;
  const cuda::DriverTable* table = cuda::driverTable(&problem);
  if (!table)
    throw Error(Fault::Device, fmt::format("cuda:{}: {}", ordinal, problem));
  return {.name = fmt::format("cuda:{}", ordinal), .table = table, .ordinal = ordinal, .ptxOnly = false, .watch = nullptr};
}

} // namespace

CudaDevice::CudaDevice(CudaPlace place, const Allocator& outputs) : outputs_(outputs) {
  auto context = std::make_shared<CudaContext>(std::move(place));
  target_ = cudaTargetFor(context->major(), context->minor());
  if (!target_)
    throw Error(Fault::Device, fmt::format("{}: {} has compute capability {}.{}; moec compiles for {}", context->name(), context->chip(), context->major(),
                                           context->minor(), targetNames()));
  context_ = std::move(context);
}

std::unique_ptr<Executable> CudaDevice::load(const Program& program, Purpose purpose) {
  requirePlans(program.data(), purpose);
  if (const Plan* plan = program.plan(target_->name, purpose))
    return std::make_unique<CudaExecutable>(program, *plan, context_, outputs_);
  std::string targets;
  for (const Plan& plan : program.data().plans)
    if (plan.purpose == purpose)
      targets += (targets.empty() ? "" : ", ") + plan.target;
  throw Error(Fault::Device,
              fmt::format("program {} does not run on {} ({}, compute capability {}.{}); its targets: {}\ncompile it with --target {}", program.name(), name(),
                          context_->chip(), context_->major(), context_->minor(), targets.empty() ? "none" : targets, target_->name));
}

std::shared_ptr<Device> openCudaDevice(int ordinal, const DeviceOptions& options) { return std::make_shared<CudaDevice>(placeOf(ordinal), options.allocator); }

std::vector<DeviceDescription> listCudaDevices() {
  std::vector<DeviceDescription> list;
  auto missing = [&](const std::string& reason) {
    return std::vector<DeviceDescription>{{"cuda:N", fmt::format("NVIDIA GPU number N, runs one of {}", targetNames()), false, reason}};
  };
  std::string problem;
  const cuda::DriverTable* table = cuda::driverTable(&problem);
  if (!table)
    return missing(problem);
  int count = 0;
  if (table->init(0) != cuda::kSuccess || table->deviceGetCount(&count) != cuda::kSuccess || count == 0)
    return missing("the CUDA driver is there, but it shows no GPU");
  for (int i = 0; i < count; ++i) {
    try {
      CudaContext context(placeOf(i));
      const CudaTarget* target = cudaTargetFor(context.major(), context.minor());
      list.push_back({context.name(),
                      fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.0f} GiB{}", context.chip(), context.major(), context.minor(),
                                  context.multiprocessors(), static_cast<double>(context.memoryBytes()) / (1 << 30), target ? "; runs " + target->name : ""),
                      target != nullptr, target ? "" : fmt::format("moec compiles for {}", targetNames())});
    } catch (const Error& error) {
      list.push_back({fmt::format("cuda:{}", i), "NVIDIA GPU", false, error.what()});
    }
  }
  return list;
}

} // namespace moec
