#include "tests/mutations/MutationCheck.h"

#include <gtest/gtest.h>

namespace moec::testing {

void expectListedSurvivors(bool samplesOnly) {
  Accepted accepted = Accepted::read(MOEC_SURVIVORS);
  std::vector<std::string> kernels;
  size_t mutants = 0;
  for (const Subject& subject : subjects()) {
    if (samplesOnly && !subject.sample)
      continue;
    KernelResult result = runMutants(subject);
    if (result.compiler != accepted.compiler())
      GTEST_SKIP() << "[SKIP] the list of survivors is of NVRTC " << accepted.compiler() << ", this is " << result.compiler;
    kernels.push_back(subject.name);
    for (mutations::Class kind : mutations::kClasses)
      mutants += result.all(kind);
    for (const Survivor& survivor : result.survivors)
      EXPECT_TRUE(accepted.claim(survivor)) << survivor.kernel << " survives: " << nameOf(survivor.kind) << " | " << survivor.change << " | " << survivor.source
                                            << "\n  line " << survivor.line << ": " << survivor.instruction;
  }
  EXPECT_GT(mutants, 100u);
  for (const std::string& text : accepted.stale(kernels))
    ADD_FAILURE() << MOEC_SURVIVORS << ": " << text;
}

} // namespace moec::testing
