// Owner of: what holds for CUDA kernels of every kind, whatever they compute.
#include "tests/codegen/cuda/SampleKernels.h"
#include "tests/runner/Combinations.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

namespace moec::testing {
namespace {

class EveryKindCuda : public ::testing::TestWithParam<SampleKernel> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
};

/// On the targets that neither the tests of single kinds (sm_90a) nor those of clang (sm_80 and sm_90a) take; by default by turns on one of them, of which a
/// kernel's text knows what its schedule makes of it.
TEST_P(EveryKindCuda, givesTheReferencesResultsAndTheSameBytesOnOneAndTwoHostThreads) {
  auto isThis = [](const SampleKernel& sample) { return std::string_view(sample.name) == GetParam().name; };
  auto index = std::ranges::find_if(sampleKernels(), isThis) - sampleKernels().begin();
  for (auto [target, type] : {std::pair("cuda:sm_100a", DType::F32), std::pair("cuda:sm_120", DType::F64)}) {
    if (!test::allCombinations() && (index % 2 == 0) != (type == DType::F32))
      continue;
    CudaOptions options{.target = target, .emulator = {.threads = 1}};
    ParsedKernel kernel = parseSample(GetParam(), type, options);
    CudaRun one = checkCuda(kernel, options);
    options.emulator.threads = 2;
    CudaRun two = checkCuda(kernel, options);
    for (size_t i = 0; i < one.outputs.size(); ++i)
      EXPECT_EQ(std::memcmp(one.outputs[i].data(), two.outputs[i].data(), one.outputs[i].bytes()), 0) << target << ", result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, EveryKindCuda, ::testing::ValuesIn(sampleKernels().begin(), sampleKernels().end()),
                         [](const auto& info) { return std::string(info.param.name); });

/// The emitter names its kinds where it is asked for one that it does not know.
TEST(EveryKind, hasASample) {
  ParsedKernel kernel = parseKernel("loops", "%x: tensor<3xf32>", "tensor<3xf32>", "%y = moe.neg %x : tensor<3xf32>  moe.yield %y : tensor<3xf32>");
  kernel.op.setKind("nothing");
  std::string message, error;
  mlir::ScopedDiagnosticHandler handler(kernel.context.get(), [&](mlir::Diagnostic& diagnostic) {
    message += diagnostic.str();
    return mlir::success();
  });
  EXPECT_FALSE(codegen::makeEmitter("cuda:sm_80", error)->chooseSchedule(kernel.op));
  size_t known = message.find("known: ");
  ASSERT_NE(known, std::string::npos) << message;
  std::set<std::string> samples;
  for (const SampleKernel& sample : sampleKernels())
    samples.insert(sample.kind);
  for (llvm::StringRef rest = llvm::StringRef(message).drop_front(known + 7); !rest.empty();) {
    auto [kind, others] = rest.split(", ");
    EXPECT_TRUE(samples.count(kind.str())) << "no sample kernel of kind " << kind.str();
    rest = others;
  }
}

} // namespace
} // namespace moec::testing
