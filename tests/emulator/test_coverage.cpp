// Every form of instruction in the PTX that NVRTC makes of the zoo's kernels has a vector of that very form: the opcode with its suffixes as written. No two
// forms count as one; a hint such as .nc, a type that moves the same bits and .uni are forms of their own.
//
// By default every model is compiled for one target, whose kernels other tests run too, and for another one by turns: the kernels' text knows of a target only
// what its schedules make of it, and models have most kernels in common. A model with a kind of kernel that none before it had is compiled for every target,
// and so is one of another type than f32, as few are. Label slow has every model for every target.

#include "runtime/Compile.h"
#include "runtime/core/CudaImage.h"
#include "runtime/core/CudaTarget.h"
#include "runtime/core/Error.h"
#include "runtime/emulator/ptx/Module.h"
#include "tests/e2e/Support.h"
#include "tests/emulator/VectorReplay.h"
#include "tests/runner/Combinations.h"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace moec::emulator::test {
namespace {

/// Of a block: those in its body of the opcode it is named for. What else stands there only brings inputs and results about.
std::set<std::string> coveredForms() {
  std::set<std::string> forms;
  for (const VectorCase& c : readVectors(MOEC_TEST_VECTORS)) {
    if (!c.types.empty()) {
      forms.insert(c.opcode);
      continue;
    }
    std::string named = c.opcode.substr(0, c.opcode.find('.'));
    bool found = false;
    for (const Function& function : parsePtx(c.ptx(false)).functions)
      for (const Instruction& instruction : function.instructions)
        if (instruction.opcode.substr(0, instruction.opcode.find('.')) == named && c.body.find(instruction.opcode) != std::string::npos) {
          forms.insert(instruction.opcode);
          found = true;
        }
    EXPECT_TRUE(found) << c.name() << ": the block has no instruction of the opcode it is named for";
  }
  return forms;
}

struct Uses {
  std::map<std::string, std::string> forms;           // form -> where it was first seen
  std::map<std::string, std::set<std::string>> kinds; // of kernels, of each target
};

/// Whether the model is of f32.
bool collect(const std::filesystem::path& model, const std::vector<std::string>& targets, Uses& uses) {
  CompileOptions options;
  options.targets = targets;
  options.kernelCache = moec::test::sharedKernels(); // models have kernels in common
  Program program = compile(model, options);
  for (const auto& [name, image] : program.data().kernels) {
    CudaImage parsed = CudaImage::parse(image, name);
    size_t kind = name.find('/') + 1; // behind the target
    uses.kinds[name.substr(0, kind - 1)].insert(name.substr(kind, name.rfind('_') - kind));
    for (const Function& function : parsePtx(parsed.ptx).functions)
      for (const Instruction& instruction : function.instructions)
        uses.forms.try_emplace(instruction.opcode, fmt::format("{}: {}, line {} of its PTX", model.filename().string(), name, instruction.position.line));
  }
  return std::ranges::all_of(program.data().plans.front().parameters, [](const ParameterInfo& parameter) { return parameter.dtype == DType::F32; });
}

TEST(Coverage, EveryFormOfTheZoosKernelsHasAVector) {
  const std::string common = "cuda:sm_90a"; // of the tests that run CUDA kernels
  std::vector<std::string> others;
  for (const CudaTarget& target : cudaTargets())
    if (target.name != common)
      others.push_back(target.name);
  ASSERT_EQ(others.size(), 3u);
  std::vector<std::filesystem::path> models;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(MOEC_SOURCE_DIR) / "models/zoo"))
    if (entry.path().extension() == ".json")
      models.push_back(entry.path());
  std::sort(models.begin(), models.end());
  EXPECT_GE(models.size(), others.size());
  Uses uses;
  try {
    for (size_t i = 0; i < models.size(); ++i) {
      bool takesAll = !collect(models[i], {common}, uses) || moec::test::allCombinations();
      std::vector<std::string> targets;
      for (const std::string& target : others)
        if (takesAll || uses.kinds[target] != uses.kinds[common] || target == others[i % others.size()])
          targets.push_back(target);
      collect(models[i], targets, uses);
    }
  } catch (const Error& error) {
    if (error.fault() == Fault::Device)
      GTEST_SKIP() << "[SKIP] " << error.what();
    throw;
  }
  EXPECT_GT(uses.forms.size(), 100u);
  EXPECT_EQ(uses.kinds.size(), others.size() + 1);
  for (const auto& [target, kinds] : uses.kinds)
    EXPECT_EQ(kinds, uses.kinds[common]) << target;
  std::set<std::string> covered = coveredForms();
  for (const auto& [form, where] : uses.forms)
    EXPECT_TRUE(covered.count(form)) << "no vector of " << form << " (" << where << "): add one to tests/emulator/vectors";
}

} // namespace
} // namespace moec::emulator::test
