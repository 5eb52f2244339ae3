// No launch is interpreted: a program without one kernel's image does not run, and says which.

#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"

#include <gtest/gtest.h>

namespace moec::test {

TEST(MissingKernel, EveryKernelIsNeededAndNamed) {
  CompileOptions options;
  options.targets = {"cpu:x86-64-v3"};
  options.kernelCache = sharedKernels();
  Program whole = compile(patchedModel("vit-moe.json"), options);
  ASSERT_GE(whole.data().kernels.size(), 5u);
  TemporaryFolder folder;
  for (auto& [name, image] : whole.data().kernels) {
    ProgramData without = whole.data();
    without.kernels.erase(name);
    // Written and read again: the container's digests are valid.
    auto path = folder.path() / "program.moec";
    Program(std::move(without)).save(path);
    std::string symbol = name.substr(name.find('/') + 1);
    try {
      Program damaged = Program::load(path);
      Session session(damaged, "cpu");
      session.init(0);
      session.run(generatedInputs(session.plan(), 1));
      ADD_FAILURE() << "ran without kernel " << symbol;
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Data);
      EXPECT_NE(std::string(error.what()).find(symbol), std::string::npos) << error.what();
    }
  }
}

} // namespace moec::test
