#include "runtime/device/cpu/CpuDevice.h"

#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/device/HostMemory.h"
#include "runtime/device/cpu/CpuExecutable.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moec {

const Plan& choosePlan(const Program& program, Purpose purpose) {
  requirePlans(program.data(), purpose);
  for (const CpuTarget& target : cpuTargets())
    if (const Plan* plan = program.plan(target.name, purpose); plan && missingFeatures(target.name).empty())
      return *plan;
  std::string reasons;
  for (const Plan& plan : program.data().plans) {
    if (plan.purpose != purpose)
      continue;
    auto missing = missingFeatures(plan.target);
    bool unknown = missing.size() == 1 && missing[0] == plan.target;
    reasons += unknown ? fmt::format("\n  {}: no CPU target of this moec", plan.target)
                       : fmt::format("\n  {}: this CPU lacks {}", plan.target, fmt::join(missing, ", "));
  }
  std::string native = nativeCpuTarget();
  throw Error(Fault::Device, fmt::format("program {} does not run on this CPU; its targets:{}{}", program.name(), reasons.empty() ? " none" : reasons,
                                         native.empty() ? "" : fmt::format("\ncompile it with --target {}", native)));
}

CpuDevice::CpuDevice(const DeviceOptions& options) : allocator_(options.allocator), kernelFiles_(options.kernelFiles) {
  checkAllocator(allocator_);
  if (options.pool && options.threads != 0)
    throw Error(Fault::Usage, fmt::format("{} threads and the host's thread pool: expected one of the two", options.threads));
  workers_ = options.pool ? std::make_shared<Workers>(options.pool) : std::make_shared<Workers>(options.threads);
}

std::unique_ptr<Executable> CpuDevice::load(const Program& program, Purpose purpose) {
  const Plan& plan = choosePlan(program, purpose);
  if (plan.usesTiles)
    requestRegisters(plan.target);
  return std::make_unique<CpuExecutable>(program, plan, workers_, allocator_, kernelFiles_);
}

} // namespace moec
