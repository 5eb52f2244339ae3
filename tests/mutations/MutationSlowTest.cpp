// Owner of: what survives among the mutants of our kernels' PTX is in the list of survivors, and what is in the list survives. Here of all kernels.
#include "tests/mutations/MutationCheck.h"

namespace moec::testing {
namespace {

TEST(MutationsOfAllKernels, areKilledOrListed) {
  MOEC_SKIP_WITHOUT_NVRTC();
  expectListedSurvivors(false);
}

} // namespace
} // namespace moec::testing
