#include "tests/runtime/TinyCudaProgram.h"

#include "runtime/core/CudaImage.h"
#include "tests/runtime/TinyProgram.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace moec {

Plan tinyCudaPlan() {
  Size t = Size::symbol("T"), d = kTinyWidth;
  auto stage = [](Size items, std::string function, int threads) { return StageInfo{items, 0, 0, GridInfo{.function = std::move(function), .threads = threads}}; };
  Plan plan;
  plan.target = "cuda:sm_80";
  plan.buffers = {
      {.name = "x", .kind = BufferKind::Input, .shape = {t, d}},
      {.name = "w", .kind = BufferKind::Parameter, .shape = {d}},
      {.name = "routing", .dtype = DType::I32, .shape = {t * 2 + 3}, .firstLaunch = 0, .lastLaunch = 2, .isRouting = true, .experts = 2, .choices = 1},
      {.name = "rows", .shape = {t, d}, .firstLaunch = 1, .lastLaunch = 2, .raggedBy = 2},
      {.name = "y", .kind = BufferKind::Output, .shape = {t, d}},
      {.name = "total", .kind = BufferKind::Output, .dtype = DType::F64, .shape = {1}},
      {.name = "sums", .dtype = DType::U8, .shape = {Size::ceilDiv(t, 16) * 8}, .firstLaunch = 2, .lastLaunch = 2}};
  plan.forward = {{.kernel = "tiny_route", .label = "gate", .kind = "gate", .inputs = {0}, .outputs = {2}, .sizes = {t, d}, .stages = {stage(1, "tiny_route_0", 32)}},
                  {.kernel = "tiny_up", .label = "experts", .kind = "expert_up", .inputs = {0, 1, 2}, .outputs = {3}, .sizes = {t, d},
                   .stages = {stage(t, "tiny_up_0", 32)}},
                  {.kernel = "tiny_down", .label = "experts", .kind = "expert_down", .inputs = {3, 2}, .outputs = {4, 5}, .sizes = {t, d}, .streams = {"noise"},
                   .stages = {stage(Size::ceilDiv(t, 16), "tiny_down_0", 32), stage(1, "tiny_down_1", 32)}, .workspaces = {6}}};
  plan.inputs = {{.name = "x", .shape = {t, d}, .buffer = 0}, {.name = "label", .dtype = DType::I64, .shape = {t}, .below = 10, .forLoss = true}};
  plan.parameters = {{.name = "w", .shape = {kTinyWidth}, .init = {Init::Kind::Uniform, 0.5, 1.5}, .buffer = 1}};
  plan.outputs = {{.name = "y", .shape = {t, d}, .buffer = 4}, {.name = "total", .dtype = DType::F64, .shape = {1}, .buffer = 5}};
  return plan;
}

std::vector<uint8_t> cudaImage(const std::string& ptx) { return CudaImage{"tiny.cu", "// rows\n  rows[r][d] = x[token][d] * 2 * w[d] * scale;\n", ptx, {}}.bytes(); }

ProgramData tinyCudaProgramData(const std::vector<PtxChange>& changes) {
  std::ifstream file(MOEC_TINY_PTX);
  std::string ptx{std::istreambuf_iterator<char>(file), {}};
  for (const auto& [mark, instead] : changes) {
    size_t at = ptx.find("// " + mark);
    if (at == std::string::npos) {
      ADD_FAILURE() << "no line is marked " << mark;
      break;
    }
    size_t begin = ptx.rfind('\n', at) + 1;
    ptx.replace(begin, at - begin, instead);
  }
  Plan plan = tinyCudaPlan();
  ProgramData data{"tiny", "test", {plan}, {}, {}};
  for (const char* kernel : {"tiny_route", "tiny_up", "tiny_down"})
    data.kernels[plan.target + "/" + kernel] = cudaImage(ptx);
  return data;
}

} // namespace moec
