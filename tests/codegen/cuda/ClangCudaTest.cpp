// Owner of: the kernels' text by another compiler. clang's PTX of every kind gives the reference's results, and the emulator finds nothing in it.
#include "tests/codegen/cuda/ClangPtx.h"
#include "tests/codegen/cuda/SampleKernels.h"
#include "tests/runner/Combinations.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace moec::testing {
namespace {

class ClangCuda : public ::testing::TestWithParam<SampleKernel> {
protected:
  void SetUp() override {
    MOEC_SKIP_WITHOUT_NVRTC();
    MOEC_SKIP_WITHOUT_CLANG();
  }
};

/// Both targets and both types, by default each type on one target, which changes from sample to sample: a kernel's text is of its type, and of a target it
/// knows what the schedule makes of it.
TEST_P(ClangCuda, givesTheReferencesResultsAndTheBitsOfNvrtc) {
  auto isThis = [](const SampleKernel& sample) { return std::string_view(sample.name) == GetParam().name; };
  bool isOdd = (std::ranges::find_if(sampleKernels(), isThis) - sampleKernels().begin()) % 2 != 0;
  for (const char* target : {"cuda:sm_80", "cuda:sm_90a"})
    for (DType type : {DType::F32, DType::F64}) {
      if (!test::allCombinations() && isOdd != ((target == std::string("cuda:sm_80")) == (type == DType::F64)))
        continue;
      SCOPED_TRACE(std::string(target) + " " + std::string(name(type)));
      CudaOptions options{.target = target, .compiler = PtxBy::Clang};
      ParsedKernel kernel = parseSample(GetParam(), type, options);
      CudaRun byClang = checkCuda(kernel, options);
      // Nothing is contracted and every fma is written as one: what either compiler may choose does not show in the results.
      options.compiler = PtxBy::Nvrtc;
      CudaRun byNvrtc = checkCuda(kernel, options);
      for (size_t i = 0; i < byClang.outputs.size(); ++i)
        EXPECT_EQ(std::memcmp(byClang.outputs[i].data(), byNvrtc.outputs[i].data(), byClang.outputs[i].bytes()), 0) << "result " << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Samples, ClangCuda, ::testing::ValuesIn(sampleKernels().begin(), sampleKernels().end()),
                         [](const auto& info) { return std::string(info.param.name); });

} // namespace
} // namespace moec::testing
