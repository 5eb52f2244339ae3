#include "tests/runtime/TinyTraining.h"

#include "runtime/core/Philox.h"
#include "tests/runtime/TinyProgram.h"

#include <cmath>

namespace moec {
namespace {

enum Buffer { X, Y, W, Error, Gradient, Loss, Momentum, Average, Rate, Step, Norm, Waiting, Count, Mean };

LaunchInfo update(int gradient) {
  return {.kernel = "tiny_update",
          .label = "w",
          .kind = "update",
          .inputs = {gradient, W, Momentum, Average, Rate, Step},
          .outputs = {Norm, W, Momentum, Average},
          .sizes = {kTinyWidth},
          .stages = {{1, 0, 8}, {kTinyWidth, 0, 1000000}}};
}

} // namespace

ProgramData tinyTrainingData(bool accumulate, int fault) {
  ProgramData data = tinyProgramData();
  Size t = Size::symbol("T"), d = kTinyWidth, much = 1000000; // so that the stages go to the pool
  LaunchList last = accumulate ? LaunchList::Apply : LaunchList::Forward;
  Plan plan;
  plan.target = data.plans[0].target;
  plan.purpose = Purpose::Training;
  plan.buffers = {{.name = "x", .kind = BufferKind::Input, .shape = {t, d}},
                  {.name = "y", .kind = BufferKind::Input, .shape = {t}},
                  {.name = "w", .kind = BufferKind::Parameter, .shape = {d}},
                  {.name = "error", .shape = {t}, .firstLaunch = 0, .lastLaunch = 1},
                  {.name = "gradient", .shape = {d}, .firstLaunch = 1, .lastLaunch = 2},
                  {.name = "loss", .kind = BufferKind::Output, .shape = {}},
                  {.name = "w.momentum", .kind = BufferKind::State, .shape = {d}},
                  {.name = "w.average", .kind = BufferKind::State, .shape = {d}},
                  {.name = "rate", .kind = BufferKind::Input, .dtype = DType::F64, .shape = {}},
                  {.name = "step", .kind = BufferKind::Input, .dtype = DType::I64, .shape = {}},
                  {.name = "norm", .kind = BufferKind::Output, .shape = {}}};
  plan.forward = {{.kernel = "tiny_error",
                   .label = "error",
                   .kind = "loops",
                   .inputs = {X, Y, W},
                   .outputs = {Error},
                   .sizes = {t, d},
                   .streams = {"noise"},
                   .stages = {{t, 0, much}}},
                  {.kernel = "tiny_gradient",
                   .label = "loss",
                   .kind = "loops",
                   .inputs = {X, Error},
                   .outputs = {Gradient, Loss},
                   .sizes = {t, d},
                   .stages = {{d + 1, 0, much}}}};
  plan.inputs = {{.name = "x", .shape = {t, d}, .buffer = X},
                 {.name = "y", .shape = {t}, .buffer = Y, .forLoss = true},
                 {.name = kLearningRateInput, .dtype = DType::F64, .buffer = Rate, .list = last},
                 {.name = kStepInput, .dtype = DType::I64, .buffer = Step, .list = last}};
  plan.parameters = {{.name = "w", .shape = {kTinyWidth}, .init = {Init::Kind::Uniform, 0.5, 1.5}, .buffer = W}};
  plan.states = {{{.name = "w.momentum", .shape = {kTinyWidth}, .buffer = Momentum}, {}},
                 {{.name = "w.average", .shape = {kTinyWidth}, .buffer = Average}, "w"}};
  plan.outputs = {{.name = "loss", .buffer = Loss}, {.name = "gradient_norm", .buffer = Norm, .list = last}};
  if (!accumulate) {
    plan.forward.push_back(update(Gradient));
  } else {
    plan.buffers.push_back({.name = "w.gradient", .kind = BufferKind::State, .shape = {d}});
    plan.buffers.push_back({.name = "count", .kind = BufferKind::Input, .dtype = DType::I64, .shape = {}});
    plan.buffers.push_back({.name = "mean", .shape = {d}, .firstLaunch = 3, .lastLaunch = 4});
    plan.states.push_back({{.name = "w.gradient", .shape = {kTinyWidth}, .buffer = Waiting}, {}});
    plan.inputs.push_back({.name = kCountInput, .dtype = DType::I64, .buffer = Count, .list = last});
    plan.forward.push_back(
        {.kernel = "tiny_add", .label = "w", .kind = "update", .inputs = {Gradient, Waiting}, .outputs = {Waiting}, .stages = {{d, 0, much}}});
    plan.apply = {{.kernel = "tiny_mean", .label = "w", .kind = "update", .inputs = {Waiting, Count}, .outputs = {Mean, Waiting}, .stages = {{d, 0, much}}},
                  update(Mean)};
  }
  for (const auto* list : {&plan.forward, &plan.apply})
    for (const LaunchInfo& launch : *list)
      data.kernels[plan.target + "/" + launch.kernel] = tinyImage(fault);
  data.plans.push_back(std::move(plan));
  return data;
}

TensorMap tinyBatch(int64_t tokens, uint64_t seed) {
  Tensor x = tinyTokens(tokens, seed), y(DType::F32, {tokens});
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t d = 0; d < kTinyWidth; ++d)
      y.as<float>()[static_cast<size_t>(t)] += x.as<float>()[static_cast<size_t>(t * kTinyWidth + d)] * static_cast<float>(d + 1) / kTinyWidth;
  return {{"x", x}, {"y", y}};
}

double TinyStep::step(const std::vector<TensorMap>& batches, const std::vector<uint64_t>& seeds, double rate, int64_t number) {
  std::vector<double> mean(w.size());
  double loss = 0;
  for (size_t batch = 0; batch < batches.size(); ++batch) {
    auto x = batches[batch].find("x")->second.as<float>(), y = batches[batch].find("y")->second.as<float>();
    loss = 0;
    for (size_t t = 0; t < y.size(); ++t) {
      double error = 0.125 * uniformFloat(draw(seeds[batch], streamOf("noise"), static_cast<uint32_t>(number), t)) - y[t];
      for (size_t d = 0; d < w.size(); ++d)
        error += static_cast<double>(x[t * w.size() + d]) * w[d];
      loss += error * error / static_cast<double>(y.size());
      for (size_t d = 0; d < w.size(); ++d)
        mean[d] += 2 * error * x[t * w.size() + d] / static_cast<double>(y.size() * batches.size());
    }
  }
  for (size_t d = 0; d < w.size(); ++d) {
    momentum[d] = static_cast<float>(0.9 * momentum[d] + mean[d]);
    w[d] -= static_cast<float>(rate / std::sqrt(static_cast<double>(number)) * momentum[d]);
    average[d] = (average[d] + w[d]) / 2;
  }
  return loss;
}

} // namespace moec
