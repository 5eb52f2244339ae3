// SoftMoE's slots are as many as the model says, its tokens as many as a call brings: one program serves them all.

#include "runtime/core/Tolerance.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Goldens.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

namespace moec::test {

TEST(AnyNumberOfTokens, OneProgramOfSoftMoe) {
  auto golden = [](const std::string& name, std::map<std::string, std::string>* metadata = nullptr) {
    return readSafeTensors(sourceDir() / "tests/goldens" / (name + ".safetensors"), metadata);
  };
  std::map<std::string, std::string> metadata;
  TensorMap nine = golden("soft-moe.f32", &metadata), two = golden("soft-moe.few-tokens");
  Program program = compile(patchedModel("soft-moe.json", metadata.at("overrides")), {.targets = {"cpu"}, .kernelCache = sharedKernels()});
  Session session(program, "cpu");
  session.load(part(nine, "weights/"));
  for (const TensorMap* each : {&nine, &two, &nine}) {
    Tensor y = session.run({{"x", each->at("inputs/x")}}).at("y");
    EXPECT_LE(relativeError(y, each->at("outputs/y")), tolerance(DType::F32));
  }
}

} // namespace moec::test
