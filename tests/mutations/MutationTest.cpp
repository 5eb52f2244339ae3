// Owner of: what survives among the mutants of our kernels' PTX is in the list of survivors, and what is in the list survives. Here of the smallest kernels.
#include "tests/mutations/MutationCheck.h"

namespace moec::testing {
namespace {

TEST(Mutations, ofTheSampleAreKilledOrListed) {
  MOEC_SKIP_WITHOUT_NVRTC();
  expectListedSurvivors(true);
}

} // namespace
} // namespace moec::testing
