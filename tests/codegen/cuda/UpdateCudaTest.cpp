// Owner of: CUDA kernels of kinds `update` and `totals`. Every result is held against the reference interpreter, in memory of its own and in its arguments'.
#include "tests/codegen/ManyTensors.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <cstring>
#include <fmt/format.h>
#include <regex>

namespace moec::testing {
namespace {

class UpdateCuda : public ::testing::TestWithParam<const char*> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  static std::string typed(std::string text, const std::string& type) {
    return std::regex_replace(std::regex_replace(text, std::regex("\\$P"), type), std::regex("@"), std::string(GetParam()));
  }
  /// Both give the same bytes.
  static void check(const ParsedKernel& kernel, CudaOptions options, std::vector<std::pair<unsigned, unsigned>> inPlace) {
    CudaRun apart = checkCuda(kernel, options);
    options.inPlace = std::move(inPlace);
    CudaRun within = checkCuda(kernel, options);
    for (size_t i = 0; i < apart.outputs.size(); ++i)
      EXPECT_EQ(std::memcmp(apart.outputs[i].data(), within.outputs[i].data(), apart.outputs[i].bytes()), 0) << "result " << i;
  }
};

/// AdamW: the parameter and both moments in place; the corrections of the moments come from scalars alone, in f64.
TEST_P(UpdateCuda, momentsInPlaceAndScalarsInF64) {
  if (std::string(GetParam()) == "bf16")
    return; // masterWeights has it
  for (const char* type : {"tensor<37x29x@>", "tensor<1024x@>", "tensor<3x@>", "tensor<411x5x@>"}) {
    SCOPED_TRACE(type);
    CudaOptions options{.check = {.low = 0.5, .high = 1.5}};
    check(parseKernel("update", typed("%p: $P, %g: $P, %m: $P, %v: $P, %r: tensor<f64>, %s: tensor<f64>, %n: tensor<@>", typed(type, "")),
                      typed("$P, $P, $P", typed(type, "")),
                      typed(R"(
    %b = moe.constant dense<0.9> : tensor<@>
    %c = moe.constant dense<0.1> : tensor<@>
    %e = moe.constant dense<1.0e-8> : tensor<@>
    %l = moe.constant dense<-0.105> : tensor<f64>
    %one = moe.constant dense<1.0> : tensor<f64>
    %k = moe.mul %g, %n : $P, tensor<@>
    %m1 = moe.mul %m, %b : $P, tensor<@>
    %m2 = moe.mul %k, %c : $P, tensor<@>
    %m3 = moe.add %m1, %m2 : $P, $P
    %q = moe.mul %k, %k : $P, $P
    %v1 = moe.mul %v, %b : $P, tensor<@>
    %v2 = moe.mul %q, %c : $P, tensor<@>
    %v3 = moe.add %v1, %v2 : $P, $P
    %x = moe.mul %s, %l : tensor<f64>, tensor<f64>
    %y = moe.exp %x : tensor<f64>
    %z = moe.sub %one, %y : tensor<f64>, tensor<f64>
    %a = moe.div %r, %z : tensor<f64>, tensor<f64>
    %w = moe.cast %a to @ : tensor<f64>
    %root = moe.sqrt %v3 : $P
    %under = moe.add %root, %e : $P, tensor<@>
    %step = moe.div %m3, %under : $P, $P
    %d = moe.mul %step, %w : $P, tensor<@>
    %t = moe.sub %p, %d : $P, $P
    moe.yield %t, %m3, %v3 : $P, $P, $P)",
                            typed(type, ""))),
          options, {{0, 0}, {1, 2}, {2, 3}});
  }
}

/// A parameter beside its master weights, whose gradient is set to zeros: results of two dtypes.
TEST_P(UpdateCuda, masterWeightsAndAClearedGradient) {
  check(parseKernel("update", typed("%p: tensor<33x9x@>, %master: tensor<33x9xf32>, %g: tensor<33x9x@>, %r: tensor<f64>", ""),
                    typed("tensor<33x9x@>, tensor<33x9xf32>, tensor<33x9x@>", ""),
                    typed(R"(
    %h = moe.cast %g to f32 : tensor<33x9x@>
    %w = moe.cast %r to f32 : tensor<f64>
    %d = moe.mul %h, %w : tensor<33x9xf32>, tensor<f32>
    %m = moe.sub %master, %d : tensor<33x9xf32>, tensor<33x9xf32>
    %b = moe.cast %m to @ : tensor<33x9xf32>
    %z = moe.constant dense<0.0> : tensor<@>
    %k = moe.compare eq %g, %g : tensor<33x9x@>, tensor<33x9x@>
    %c = moe.where %k, %z, %g : tensor<33x9xi1>, tensor<@>, tensor<33x9x@>
    moe.yield %b, %m, %c : tensor<33x9x@>, tensor<33x9xf32>, tensor<33x9x@>)",
                          "")),
        {}, {{0, 0}, {1, 1}, {2, 2}});
}

