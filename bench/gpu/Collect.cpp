#include "bench/gpu/Collect.h"

#include "runtime/core/CudaImage.h"
#include "runtime/core/CudaTarget.h"
#include "runtime/device/cuda/CudaModule.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <tuple>

namespace moec::bench {
namespace {

/// f64 among what it reads or writes: it computes in f64.
bool isWide(const Plan& plan, const LaunchInfo& launch) {
  for (const auto* buffers : {&launch.outputs, &launch.inputs})
    for (int buffer : *buffers)
      if (plan.buffers[static_cast<size_t>(buffer)].dtype == DType::F64)
        return true;
  return false;
}

Work workOf(const Plan& plan, const LaunchInfo& launch, const Bindings& sizes) {
  auto flops = static_cast<double>(launch.flops.evaluate(sizes));
  bool wide = isWide(plan, launch);
  return {wide ? 0 : flops, wide ? flops : 0, static_cast<double>(launch.bytes.evaluate(sizes))};
}

std::string lineOf(const std::string& text, int number) {
  std::istringstream lines(text);
  std::string line;
  for (int i = 0; i < number; ++i)
    if (!std::getline(lines, line))
      return {};
  line.erase(0, line.find_first_not_of(' '));
  return line;
}

Counted countedOf(const emulator::KernelCounters& kernel, const StageFigures& stage, const std::string& source) {
  uint64_t launches = std::max<uint64_t>(kernel.launches, 1),
           warps = static_cast<uint64_t>(stage.blocks) * static_cast<uint64_t>((stage.grid.threads + 31) / 32);
  Counted counted{kernel.sectors / launches,
                  kernel.idealSectors / launches,
                  kernel.bankConflicts / launches,
                  0,
                  kernel.globalBytesRead / launches,
                  kernel.globalBytesWritten / launches,
                  kernel.flops32 / launches,
                  kernel.flops64 / launches,
                  {}};
  std::map<std::tuple<std::string, std::string, bool>, uint64_t> costly; // by place, instruction and space
  for (const emulator::AccessCounters& access : kernel.accesses) {
    uint64_t extra = (access.shared ? access.wavefronts - access.idealWavefronts : access.sectors - access.ideal) / launches;
    if (extra == 0)
      continue;
    if (access.shared && access.executed / launches > warps)
      counted.inLoops += extra;
    costly[{fmt::format("line {}, {}", access.sourceLine, lineOf(source, access.sourceLine)), access.instruction, access.shared}] += extra;
  }
  for (const auto& [key, extra] : costly)
    counted.costly.push_back({std::get<0>(key), std::get<1>(key), extra, std::get<2>(key)});
  std::sort(counted.costly.begin(), counted.costly.end(),
            [](const CostlyAccess& a, const CostlyAccess& b) { return std::tie(b.extra, a.place) < std::tie(a.extra, b.place); });
  return counted;
}

std::string symbolOf(const StageFigures& stage) { return stage.grid.function.substr(0, stage.grid.function.size() - stage.stage.size() - 1); }

} // namespace

ModelFigures figuresOf(const std::string& model, const std::string& device, const Plan& plan, const Bindings& sizes, const Bindings& measured) {
  ModelFigures figures{model, device, plan.target, "", "", {}, {}};
  const CudaTarget* target = findCudaTarget(plan.target);
  std::map<std::string, std::pair<size_t, size_t>> known; // by symbol: first of its stages, its launch
  for (const auto* list : {&plan.prepare, &plan.forward})
    for (const LaunchInfo& launch : *list) {
      auto [found, isNew] = known.try_emplace(launch.kernel, figures.stages.size(), figures.launches.size());
      if (!isNew) {
        ++figures.launches[found->second.second].launches;
        for (size_t i = 0; i < launch.stages.size(); ++i)
          ++figures.stages[found->second.first + i].launches;
        continue;
      }
      figures.launches.push_back({launch.kernel, launch.kind, launch.label, 1, workOf(plan, launch, measured), std::nullopt});
      for (const StageInfo& stage : launch.stages) {
        StageFigures one{launch.kind, "", launch.label, 1, std::max<int64_t>(stage.items.evaluate(sizes), 0), stage.grid.value_or(GridInfo{}), 0, std::nullopt};
        one.stage = one.grid.function.substr(std::min(one.grid.function.size(), launch.kernel.size() + 1));
        if (target)
          one.occupancy = static_cast<double>(one.grid.blocksPerMultiprocessor * one.grid.threads) / target->threads;
        figures.stages.push_back(std::move(one));
      }
    }
  return figures;
}

void addCounters(ModelFigures& figures, const Program& program, const std::vector<emulator::KernelCounters>& counters) {
  for (StageFigures& stage : figures.stages)
    for (const emulator::KernelCounters& kernel : counters)
      if (kernel.kernel == stage.grid.function && kernel.launches > 0) {
        CudaImage image = CudaImage::parse(program.kernel(figures.target, symbolOf(stage)), symbolOf(stage));
        stage.counted = countedOf(kernel, stage, image.source);
      }
}

std::vector<std::string> driverDiffers(const Gpu& gpu, const Program& program, const ModelFigures& figures) {
  std::vector<std::string> lines;
  if (gpu.emulator)
    return lines;
  const cuda::DriverTable& table = gpu.context->table();
  CudaContext::Current current(*gpu.context);
  for (const StageFigures& stage : figures.stages) {
    const GridInfo& grid = stage.grid;
    CudaModule module(gpu.context, program.kernel(figures.target, symbolOf(stage)), symbolOf(stage), figures.target);
    cuda::Function function = module.function(grid);
    auto compare = [&](const char* what, int64_t found, int64_t planned) {
      if (found != planned)
        lines.push_back(fmt::format("{}: {} of {}: {} {}, the plan says {}", stage.kind, stage.stage, stage.layer, found, what, planned));
    };
    auto attribute = [&](int which) {
      int value = 0;
      gpu.context->check(table.functionGetAttribute(&value, which, function), "ask what " + grid.function + " takes");
      return value;
    };
    compare("static shared bytes", attribute(cuda::kFunctionSharedBytes), grid.sharedBytes - grid.dynamicSharedBytes);
    compare("registers", attribute(cuda::kFunctionRegisters), grid.registers);
    compare("bytes of stack", attribute(cuda::kFunctionLocalBytes), grid.stackBytes);
    int blocks = 0;
    gpu.context->check(table.occupancyMaxActiveBlocks(&blocks, function, grid.threads, static_cast<size_t>(grid.dynamicSharedBytes)),
                       "ask how much of " + grid.function + " fits");
    compare("blocks of a multiprocessor", blocks, grid.blocksPerMultiprocessor);
  }
  return lines;
}

} // namespace moec::bench
