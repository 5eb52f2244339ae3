// The emitted CPU kernels of a dense product and of S1's experts (T=4096 D=512 H=2048 E=16 k=2, GELU), called through the ABI with one and two threads,
// beside the rate of the multiply-add units measured in the same run. `share` is the part of that rate, useful operations only.
#include "runtime/bench/FmaRate.h"
#include "runtime/core/Philox.h"
#include "tests/codegen/KernelHarness.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <thread>

namespace moec::bench {
namespace {

using testing::KernelMaker;
using testing::LoadedKernel;
using testing::randomTensor;

/// Of one thread its own time, which others on the machine do not take; of several the clock's.
double seconds(int threads, const std::function<void()>& work) {
  auto now = [&] {
    timespec time;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  double start = now();
  work();
  return now() - start;
}

// Best of several tenths of a second.
double measureFma(DType type, int threads) {
  auto once = [&] { return type == DType::F64 ? fmaRoundsDouble(10'000'000) : fmaRoundsFloat(10'000'000); };
  double best = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    double operations = 0;
    double time = seconds(threads, [&] {
      std::vector<std::thread> others;
      for (int i = 1; i < threads; ++i)
        others.emplace_back(once);
      operations = threads * once();
      for (std::thread& thread : others)
        thread.join();
    });
    best = std::max(best, operations / time);
  }
  return best;
}

double fmaRate(DType type, int threads) {
  static std::map<std::pair<DType, int>, double> known;
  double& rate = known[{type, threads}];
  if (rate == 0)
    rate = measureFma(type, threads);
  return rate;
}

// Runs the work as often as the benchmark asks; the share is of the median turn.
void measure(benchmark::State& state, DType type, int threads, double operations, const std::function<void()>& work) {
  std::vector<double> turns;
  for (auto _ : state)
    turns.push_back(seconds(threads, work));
  std::nth_element(turns.begin(), turns.begin() + turns.size() / 2, turns.end());
  double rate = operations / turns[turns.size() / 2];
  state.counters["GFLOP/s"] = rate * 1e-9;
  state.counters["share"] = rate / fmaRate(type, threads);
}

void fma(benchmark::State& state, DType type) {
  int threads = static_cast<int>(state.range(0));
  double rate = 0;
  for (auto _ : state)
    rate = fmaRate(type, threads);
  state.counters["GFLOP/s"] = rate * 1e-9;
}

int64_t nrOf(const ir::KernelOp& kernel) {
  std::string error;
  auto schedule = codegen::makeEmitter(testing::hostTarget(), error)->chooseSchedule(kernel);
  return schedule.getAs<mlir::IntegerAttr>("nr").getInt();
}

//===--- a dense product ---===//

ir::KernelOp matmulKernel(KernelMaker& maker, DType type, int64_t m, int64_t n, int64_t depth, std::optional<int64_t> nr) {
  mlir::Value a = maker.tensor(type, {std::to_string(m), std::to_string(depth)});
  mlir::Value b;
  if (nr)
    b = maker.make<ir::UnpackOp>(maker.tensor(type, {std::to_string((n + *nr - 1) / *nr), std::to_string(depth), std::to_string(*nr)}), n);
  else
    b = maker.tensor(type, {std::to_string(n), std::to_string(depth)});
  return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, b)});
}

void matmul(benchmark::State& state, DType type) {
  int64_t n = state.range(0);
  int threads = static_cast<int>(state.range(1));
  auto context = testing::makeContext();
  KernelMaker plain(*context), packed(*context);
  int64_t nr = nrOf(matmulKernel(plain, type, n, n, n, {}));
  LoadedKernel kernel(matmulKernel(packed, type, n, n, n, nr));
  std::vector<Tensor> inputs{randomTensor(type, {n, n}, 1), randomTensor(type, {(n + nr - 1) / nr, n, nr}, 2)}, outputs{Tensor(type, {n, n})};
  measure(state, type, threads, 2.0 * n * n * n, [&] { kernel.run(inputs, outputs, {{}, 0, 0, threads}); });
}

//===--- S1's experts ---===//

struct Experts {
  int64_t tokens, width, hidden, experts, choices;
};

