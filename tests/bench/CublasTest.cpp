// What bench/gpu gives to cuBLAS, by a grouped product in plain loops as its manual defines it: columns behind each
// other, C = alpha op(A) op(B) + beta C, pointers on the device, all else on the host.
#include "bench/gpu/Cublas.h"
#include "bench/gpu/ExpertLayer.h"
#include "runtime/core/CudaTarget.h"
#include "runtime/core/Tolerance.h"
#include "runtime/emulator/Emulator.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moec::bench {
namespace {

const cuda::DriverTable& table() { return emulator::emulatorTable("sm_80"); }

std::vector<float> matrix(const float* at, int ld, int columns) {
  std::vector<float> values(static_cast<size_t>(ld) * static_cast<size_t>(columns));
  EXPECT_EQ(table().copyToHost(values.data(), reinterpret_cast<cuda::DevicePtr>(at), values.size() * sizeof(float)), cuda::kSuccess);
  return values;
}

int groupedProduct(void*, const int* transA, const int* transB, const int* m, const int* n, const int* k, const float* alpha, const float* const* a,
                   const int* lda, const float* const* b, const int* ldb, const float* beta, float* const* c, const int* ldc, int groups, const int* sizes) {
  int all = 0;
  for (int group = 0; group < groups; ++group)
    all += sizes[group];
  auto pointers = [&](auto on) {
    std::vector<float*> values(static_cast<size_t>(all));
    EXPECT_EQ(table().copyToHost(values.data(), reinterpret_cast<cuda::DevicePtr>(on), values.size() * sizeof(float*)), cuda::kSuccess);
    return values;
  };
  std::vector<float*> ofA = pointers(a), ofB = pointers(b), ofC = pointers(c);
  size_t problem = 0;
  for (int group = 0; group < groups; ++group)
    for (int i = 0; i < sizes[group]; ++i, ++problem) {
      std::vector<float> x = matrix(ofA[problem], lda[group], transA[group] ? m[group] : k[group]),
                         y = matrix(ofB[problem], ldb[group], transB[group] ? k[group] : n[group]);
      std::vector<float> z(static_cast<size_t>(ldc[group]) * static_cast<size_t>(n[group]));
      if (beta[group] != 0)
        z = matrix(ofC[problem], ldc[group], n[group]);
      for (int column = 0; column < n[group]; ++column)
        for (int row = 0; row < m[group]; ++row) {
          float sum = 0;
          for (int depth = 0; depth < k[group]; ++depth)
            sum += x[static_cast<size_t>(transA[group] ? row * lda[group] + depth : depth * lda[group] + row)] *
                   y[static_cast<size_t>(transB[group] ? depth * ldb[group] + column : column * ldb[group] + depth)];
          float& result = z[static_cast<size_t>(column * ldc[group] + row)];
          result = alpha[group] * sum + beta[group] * result;
        }
      EXPECT_EQ(table().copyToDevice(reinterpret_cast<cuda::DevicePtr>(ofC[problem]), z.data(), z.size() * sizeof(float)), cuda::kSuccess);
    }
  return 0;
}

TEST(Cublas, MultipliesEachExpertsRowsWithItsWeights) {
  auto context = std::make_shared<CudaContext>(CudaPlace{.name = "ptx-emulator:sm_80", .table = &table(), .ordinal = 0, .ptxOnly = true, .watch = nullptr});
  // Three experts, the second without rows: 3 rows of 2 elements, weights (3, 4, 2).
  constexpr int64_t kColumns = 4, kDepth = 2;
  ExpertRows rows{{0, 1, 1, 3}, {0, 0, 1}};
  std::vector<float> a = {1, 2, 3, 5, 7, 11}, w(24), c(12);
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<float>(i + 1);
  CudaContext::Current current(*context);
  auto upload = [&](const std::vector<float>& values) {
    DeviceMemory memory(context, values.size() * sizeof(float), "a test's values");
    EXPECT_EQ(table().copyToDevice(memory.pointer(), values.data(), memory.bytes()), cuda::kSuccess);
    return memory;
  };
  DeviceMemory onA = upload(a), onW = upload(w), onC = upload(c);
  CublasTable cublas;
  cublas.groupedProduct = groupedProduct;
  GroupedProduct product(context, cublas, nullptr, onA.pointer(), onW.pointer(), onC.pointer(), rows.offsets, kColumns, kDepth);
  product.run();
  ASSERT_EQ(table().copyToHost(c.data(), onC.pointer(), onC.bytes()), cuda::kSuccess);
  // Row 0: (1, 2) times expert 0's (1, 2), (3, 4), (5, 6), (7, 8). Rows 1, 2: (3, 5) and (7, 11) times expert 2's (17,
  // 18), (19, 20), (21, 22), (23, 24).
  EXPECT_EQ(c, (std::vector<float>{5, 11, 17, 23, 141, 157, 173, 189, 317, 353, 389, 425}));
  EXPECT_EQ(productError(rows, a.data(), w.data(), c.data(), kColumns, kDepth), 0);
  c[5] += 1; // of 3 * 19 + 5 * 20
  EXPECT_NEAR(productError(rows, a.data(), w.data(), c.data(), kColumns, kDepth), 1.0 / 157, 1e-12);
  c[5] = NAN;
  EXPECT_EQ(productError(rows, a.data(), w.data(), c.data(), kColumns, kDepth), INFINITY);
}

TEST(ExpertLayer, RowsGoToTheBestExperts) {
  // Two tokens of width 1, three experts with scores x, -x and 0 + bias, two choices each.
  TensorMap weights;
  weights.emplace("y.gate.weight", Tensor::of<float>({1, -1, 0}, {3, 1}));
  weights.emplace("y.gate.bias", Tensor::of<float>({0, 0, 0.5}, {3}));
  for (const char* name : {"y.experts.up.weight", "y.experts.up.bias", "y.experts.down.weight", "y.experts.down.bias"})
    weights.emplace(name, Tensor(DType::F32, {3, 4, 1}));
  ExpertLayer layer = ExpertLayer::of(weights, Tensor::of<float>({2, -3}, {2, 1}), 2);
  EXPECT_EQ(layer.experts, 3);
  EXPECT_EQ(layer.hidden, 4);
  ExpertRows rows = rowsOf(layer); // token 0: 2, -2, 0.5; token 1: -3, 3, 0.5
  EXPECT_EQ(rows.offsets, (std::vector<int>{0, 1, 2, 4}));
  EXPECT_EQ(rows.tokens, (std::vector<int>{0, 1, 0, 1}));
}

} // namespace
} // namespace moec::bench
