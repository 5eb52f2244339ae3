// The zoo's models, built from their files and run by the reference interpreter, against what the original packages
// computed (tests/goldens/README.md).

#include "ir/reference/Interpreter.h"
#include "models/BuildModel.h"
#include "runtime/core/Tolerance.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

using namespace moec;
using namespace moec::models;

namespace {

std::string fileText(const std::string& path) {
  std::ifstream file(std::string(MOEC_SOURCE_DIR) + "/" + path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Golden {
  nlohmann::json metadata;
  std::map<std::string, Tensor> tensors;
};

Golden readGolden(const std::string& name) {
  std::string bytes = fileText("tests/goldens/" + name + ".safetensors");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
  Golden golden{header.at("__metadata__"), {}};
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__")
      continue;
    std::string dtype = entry.at("dtype");
    std::transform(dtype.begin(), dtype.end(), dtype.begin(), [](char c) { return std::tolower(c); });
    Tensor tensor(*parseDType(dtype), entry.at("shape").get<Shape>());
    std::memcpy(tensor.data(), bytes.data() + 8 + length + entry.at("data_offsets")[0].get<size_t>(), tensor.bytes());
    golden.tensors.emplace(key, tensor);
  }
  return golden;
}

class GoldenModels : public testing::TestWithParam<const char*> {};

TEST_P(GoldenModels, ComeOutAsTheOriginals) {
  Golden golden = readGolden(GetParam());
  nlohmann::json model =
      nlohmann::json::parse(fileText("models/zoo/" + golden.metadata.at("model").get<std::string>() + ".json"));
  model.merge_patch(nlohmann::json::parse(golden.metadata.at("overrides").get<std::string>()));
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  ImportOptions options;
  options.drawsAsInputs = true;
  auto module = buildModel("model.json", model.dump(1), options, &context, diagnostics);
  ASSERT_TRUE(module) << diagnostics.text();

  auto forward = module->lookupSymbol<mlir::func::FuncOp>("forward");
  reference::Call call;
  nlohmann::json sizes = nlohmann::json::parse(golden.metadata.at("sizes").get<std::string>());
  for (const auto& [name, size] : sizes.items())
    call.bindings[name] = size.get<int64_t>();
  std::vector<Tensor> arguments;
  for (auto [index, argument] : llvm::enumerate(forward.getArguments())) {
    std::string name = forward.getArgAttrOfType<mlir::StringAttr>(index, "moe.input").str();
    auto given = golden.tensors.find((forward.getArgAttr(index, "moe.draw") ? "draws/" : "inputs/") + name);
    if (given != golden.tensors.end()) {
      arguments.push_back(given->second);
    } else {
      ASSERT_TRUE(forward.getArgAttr(index, "moe.for_loss")) << name;
      arguments.push_back(
          Tensor(reference::dtypeOf(argument.getType()), reference::shapeOf(argument.getType(), call.bindings)));
    }
  }
  size_t weights = 0;
  for (auto parameter : module->getOps<ir::ParameterOp>()) {
    auto given = golden.tensors.find("weights/" + parameter.getSymName().str());
    ASSERT_NE(given, golden.tensors.end()) << parameter.getSymName().str();
    call.state[parameter.getSymName().str()] = given->second;
    ++weights;
  }
  for (const auto& [key, tensor] : golden.tensors)
    weights -= key.starts_with("weights/");
  EXPECT_EQ(weights, 0u) << "the golden has weights that the model does not";

  std::vector<Tensor> results = reference::evaluate(forward, arguments, call);
  for (auto [index, result] : llvm::enumerate(results)) {
    std::string name = forward.getResultAttrOfType<mlir::StringAttr>(index, "moe.output").str();
    ASSERT_TRUE(golden.tensors.contains("outputs/" + name));
    const Tensor& expected = golden.tensors.at("outputs/" + name);
    ASSERT_EQ(result.shape(), expected.shape()) << name;
    std::vector<double> a = result.toDoubles(), b = expected.toDoubles();
    double largest = 0, apart = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      largest = std::max(largest, std::abs(b[i]));
      apart = std::max(apart, std::isfinite(a[i]) ? std::abs(a[i] - b[i]) : INFINITY);
    }
    EXPECT_GT(largest, 0) << name;
    EXPECT_LE(apart, tolerance(expected.dtype()) * largest) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModels,
                         testing::Values("batched-experts.f32", "batched-experts.f64", "blended-lm.f32",
                                         "custom-experts.f32", "custom-experts-hierarchical.f32", "gating-lm.f32",
                                         "gating-lm-blog.f32", "hierarchical.all", "hierarchical.f32",
                                         "hierarchical.f64", "hierarchical.none", "hierarchical.tight",
                                         "lucidrains-moe.f32", "lucidrains-moe.f64", "lucidrains-moe.tight", "mann.f32",
                                         "mann.f64", "mann.gate-input", "random-lm.f32", "soft-moe.f32", "soft-moe.f64",
                                         "soft-moe.few-tokens", "soft-moe.newest", "switch-lm-blog.f32",
                                         "switch-lm.f32", "switch-lm.f64", "switch-lm.tight", "vit.f32", "vit.f64",
                                         "vit-moe.f32", "vit-moe.tight", "vit-moe.top_k"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

} // namespace
