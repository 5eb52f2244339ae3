#include "tests/train/Support.h"

#include "runtime/Compile.h"
#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"
#include "tests/runner/SharedCache.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

namespace moec::train {

std::string smallModel(const std::string& patch) {
  auto model = nlohmann::ordered_json::parse(R"({
    "name": "small",
    "inputs": {"x": {"shape": ["batch", 8]}, "label": {"shape": ["batch"], "dtype": "i64", "for": "loss"}},
    "model": [
      {"kind": "linear", "out": 16, "name": "first"},
      {"kind": "moe", "gate": {"kind": "switch", "capacity": {"train": 1.25, "eval": 2.0}, "jitter": 0.1, "balance_loss": 0.01},
       "experts": {"kind": "mlp", "count": 4, "hidden": 16, "activation": "relu"}},
      {"kind": "dropout", "p": 0.1},
      {"kind": "linear", "out": 4, "name": "scores"}
    ],
    "loss": {"kind": "cross_entropy", "scores": "scores", "labels": "label"},
    "optimizer": {"kind": "adamw", "weight_decay": 0.01, "clip_norm": 1.0},
    "check": {"batch": 3}
  })");
  model.merge_patch(nlohmann::ordered_json::parse(patch));
  return model.dump(2);
}

Program compileSmall(const std::filesystem::path& file, const std::string& patch, bool accumulate) {
  std::ofstream(file) << smallModel(patch);
  CompileOptions options;
  options.targets = {"cpu"};
  options.train = options.evaluate = options.statistics = true;
  options.accumulate = accumulate;
  options.kernelCache = test::sharedKernels(); // each process of a test compiles it
  return compile(file, options);
}

const std::vector<data::Field>& Points::fields() const {
  static const std::vector<data::Field> fields{{"x", DType::F32, {8}, {}}, {"label", DType::I64, {}, 4}};
  return fields;
}

void Points::read(int64_t record, std::span<std::byte* const> fields) const {
  if (badRecords.contains(record))
    throw Error(Fault::Data, placeOf(record) + ": cannot be read");
  auto words = [&](const char* what, uint64_t element) { return draw(seed_, streamOf(what), static_cast<uint32_t>(record), element); };
  int64_t label = record % 4, shown = randomLabels ? static_cast<int64_t>(words("label", 0)[0] % 4) : label;
  float x[8];
  for (int i = 0; i < 8; ++i)
    x[i] = static_cast<float>((i / 2 == label ? 1.5 : 0.0) + 0.5 * normal(words("x", static_cast<uint64_t>(i))));
  if (record == nanRecord)
    x[5] = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(fields[0], x, sizeof x);
  std::memcpy(fields[1], &shown, sizeof shown);
}

std::string Points::digest() const { return fmt::format("points {} {} {}", size_, seed_, randomLabels); }
std::string Points::placeOf(int64_t record) const { return fmt::format("point {}", record); }

std::map<std::string, std::string> filesOf(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_directory())
      continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return files;
}

} // namespace moec::train
