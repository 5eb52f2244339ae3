// Sizes that a model cannot serve are refused before anything runs, with the rule that they break.

#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

#include <fstream>

namespace moec::test {

namespace {

Program compileText(const std::string& text) {
  static TemporaryFolder folder;
  auto path = folder.path() / "model.json";
  std::ofstream(path) << text;
  CompileOptions options;
  options.targets = {"cpu"};
  options.kernelCache = sharedKernels();
  return compile(path, options);
}

std::string complaint(Session& session, const TensorMap& inputs) {
  try {
    session.run(inputs);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Usage);
    return error.what();
  }
  return "";
}

} // namespace

TEST(SizeRules, MorePositionsThanTheTableHasAreRefused) {
  Program program = compileText(R"({"name": "positions", "inputs": {"x": {"shape": ["batch", "sequence", 4]}},
    "model": [{"kind": "position_embedding", "length": 8}, {"kind": "activation", "function": "relu"}]})");
  Session session(program, "cpu");
  session.init(0);
  EXPECT_EQ(session.run({{"x", Tensor(DType::F32, {2, 8, 4})}}).begin()->second.shape(), (Shape{2, 8, 4}));
  EXPECT_EQ(session.run({{"x", Tensor(DType::F32, {1, 3, 4})}}).begin()->second.shape(), (Shape{1, 3, 4}));
  std::string message = complaint(session, {{"x", Tensor(DType::F32, {2, 9, 4})}});
  EXPECT_NE(message.find("sequence"), std::string::npos) << message;
  EXPECT_NE(message.find("is 9"), std::string::npos) << message;
  EXPECT_NE(message.find("at most 8"), std::string::npos) << message;
}

TEST(SizeRules, ACapacityThatRoundsToZeroIsRefused) {
  Program program = compileText(R"({"name": "capacity", "inputs": {"x": {"shape": ["tokens", 8]}},
    "model": [{"kind": "moe", "gate": {"kind": "gshard", "capacity": 1.2, "random_routing": false}, "experts": {"kind": "mlp", "count": 64, "hidden": 8}}]})");
  Session session(program, "cpu");
  session.init(0);
  // FastMoE: ceil(1.2 * T) * 2 // 64 is 0 up to T = 25.
  std::string message = complaint(session, {{"x", Tensor(DType::F32, {4, 8})}});
  EXPECT_NE(message.find("capacity of 'moe.gate'"), std::string::npos) << message;
  EXPECT_NE(message.find("at least 1"), std::string::npos) << message;
  EXPECT_EQ(complaint(session, {{"x", Tensor(DType::F32, {27, 8})}}), "");
}

TEST(SizeRules, ASwitchTakesAtLeastOneTokenUnlessToldOtherwise) {
  auto model = [](const std::string& least) {
    return R"({"name": "capacity", "inputs": {"x": {"shape": ["tokens", 8]}},
      "model": [{"kind": "moe", "gate": {"kind": "switch", "capacity": 2.0)" +
           least + R"(}, "experts": {"kind": "mlp", "count": 32, "hidden": 8}}]})";
  };
  Tensor few(DType::F32, {5, 8}), enough(DType::F32, {16, 8});
  Program kind = compileText(model(""));
  Session taking(kind, "cpu");
  taking.init(0);
  EXPECT_EQ(complaint(taking, {{"x", few}}), "");
  // trunc(2 * T / 32) is 0 up to T = 15.
  Program strict = compileText(model(R"(, "least_capacity": 0)"));
  Session refusing(strict, "cpu");
  refusing.init(0);
  std::string message = complaint(refusing, {{"x", few}});
  EXPECT_NE(message.find("capacity of 'moe.gate'"), std::string::npos) << message;
  EXPECT_EQ(complaint(refusing, {{"x", enough}}), "");
}

TEST(SizeRules, TokensThatAreNoEqualRunsOfWorkersAreRefused) {
  for (const char* gate : {"dc", "faster", "gshard", "swipe", "switch"}) {
    Program program =
        compileText(std::string(R"({"name": "workers", "inputs": {"x": {"shape": ["tokens", 8]}}, "model": [{"kind": "moe", "gate": {"kind": ")") + gate +
                    R"(", "workers": 4}, "experts": {"kind": "linear", "count": 4}}]})");
    Session session(program, "cpu");
    session.init(0);
    EXPECT_EQ(complaint(session, {{"x", Tensor(DType::F32, {8, 8})}}), "") << gate;
    std::string message = complaint(session, {{"x", Tensor(DType::F32, {10, 8})}});
    EXPECT_NE(message.find("what equal runs leave over of the tokens"), std::string::npos) << gate << ": " << message;
    EXPECT_NE(message.find("is 2"), std::string::npos) << gate << ": " << message;
  }
}

TEST(SizeRules, ABatchOfZeroIsRefused) {
  Program program = compile(patchedModel("vit.json"), {.targets = {"cpu"}, .kernelCache = sharedKernels()});
  Session session(program, "cpu");
  session.init(0);
  EXPECT_NE(complaint(session, {{"image", Tensor(DType::F32, {0, 3, 32, 32})}}).find("zero"), std::string::npos);
}

} // namespace moec::test
