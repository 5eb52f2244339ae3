// Owner of: the kernels' text by another compiler. clang's PTX of every kind gives the reference's results, and the emulator finds nothing in it.
#include "tests/codegen/cuda/ClangPtx.h"
#include "tests/codegen/cuda/SampleKernels.h"

#include <cstring>

namespace moec::testing {
namespace {

class ClangCuda : public ::testing::TestWithParam<SampleKernel> {
protected:
  void SetUp() override {
    MOEC_SKIP_WITHOUT_NVRTC();
    MOEC_SKIP_WITHOUT_CLANG();
  }
};

TEST_P(ClangCuda, givesTheReferencesResultsAndTheBitsOfNvrtc) {
  for (const char* target : {"cuda:sm_80", "cuda:sm_90a"})
    for (DType type : {DType::F32, DType::F64}) {
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
