#include "bench/gpu/Models.h"

#include "runtime/Compile.h"
#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <stdlib.h>

namespace moec::bench {
namespace {

std::filesystem::path sources() { return MOEC_SOURCE_DIR; }

/// A file's text with a patch, in a folder of its own until it is compiled.
class PatchedModel {
public:
  PatchedModel(const std::filesystem::path& file, const std::string& patch) {
    std::ifstream in(file);
    if (!in)
      throw Error(Fault::System, file.string() + ": cannot be read");
    auto model = nlohmann::ordered_json::parse(in);
    model.merge_patch(nlohmann::ordered_json::parse(patch));
    std::string name = (std::filesystem::temp_directory_path() / "moec-bench-XXXXXX").string();
    if (!mkdtemp(name.data()))
      throw Error(Fault::System, "cannot make a temporary folder " + name);
    folder_ = name;
    std::ofstream(path_ = folder_ / file.filename()) << model.dump(2);
  }
  ~PatchedModel() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path folder_, path_;
};

} // namespace

const std::vector<BenchModel>& benchModels() {
  // Emulated, vit-moe has rows enough for a routing by many blocks, s1 so few that one does it all.
  static const std::vector<BenchModel> all = {
      {"batched-experts.f64", "models/zoo/batched-experts.json", "{}", {{"batch", 64}}, {{"batch", 4096}}},
      {"batched-experts.f32", "models/zoo/batched-experts.json", R"({"dtype": "f32"})", {{"batch", 64}}, {{"batch", 4096}}},
      {"vit", "models/zoo/vit.json", "{}", {{"batch", 4}}, {{"batch", 256}}},
      {"vit-moe", "models/zoo/vit-moe.json", "{}", {{"batch", 32}}, {{"batch", 256}}},
      // One picture: its MoE layers are one launch where the target's schedule says so.
      {"vit-moe.one", "models/zoo/vit-moe.json", R"({"inputs": {"image": {"shape": [1, 3, 32, 32]}, "label": {"shape": [1]}}, "check": null})", {}, {}},
      {"s1", "bench/gpu/models/s1.json", "{}", {{"tokens", 256}}, {{"tokens", 4096}}},
  };
  return all;
}

Program compileModel(const BenchModel& model, const std::vector<std::string>& targets) {
  PatchedModel patched(sources() / model.file, model.patch);
  CompileOptions options;
  options.targets = targets;
  return compile(patched.path(), options);
}

TensorMap inputsOf(const Plan& plan, const Bindings& sizes) {
  TensorMap inputs;
  for (const InputInfo& input : plan.inputs) {
    if (input.forLoss || input.buffer < 0)
      continue;
    Shape shape;
    for (const Size& size : input.shape)
      shape.push_back(size.evaluate(sizes));
    Tensor tensor(DType::F64, shape);
    uint64_t element = 0;
    for (double& value : tensor.as<double>())
      value = normal(draw(0, streamOf("bench." + input.name), 0, element++));
    inputs.emplace(input.name, tensor.cast(input.dtype));
  }
  return inputs;
}

std::string text(const Bindings& sizes) {
  std::string result;
  for (const auto& [name, value] : sizes)
    result += fmt::format("{}{}={}", result.empty() ? "" : ", ", name, value);
  return result;
}

} // namespace moec::bench
