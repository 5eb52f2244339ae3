// The zoo's models, built from their files and run by the reference interpreter, against what the original packages
// computed (tests/goldens/README.md).

#include "ir/reference/Interpreter.h"
#include "models/BuildModel.h"
#include "runtime/core/Tolerance.h"
#include "tests/models/Goldens.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace moec;
using namespace moec::test;
using namespace moec::models;

namespace {

class GoldenModels : public testing::TestWithParam<const char*> {};

TEST_P(GoldenModels, ComeOutAsTheOriginals) {
  Golden golden = readGolden(GetParam());
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  ImportOptions options;
  options.drawsAsInputs = true;
  auto module = buildModel("model.json", golden.model("model"), options, &context, diagnostics);
  ASSERT_TRUE(module) << diagnostics.text();

  auto forward = module->lookupSymbol<mlir::func::FuncOp>("forward");
  reference::Call call;
  call.bindings = golden.sizes();
  std::vector<Tensor> arguments;
  for (auto [index, argument] : llvm::enumerate(forward.getArguments())) {
    std::string name = forward.getArgAttrOfType<mlir::StringAttr>(index, "moe.input").str();
    auto given = golden.tensors.find((forward.getArgAttr(index, "moe.draw") ? "draws/" : "inputs/") + name);
    if (given != golden.tensors.end()) {
      arguments.push_back(given->second);
    } else {
      ASSERT_TRUE(forward.getArgAttr(index, "moe.for_loss")) << name;
      arguments.push_back(Tensor(reference::dtypeOf(argument.getType()), reference::shapeOf(argument.getType(), call.bindings)));
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
    expectClose(result, expected, tolerance(expected.dtype()), name);
    EXPECT_FALSE(std::ranges::all_of(expected.toDoubles(), [](double value) { return value == 0; })) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModels,
                         testing::Values("attention.gptj", "attention.llama", "attention.t5", "batched-experts.f32", "batched-experts.f64", "blended-lm.f32",
                                         "custom-experts.f32", "custom-experts-hierarchical.f32", "gating-lm.f32", "gating-lm-blog.f32", "hierarchical.all",
                                         "hierarchical.f32", "hierarchical.f64", "hierarchical.none", "hierarchical.tight", "hf-switch.f32", "hf-switch.tight",
                                         "lucidrains-moe.f32", "lucidrains-moe.f64", "lucidrains-moe.tight", "mann.f32", "mann.f64", "mann.gate-input",
                                         "random-lm.f32", "soft-moe.f32", "soft-moe.f64", "soft-moe.few-tokens", "soft-moe.newest", "soft-moe.rms",
                                         "soft-moe.rms-geglu", "soft-moe.rms-one", "soft-moe.rms-picture", "soft-moe.rms-noise", "soft-moe.layer",
                                         "soft-moe.dynamic", "soft-moe.dynamic-even", "soft-moe.dynamic-mask", "soft-moe.dynamic-one", "soft-moe.dynamic-two",
                                         "soft-moe.l2", "soft-moe.paper", "mann.one-product", "mann.one-product-f64", "experts.gpt-oss", "experts.masked",
                                         "switch-lm-blog.f32", "switch-lm.f32", "switch-lm.f64", "switch-lm.tight", "vit.f32", "vit.f64", "vit-moe.f32",
                                         "vit-moe.tight", "vit-moe.top_k"),
                         [](const auto& info) { return testName(info.param); });

} // namespace
