#include "tests/runtime/TinyProgram.h"

#include "runtime/core/CpuTarget.h"
#include "runtime/core/Philox.h"

#include <fstream>
#include <iterator>

namespace moec {

std::vector<uint8_t> tinyImage(int fault) {
  const char* paths[] = {MOEC_TINY_KERNELS, MOEC_TINY_KERNELS_FAULT1, MOEC_TINY_KERNELS_FAULT2};
  std::ifstream file(paths[fault], std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

ProgramData tinyProgramData(int fault) {
  Size t = Size::symbol("T"), d = kTinyWidth;
  Plan plan;
  plan.target = nativeCpuTarget();
  plan.buffers = {
      {.name = "x", .kind = BufferKind::Input, .shape = {t, d}},
      {.name = "w", .kind = BufferKind::Parameter, .shape = {d}},
      {.name = "w.packed", .kind = BufferKind::Prepared, .shape = {d}},
      {.name = "routing", .dtype = DType::I32, .shape = {t * 2 + 3}, .firstLaunch = 0, .lastLaunch = 2, .isRouting = true, .experts = 2, .choices = 1},
      {.name = "rows", .shape = {t, d}, .firstLaunch = 1, .lastLaunch = 2, .raggedBy = 3},
      {.name = "y", .kind = BufferKind::Output, .shape = {t, d}},
      {.name = "total", .kind = BufferKind::Output, .dtype = DType::F64, .shape = {1}},
      {.name = "sums", .dtype = DType::U8, .shape = {(Size::ceilDiv(t, 16)) * 8}, .firstLaunch = 2, .lastLaunch = 2}};
  plan.prepare = {{.kernel = "tiny_pack", .label = "w", .kind = "pack", .inputs = {1}, .outputs = {2}, .stages = {{d, 0, d}}}};
  Size much = 1000000; // so that the stages go to the pool
  plan.forward = {
      {.kernel = "tiny_route", .label = "gate", .kind = "gate", .inputs = {0}, .outputs = {3}, .sizes = {t, d}, .stages = {{1, 0, t}}},
      {.kernel = "tiny_up", .label = "experts", .kind = "expert_up", .inputs = {0, 2, 3}, .outputs = {4}, .sizes = {t, d}, .stages = {{t, d * 4, much}}},
      {.kernel = "tiny_down",
       .label = "experts",
       .kind = "expert_down",
       .inputs = {4, 3},
       .outputs = {5, 6},
       .sizes = {t, d},
       .streams = {"noise"},
       .stages = {{Size::ceilDiv(t, 16), 0, much}, {1, 0, 1}},
       .workspaces = {7}}};
  plan.inputs = {{.name = "x", .shape = {t, d}, .buffer = 0}, {.name = "label", .dtype = DType::I64, .shape = {t}, .below = 10, .forLoss = true}};
  plan.parameters = {{.name = "w", .shape = {kTinyWidth}, .init = {Init::Kind::Uniform, 0.5, 1.5}, .buffer = 1}};
  plan.outputs = {{.name = "y", .shape = {t, d}, .buffer = 5}, {.name = "total", .dtype = DType::F64, .shape = {1}, .buffer = 6}};
  ProgramData data{"tiny", "test", {plan}, {}, {}};
  for (const char* kernel : {"tiny_pack", "tiny_route", "tiny_up", "tiny_down"})
    data.kernels[plan.target + "/" + kernel] = tinyImage(fault);
  return data;
}

Tensor tinyTokens(int64_t tokens, uint64_t seed) {
  Tensor x(DType::F32, {tokens, kTinyWidth});
  auto values = x.as<float>();
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = 2 * uniformFloat(draw(seed, 77, 0, i)) - 1;
  return x;
}

TinyAnswer tinyAnswer(const Tensor& x, const Tensor& w, uint64_t seed, uint32_t step) {
  auto tokens = x.as<float>(), weights = w.as<float>();
  TinyAnswer answer;
  answer.y.resize(tokens.size());
  double blockSum = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    size_t token = i / kTinyWidth, d = i % kTinyWidth;
    float gate = tokens[token * kTinyWidth];
    float scale = gate < -0.5f ? 1 : gate < 0.5f ? 2 : 0;
    float noise = 0.125f * uniformFloat(draw(seed, streamOf("noise"), step, i));
    answer.y[i] = tokens[i] * (2 * weights[d]) * scale + noise;
    blockSum += answer.y[i];
    if ((i + 1) % (16 * kTinyWidth) == 0 || i + 1 == tokens.size()) {
      answer.total += blockSum;
      blockSum = 0;
    }
  }
  return answer;
}

} // namespace moec