ir::KernelOp upKernel(KernelMaker& maker, const Experts& s, std::optional<int64_t> nr) {
  auto text = [](int64_t value) { return std::to_string(value); };
  mlir::Value x = maker.tensor(DType::F32, {text(s.tokens), text(s.width)});
  mlir::Value routing = maker.routing(s.experts, text(s.tokens), s.choices), w;
  if (nr)
    w = maker.make<ir::UnpackOp>(maker.tensor(DType::F32, {text(s.experts), text((s.hidden + *nr - 1) / *nr), text(s.width), text(*nr)}), s.hidden);
  else
    w = maker.tensor(DType::F32, {text(s.experts), text(s.hidden), text(s.width)});
  mlir::Value bias = maker.tensor(DType::F32, {text(s.experts), text(s.hidden)});
  mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routing), w, routing);
  rows = maker.make<ir::AddOp>(rows, maker.make<ir::ExpertRowsOp>(bias, routing));
  return maker.finish("expert_up", {maker.make<ir::GeluOp>(rows)});
}

ir::KernelOp downKernel(KernelMaker& maker, const Experts& s, std::optional<int64_t> nr) {
  auto text = [](int64_t value) { return std::to_string(value); };
  mlir::Value hidden = maker.tensor(DType::F32, {text(s.tokens * s.choices), text(s.hidden)});
  mlir::Value routing = maker.routing(s.experts, text(s.tokens), s.choices), w;
  if (nr)
    w = maker.make<ir::UnpackOp>(maker.tensor(DType::F32, {text(s.experts), text((s.width + *nr - 1) / *nr), text(s.hidden), text(*nr)}), s.width);
  else
    w = maker.tensor(DType::F32, {text(s.experts), text(s.width), text(s.hidden)});
  mlir::Value bias = maker.tensor(DType::F32, {text(s.experts), text(s.width)});
  mlir::Value weights = maker.tensor(DType::F32, {text(s.tokens), text(s.choices)});
  mlir::Value rows = maker.make<ir::GroupedMatmulOp>(hidden, w, routing);
  rows = maker.make<ir::AddOp>(rows, maker.make<ir::ExpertRowsOp>(bias, routing));
  return maker.finish("expert_down", {maker.make<ir::CombineOp>(rows, routing, weights)});
}

// A random routing in which nobody is dropped.
Tensor makeRouting(const Experts& s) {
  int64_t rows = s.tokens * s.choices;
  RoutingLayout layout{s.experts, rows};
  Tensor routing(DType::I32, {layout.elements()});
  int32_t* data = static_cast<int32_t*>(routing.data());
  std::vector<std::vector<int32_t>> lists(s.experts);
  for (int64_t token = 0; token < s.tokens; ++token) {
    uint32_t first = draw(7, 0, 0, static_cast<uint64_t>(token))[0];
    for (int64_t choice = 0; choice < s.choices; ++choice)
      lists[(first + choice * 5) % s.experts].push_back(static_cast<int32_t>(token * s.choices + choice));
  }
  int32_t place = 0;
  for (int64_t expert = 0; expert < s.experts; ++expert) {
    for (int32_t row : lists[expert]) {
      data[layout.rowList() + place] = row;
      data[layout.slots() + row] = place++;
    }
    data[layout.offsets() + expert + 1] = place;
  }
  return routing;
}

void experts(benchmark::State& state, bool up, bool down) {
  Experts s{4096, 512, 2048, 16, 2};
  int threads = static_cast<int>(state.range(0));
  auto context = testing::makeContext();
  KernelMaker upPlain(*context), upPacked(*context), downPlain(*context), downPacked(*context);
  int64_t upNr = nrOf(upKernel(upPlain, s, {})), downNr = nrOf(downKernel(downPlain, s, {}));
  LoadedKernel upLoaded(upKernel(upPacked, s, upNr)), downLoaded(downKernel(downPacked, s, downNr));
  int64_t rows = s.tokens * s.choices;
  Tensor routing = makeRouting(s), hidden(DType::F32, {rows, s.hidden}), y(DType::F32, {s.tokens, s.width});
  std::vector<Tensor> upInputs{randomTensor(DType::F32, {s.tokens, s.width}, 1), routing,
                               randomTensor(DType::F32, {s.experts, s.hidden / upNr, s.width, upNr}, 2), randomTensor(DType::F32, {s.experts, s.hidden}, 3)};
  std::vector<Tensor> downInputs{hidden, routing, randomTensor(DType::F32, {s.experts, s.width / downNr, s.hidden, downNr}, 4),
                                 randomTensor(DType::F32, {s.experts, s.width}, 5), randomTensor(DType::F32, {s.tokens, s.choices}, 6)};
  upLoaded.run(upInputs, {hidden}, {{}, 0, 0, threads});
  measure(state, DType::F32, threads, 2.0 * (up + down) * rows * s.width * s.hidden, [&] {
    if (up)
      upLoaded.run(upInputs, {hidden}, {{}, 0, 0, threads});
    if (down)
      downLoaded.run(downInputs, {y}, {{}, 0, 0, threads});
  });
}

