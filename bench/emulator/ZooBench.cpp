// Warp instructions a second of the kernels that the compiler makes of the zoo's models, one thread, all checks and counters on: what a launch
// of a plan costs, from the driver's call to its return.

#include "bench/emulator/ZooBench.h"

#include "runtime/Compile.h"
#include "runtime/Session.h"
#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"
#include "runtime/emulator/Emulator.h"

#include <benchmark/benchmark.h>
#include <cmath>
#include <ctime>

namespace moec::bench {
namespace {

constexpr const char* kTarget = "sm_80";

TensorMap drawnInputs(const Plan& plan) {
  Bindings bindings;
  for (auto& [name, value] : plan.checkSizes)
    bindings[name] = value;
  TensorMap inputs;
  for (const InputInfo& input : plan.inputs) {
    if (input.forLoss)
      continue;
    Shape shape;
    for (const Size& size : input.shape)
      shape.push_back(size.evaluate(bindings));
    Tensor tensor(DType::F64, shape);
    auto values = tensor.as<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      auto words = draw(1, streamOf(input.name), 0, i);
      values[i] = input.isDraw ? uniformFloat(words) : input.below ? std::floor(uniformDouble(words) * double(*input.below)) : normal(words);
    }
    inputs[input.name] = tensor.cast(input.dtype);
  }
  return inputs;
}

/// Of this thread, which is the one that runs the blocks: other work on the machine does not count.
double cpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

/// What one kind of kernel did in a run of the program.
struct Work {
  double instructions = 0, plain = 0, seconds = 0;
};

/// Instructions of the launches since the last reset: all, and without barriers and matrix instructions.
Work counted(emulator::Emulator& device) {
  Work work;
  for (const emulator::KernelCounters& kernel : device.counters()) {
    work.instructions += double(kernel.warpInstructions);
    work.plain += double(kernel.warpInstructions);
    for (const auto& [kind, count] : kernel.byKind)
      if (kind == "barrier" || kind == "matrix")
        work.plain -= double(count);
  }
  return work;
}

void runModel(benchmark::State& state, const std::filesystem::path& model) {
  CompileOptions options;
  options.targets = {std::string("cuda:") + kTarget};
  DeviceOptions one;
  one.threads = 1;
  Session session(compile(model, options), std::string("ptx-emulator:") + kTarget, one);
  session.init(0);
  TensorMap inputs = drawnInputs(session.plan());
  session.run(inputs);
  emulator::Emulator& device = *emulator::Emulator::of(kTarget);
  const Plan& plan = session.plan();
  std::map<std::string, Work> works;
  for (size_t i = 0; i < plan.forward.size(); ++i) {
    device.resetCounters();
    session.executable().launch(LaunchList::Forward, int(i), {});
    Work once = counted(device);
    Work& work = works[plan.forward[i].kind];
    work.instructions += once.instructions;
    work.plain += once.plain;
  }
  Work all;
  for (auto _ : state) {
    double seconds = 0;
    for (size_t i = 0; i < plan.forward.size(); ++i) {
      double start = cpuSeconds();
      session.executable().launch(LaunchList::Forward, int(i), {});
      double spent = cpuSeconds() - start;
      works[plan.forward[i].kind].seconds += spent;
      seconds += spent;
    }
    state.SetIterationTime(seconds);
    all.seconds += seconds;
  }
  double runs = double(state.iterations());
  for (const auto& [kind, work] : works) {
    all.plain += work.plain;
    state.counters[kind] = benchmark::Counter(work.plain * runs / work.seconds);
  }
  state.counters["plain"] = benchmark::Counter(all.plain * runs / all.seconds);
  state.counters["a_run"] = benchmark::Counter(all.plain);
}

} // namespace

void registerZoo() {
  for (const char* name : {"vit-moe", "vit", "batched-experts"}) {
    std::filesystem::path model = std::filesystem::path(MOEC_SOURCE_DIR) / "models/zoo" / (std::string(name) + ".json");
    benchmark::RegisterBenchmark(("Zoo/" + std::string(name)).c_str(),
                                 [model](benchmark::State& state) {
                                   try {
                                     runModel(state, model);
                                   } catch (const Error& error) { // no NVRTC, no compiler library
                                     state.SkipWithError(error.what());
                                   }
                                 })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
}

} // namespace moec::bench