/// What one result's memory held is still wanted for the other: all is read before anything is written.
TEST_P(UpdateCuda, twoArgumentsChangePlaces) {
  check(parseKernel("update", typed("%a: tensor<700x@>, %b: tensor<700x@>", ""), typed("tensor<700x@>, tensor<700x@>", ""),
                    typed(R"(
    %x = moe.sub %b, %a : tensor<700x@>, tensor<700x@>
    %y = moe.add %a, %b : tensor<700x@>, tensor<700x@>
    moe.yield %x, %y : tensor<700x@>, tensor<700x@>)",
                          "")),
        {}, {{0, 0}, {1, 1}});
}

TEST_P(UpdateCuda, aScalarParameter) {
  check(parseKernel("update", typed("%p: tensor<@>, %g: tensor<@>", ""), typed("tensor<@>", ""),
                    typed(R"(
    %t = moe.sub %p, %g : tensor<@>, tensor<@>
    moe.yield %t : tensor<@>)",
                          "")),
        {}, {{0, 0}});
}

TEST(UpdateOfManyCuda, tensorsFindTheirBuffers) {
  MOEC_SKIP_WITHOUT_NVRTC();
  ManyTensors many = manyUpdates();
  ParsedKernel kernel = parseKernel("update", many.arguments, many.results, many.body);
  CudaOptions options{.check = {.inputs = many.inputs}};
  CudaRun apart = checkCuda(kernel, options);
  options.inPlace = many.inPlace;
  CudaRun within = checkCuda(kernel, options);
  for (size_t i = 0; i < apart.outputs.size(); ++i)
    EXPECT_EQ(std::memcmp(apart.outputs[i].data(), within.outputs[i].data(), apart.outputs[i].bytes()), 0) << "result " << i;
}

/// So many that their table does not fit constant memory: it stands in global memory, and each tensor still finds its own buffers.
TEST(UpdateOfManyCuda, tablesBeyondConstantMemory) {
  MOEC_SKIP_WITHOUT_NVRTC();
  constexpr int kTensors = 600;
  std::string arguments, results, body, yielded;
  for (int i = 0; i < kTensors; ++i) {
    std::string type = fmt::format("tensor<{}xf32>", 1 + i % 7), comma = i ? ", " : "";
    arguments += fmt::format("{0}%p{1}: {2}, %g{1}: {2}", comma, i, type);
    body += fmt::format("%r{0} = moe.sub %p{0}, %g{0} : {1}, {1}\n", i, type);
    yielded += fmt::format("{}%r{}", comma, i);
    results += comma + type;
  }
  CudaRun run = checkCuda(parseKernel("update", arguments, results, fmt::format("{}moe.yield {} : {}", body, yielded, results)), {.check = {.exact = true}});
  EXPECT_NE(run.text.find("__device__ const long long members0[1024][5]"), std::string::npos);
  EXPECT_EQ(run.text.find("__constant__ const long long members"), std::string::npos);
}

TEST(TotalsCuda, normsOfTensorsOfManySizes) {
  MOEC_SKIP_WITHOUT_NVRTC();
  for (const char* dtype : {"f32", "f64", "bf16"}) {
    SCOPED_TRACE(dtype);
    ManyTensors norm = normOf(dtype);
    checkCuda(parseKernel("totals", norm.arguments, norm.results, norm.body), {});
  }
}

TEST(TotalsCuda, aTensorThatIsReadTwice) {
  MOEC_SKIP_WITHOUT_NVRTC();
  checkCuda(parseKernel("totals", "%x: tensor<9333xf32>, %y: tensor<9333xf32>, %k: tensor<f32>", "tensor<f32>, tensor<f32>", R"(
    %p = moe.mul %x, %y : tensor<9333xf32>, tensor<9333xf32>
    %q = moe.mul %x, %k : tensor<9333xf32>, tensor<f32>
    %a = moe.reduce sum %p axis 0 : tensor<9333xf32>
    %b = moe.reduce mean %q axis 0 : tensor<9333xf32>
    %d = moe.add %a, %k : tensor<f32>, tensor<f32>
    moe.yield %d, %b : tensor<f32>, tensor<f32>)"),
            {});
}

INSTANTIATE_TEST_SUITE_P(Floats, UpdateCuda, ::testing::Values("f32", "f64", "bf16"), [](const auto& info) { return std::string(info.param); });

} // namespace
} // namespace moec::testing