//===--- their gradients ---===//

std::string text(int64_t value) { return std::to_string(value); }

// dW (E, N, K) of S1's experts, from their rows of dy (R, N) and of x (R, K).
void weightGrad(benchmark::State& state, DType type, int64_t columns, int64_t depth) {
  Experts s{8192, depth, columns, 16, 1};
  int threads = static_cast<int>(state.range(0));
  auto context = testing::makeContext();
  KernelMaker maker(*context);
  mlir::Value dy = maker.tensor(type, {text(s.tokens), text(columns)}), rows = maker.tensor(type, {text(s.tokens), text(depth)});
  mlir::Value routing = maker.routing(s.experts, text(s.tokens), s.choices);
  LoadedKernel kernel(maker.finish("weight_grad", {maker.make<ir::GroupedWeightGradOp>(dy, rows, routing)}));
  std::vector<Tensor> inputs{randomTensor(type, {s.tokens, columns}, 1), randomTensor(type, {s.tokens, depth}, 2), makeRouting(s)};
  std::vector<Tensor> outputs{Tensor(type, {s.experts, columns, depth})};
  measure(state, type, threads, 2.0 * s.tokens * columns * depth, [&] { kernel.run(inputs, outputs, {{}, 0, 0, threads}); });
}

// dX (R, K) of S1's experts = dY (R, N) W, with w (E, N, K) as it lies.
void rowsGrad(benchmark::State& state, DType type, int64_t columns, int64_t depth) {
  Experts s{8192, depth, columns, 16, 1};
  int threads = static_cast<int>(state.range(0));
  auto context = testing::makeContext();
  KernelMaker maker(*context);
  mlir::Value dy = maker.tensor(type, {text(s.tokens), text(columns)}), w = maker.tensor(type, {text(s.experts), text(columns), text(depth)});
  mlir::Value routing = maker.routing(s.experts, text(s.tokens), s.choices);
  w = maker.make<ir::TransposeOp>(w, maker.builder().getDenseI64ArrayAttr({0, 2, 1}));
  LoadedKernel kernel(maker.finish("expert_mid", {maker.make<ir::GroupedMatmulOp>(dy, w, routing)}));
  std::vector<Tensor> inputs{randomTensor(type, {s.tokens, columns}, 1), randomTensor(type, {s.experts, columns, depth}, 2), makeRouting(s)};
  std::vector<Tensor> outputs{Tensor(type, {s.tokens, depth})};
  measure(state, type, threads, 2.0 * s.tokens * columns * depth, [&] { kernel.run(inputs, outputs, {{}, 0, 0, threads}); });
}

// A linear layer of `width` to `hidden` over tokens: dX = dY W reads w as it lies, dW = dY^T X reads both so.
void linearGrad(benchmark::State& state, DType type, bool ofWeight, int64_t tokens, int64_t width, int64_t hidden) {
  int threads = static_cast<int>(state.range(0));
  auto context = testing::makeContext();
  KernelMaker maker(*context);
  auto exchange = [&](mlir::Value x) { return maker.make<ir::TransposeOp>(x, maker.builder().getDenseI64ArrayAttr({1, 0})); };
  mlir::Value dy = maker.tensor(type, {text(tokens), text(hidden)}), other = maker.tensor(type, {text(ofWeight ? tokens : hidden), text(width)});
  mlir::Value b = exchange(other), a = ofWeight ? exchange(dy) : dy;
  LoadedKernel kernel(maker.finish("matmul", {maker.make<ir::MatmulOp>(a, b)}));
  std::vector<Tensor> inputs{randomTensor(type, {tokens, hidden}, 1), randomTensor(type, {ofWeight ? tokens : hidden, width}, 2)};
  std::vector<Tensor> outputs{Tensor(type, {ofWeight ? hidden : tokens, width})};
  measure(state, type, threads, 2.0 * tokens * width * hidden, [&] { kernel.run(inputs, outputs, {{}, 0, 0, threads}); });
}

