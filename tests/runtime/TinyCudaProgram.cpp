#include "tests/runtime/TinyCudaProgram.h"

#include "runtime/core/CudaImage.h"
#include "tests/runtime/TinyProgram.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace moec {

Plan tinyCudaPlan() {
  Size t = Size::symbol("T"), d = kTinyWidth;
  auto stage = [](Size items, std::string function, int threads) {
    return StageInfo{items, 0, 0, GridInfo{.function = std::move(function), .threads = threads}};
  };
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
  plan.forward = {
      {.kernel = "tiny_route", .label = "gate", .kind = "gate", .inputs = {0}, .outputs = {2}, .sizes = {t, d}, .stages = {stage(1, "tiny_route_0", 32)}},
      {.kernel = "tiny_up",
       .label = "experts",
       .kind = "expert_up",
       .inputs = {0, 1, 2},
       .outputs = {3},
       .sizes = {t, d},
       .stages = {stage(t, "tiny_up_0", 32)}},
      {.kernel = "tiny_down",
       .label = "experts",
       .kind = "expert_down",
       .inputs = {3, 2},
       .outputs = {4, 5},
       .sizes = {t, d},
       .streams = {"noise"},
       .stages = {stage(Size::ceilDiv(t, 16), "tiny_down_0", 32), stage(1, "tiny_down_1", 32)},
       .workspaces = {6}}};
  plan.inputs = {{.name = "x", .shape = {t, d}, .buffer = 0}, {.name = "label", .dtype = DType::I64, .shape = {t}, .below = 10, .forLoss = true}};
  plan.parameters = {{.name = "w", .shape = {kTinyWidth}, .init = {Init::Kind::Uniform, 0.5, 1.5}, .buffer = 1}};
  plan.outputs = {{.name = "y", .shape = {t, d}, .buffer = 4}, {.name = "total", .dtype = DType::F64, .shape = {1}, .buffer = 5}};
  return plan;
}

std::vector<uint8_t> cudaImage(const std::string& ptx) {
  return CudaImage{"tiny.cu", "// rows\n  rows[r][d] = x[token][d] * 2 * w[d] * scale;\n", ptx, {}}.bytes();
}

namespace {

std::string ptxWith(const char* path, const std::vector<PtxChange>& changes) {
  std::ifstream file(path);
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
  return ptx;
}

Plan tinyCudaTrainingPlan() {
  Size t = Size::symbol("T"), d = kTinyWidth;
  auto stage = [](Size items, std::string function) { return StageInfo{items, 0, 0, GridInfo{.function = std::move(function), .threads = 32}}; };
  Plan plan;
  plan.target = "cuda:sm_80";
  plan.purpose = Purpose::Training;
  plan.buffers = {{.name = "x", .kind = BufferKind::Input, .shape = {t, d}},
                  {.name = "w", .kind = BufferKind::Parameter, .shape = {d}},
                  {.name = "difference", .shape = {t, d}, .firstLaunch = 0, .lastLaunch = 1},
                  {.name = "w.gradient", .kind = BufferKind::State, .shape = {d}},
                  {.name = "loss", .kind = BufferKind::Output, .shape = {}},
                  {.name = "count", .kind = BufferKind::Input, .dtype = DType::I64, .shape = {}},
                  {.name = "mean", .shape = {d}, .firstLaunch = 2, .lastLaunch = 3},
                  {.name = "rate", .kind = BufferKind::Input, .dtype = DType::F64, .shape = {}},
                  {.name = "norm", .kind = BufferKind::Output, .shape = {}}};
  plan.forward = {
      {.kernel = "train_difference",
       .label = "loss",
       .kind = "loops",
       .inputs = {0, 1},
       .outputs = {2},
       .sizes = {t, d},
       .stages = {stage(t, "train_difference_0")}},
      {.kernel = "train_add", .label = "w", .kind = "update", .inputs = {2, 3}, .outputs = {4, 3}, .sizes = {t, d}, .stages = {stage(1, "train_add_0")}}};
  plan.apply = {
      {.kernel = "train_mean", .label = "w", .kind = "update", .inputs = {3, 5}, .outputs = {6, 3}, .sizes = {d}, .stages = {stage(1, "train_mean_0")}},
      {.kernel = "train_update", .label = "w", .kind = "update", .inputs = {6, 1, 7}, .outputs = {8, 1}, .sizes = {d}, .stages = {stage(1, "train_update_0")}}};
  plan.inputs = {{.name = "x", .shape = {t, d}, .buffer = 0},
                 {.name = kLearningRateInput, .dtype = DType::F64, .buffer = 7, .list = LaunchList::Apply},
                 {.name = kCountInput, .dtype = DType::I64, .buffer = 5, .list = LaunchList::Apply}};
  plan.parameters = tinyCudaPlan().parameters;
  plan.states = {{{.name = "w.gradient", .shape = {kTinyWidth}, .buffer = 3}, {}}};
  plan.outputs = {{.name = "loss", .buffer = 4}, {.name = "gradient_norm", .buffer = 8, .list = LaunchList::Apply}};
  return plan;
}

} // namespace

ProgramData tinyCudaProgramData(const std::vector<PtxChange>& changes) {
  std::string ptx = ptxWith(MOEC_TINY_PTX, changes);
  Plan plan = tinyCudaPlan();
  ProgramData data{"tiny", "test", {plan}, {}, {}};
  for (const char* kernel : {"tiny_route", "tiny_up", "tiny_down"})
    data.kernels[plan.target + "/" + kernel] = cudaImage(ptx);
  return data;
}

ProgramData tinyCudaTrainingData(const std::vector<PtxChange>& changes) {
  ProgramData data = tinyCudaProgramData();
  std::string ptx = ptxWith(MOEC_TINY_TRAINING_PTX, changes);
  data.plans.push_back(tinyCudaTrainingPlan());
  for (const auto* list : {&data.plans.back().forward, &data.plans.back().apply})
    for (const LaunchInfo& launch : *list)
      data.kernels[data.plans.back().target + "/" + launch.kernel] = cudaImage(ptx);
  return data;
}

} // namespace moec
