#pragma once
// A whole program around ScaleKernel.cpp: input x f32[batch, 3], parameter w f32[3] drawn from ones, output y.

#include "runtime/core/CudaImage.h"
#include "runtime/core/Program.h"

#include <fstream>
#include <iterator>
#include <string>

namespace moec::test {

inline std::string kernelImage() {
  std::ifstream stream(MOEC_SCALE_KERNEL, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline Program scaleProgram(bool drawInput = false) {
  Size batch = Size::symbol("batch");
  Plan plan;
  plan.target = "cpu:x86-64-v3";
  plan.buffers = {{.name = "x", .kind = BufferKind::Input, .dtype = DType::F32, .shape = {batch, 3}},
                  {.name = "w", .kind = BufferKind::Parameter, .dtype = DType::F32, .shape = {3}},
                  {.name = "y", .kind = BufferKind::Output, .dtype = DType::F32, .shape = {batch, 3}}};
  plan.forward = {{.kernel = "scale",
                   .label = "layers.0.scale",
                   .kind = "rows",
                   .inputs = {0, 1},
                   .outputs = {2},
                   .stages = {{.items = batch, .scratchBytes = 0, .operations = batch * 3}},
                   .ops = {"moe.mul"},
                   .reason = "the model's output",
                   .schedule = "rows of 3",
                   .flops = batch * 3,
                   .bytes = batch * 24 + 12}};
  plan.inputs = {{.name = drawInput ? "noise" : "x", .dtype = DType::F32, .shape = {batch, 3}, .buffer = 0, .isDraw = drawInput}};
  plan.parameters = {{.name = "scale.weight", .dtype = DType::F32, .shape = {3}, .init = {.kind = Init::Kind::Ones}, .buffer = 1}};
  plan.outputs = {{.name = "y", .dtype = DType::F32, .shape = {batch, 3}, .buffer = 2}};
  plan.checkSizes = {{"batch", 5}};

  ProgramData data;
  data.name = "scale";
  data.buildId = "test";
  std::string image = kernelImage();
  data.kernels[plan.target + "/scale"].assign(image.begin(), image.end());
  data.ir[plan.target] = "module {}\n";
  data.plans = {std::move(plan)};
  return Program(std::move(data));
}

/// The same with a plan for cuda:sm_80 behind it: one kernel of two functions, launched by two layers, whose figures
/// are made up.
inline Program scaleCudaProgram(int64_t spillBytes = 0) {
  ProgramData data = scaleProgram().data();
  Plan plan = data.plans[0];
  plan.target = "cuda:sm_80";
  Size batch = Size::symbol("batch");
  LaunchInfo& launch = plan.forward[0];
  launch.stages = {{.items = batch * 4,
                    .grid = GridInfo{.function = "scale_rows",
                                     .threads = 128,
                                     .sharedBytes = 6912,
                                     .dynamicSharedBytes = 4096,
                                     .registers = 40,
                                     .spillBytes = spillBytes,
                                     .stackBytes = 16,
                                     .blocksPerMultiprocessor = 12}},
                   {.items = 1, .grid = GridInfo{.function = "other", .threads = 1000, .registers = 10, .blocksPerMultiprocessor = 2}}};
  plan.forward.push_back(launch);
  plan.forward[1].label = "layers.1.scale";
  data.kernels["cuda:sm_80/scale"] = CudaImage{"scale.cu", "// text\n", ".version 9.0\n", {0x7f, 'E', 'L', 'F', 0, 1}}.bytes();
  data.plans.push_back(std::move(plan));
  return Program(std::move(data));
}

} // namespace moec::test