// Of 8 heads of 64: `forward` is attention itself, whose two products the gradient makes seven.
void attention(benchmark::State& state, bool forward) {
  int64_t batch = 4, tokens = state.range(0), heads = 8, width = 512;
  int threads = static_cast<int>(state.range(1));
  auto context = testing::makeContext();
  KernelMaker maker(*context);
  mlir::OpBuilder& b = maker.builder();
  auto input = [&] { return maker.tensor(DType::F32, {text(batch), text(tokens), text(width)}); };
  std::vector<Tensor> inputs, outputs;
  for (uint32_t i = 0; i < (forward ? 3 : 4); ++i)
    inputs.push_back(randomTensor(DType::F32, {batch, tokens, width}, i));
  for (int i = 0; i < (forward ? 1 : 3); ++i)
    outputs.emplace_back(DType::F32, Shape{batch, tokens, width});
  mlir::Value q = input(), key = input(), v = input();
  mlir::IntegerAttr count = b.getI64IntegerAttr(heads);
  mlir::FloatAttr scale = b.getF64FloatAttr(0.125);
  ir::KernelOp kernel = forward ? maker.finish("attention", {ir::AttentionOp::create(b, maker.loc(), q, key, v, count, scale, mlir::UnitAttr())})
                                : maker.finish("attention_grad", ir::AttentionGradOp::create(b, maker.loc(), input(), q, key, v, mlir::Value(), count,
                                                                                             mlir::IntegerAttr(), scale, mlir::UnitAttr())
                                                                     ->getResults());
  LoadedKernel loaded(kernel);
  double products = forward ? 2 : 7;
  measure(state, DType::F32, threads, products * 2.0 * batch * tokens * tokens * width, [&] { loaded.run(inputs, outputs, {{}, 0, 0, threads}); });
}

// A weight (E, N, K) to panels, as it lies and transposed.
void pack(benchmark::State& state, bool exchanged) {
  int64_t experts = 16, n = exchanged ? 512 : 2048, depth = exchanged ? 2048 : 512, nr = testing::hostTarget() == "cpu:x86-64-v4" ? 32 : 16;
  auto context = testing::makeContext();
  KernelMaker maker(*context);
  mlir::Value w = maker.tensor(DType::F32, {text(experts), text(2048), text(512)});
  if (exchanged)
    w = maker.make<ir::TransposeOp>(w, maker.builder().getDenseI64ArrayAttr({0, 2, 1}));
  LoadedKernel kernel(maker.finish("pack", {maker.make<ir::PackOp>(w, nr)}));
  std::vector<Tensor> inputs{randomTensor(DType::F32, {experts, 2048, 512}, 1)}, outputs{Tensor(DType::F32, {experts, n / nr, depth, nr})};
  for (auto _ : state)
    kernel.run(inputs, outputs, {{}, 0, 0, static_cast<int>(state.range(0))});
  state.counters["GB/s"] = benchmark::Counter(2.0 * 4 * experts * 2048 * 512, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

// From IR to code in memory.
void emit(benchmark::State& state) {
  Experts s{4096, 512, 2048, 16, 2};
  auto context = testing::makeContext();
  KernelMaker plain(*context), packed(*context);
  ir::KernelOp kernel = upKernel(packed, s, nrOf(upKernel(plain, s, {})));
  for (auto _ : state)
    state.counters["KB"] = static_cast<double>(LoadedKernel(kernel).image().image.size()) / 1024;
}

} // namespace

BENCHMARK(emit)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(fma, f32, DType::F32)->Arg(1)->Arg(2)->Iterations(1)->UseRealTime();
BENCHMARK_CAPTURE(fma, f64, DType::F64)->Arg(1)->Arg(2)->Iterations(1)->UseRealTime();
BENCHMARK_CAPTURE(matmul, f32, DType::F32)->Args({1024, 1})->Args({1024, 2})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(matmul, f64, DType::F64)->Args({1024, 1})->Args({1024, 2})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(experts, S1_up, true, false)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(experts, S1_down, false, true)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(experts, S1, true, true)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(weightGrad, f32_512x2048, DType::F32, 512, 2048)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(weightGrad, f32_2048x512, DType::F32, 2048, 512)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(weightGrad, f64_512x2048, DType::F64, 512, 2048)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(weightGrad, bf16_512x2048, DType::BF16, 512, 2048)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearGrad, f32_dX, DType::F32, false, 4096, 512, 2048)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearGrad, f32_dW, DType::F32, true, 4096, 512, 2048)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearGrad, f32_1024_dX, DType::F32, false, 1024, 1024, 1024)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearGrad, f32_1024_dW, DType::F32, true, 1024, 1024, 1024)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rowsGrad, f32_512x2048, DType::F32, 512, 2048)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rowsGrad, f32_2048x512, DType::F32, 2048, 512)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(attention, forward, true)->Args({512, 1})->Args({512, 2})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(attention, gradient, false)->Args({512, 1})->Args({512, 2})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(pack, plain, false)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(pack, transposed, true)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

} // namespace moec::bench

BENCHMARK_MAIN();
