#pragma once
// The models that are measured, compiled for a device, with weights and inputs that are the same in every run.

#include "runtime/core/Program.h"
#include "runtime/core/Tensor.h"

#include <filesystem>
#include <string>
#include <vector>

namespace moec::bench {

struct BenchModel {
  std::string name;            // "batched-experts.f32"
  std::filesystem::path file;  // below the sources
  std::string patch;           // JSON merge patch on the file
  Bindings emulated, measured; // small enough for an emulator; worth a GPU's time
};
/// The zoo and S1: one layer of experts, 4096 tokens, width 512, hidden 2048, 16 experts, 2 choices.
const std::vector<BenchModel>& benchModels();

Program compileModel(const BenchModel& model, const std::vector<std::string>& targets);

/// Normal draws for every input of the forward plan.
TensorMap inputsOf(const Plan& plan, const Bindings& sizes);

/// "batch=3, tokens=4".
std::string text(const Bindings& sizes);

} // namespace moec::bench
