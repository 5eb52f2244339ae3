#pragma once
// cuBLAS, opened at run time: what the grouped product needs of it. Prototypes are our own, so no CUDA header is
// needed.

#include "runtime/device/cuda/CudaContext.h"

#include <string>
#include <vector>

namespace moec::bench {

// X(member, exported symbol, parameters). cublasStatus_t and cublasOperation_t are ints; of a grouped product the
// arrays of pointers lie on the device, all others on the host.
#define MOEC_CUBLAS_FUNCTIONS(X)                                                                                                                              \
  X(create, cublasCreate_v2, (void** handle))                                                                                                                 \
  X(destroy, cublasDestroy_v2, (void* handle))                                                                                                                \
  X(getVersion, cublasGetVersion_v2, (void* handle, int* version))                                                                                            \
  X(setStream, cublasSetStream_v2, (void* handle, cuda::Stream stream))                                                                                       \
  X(groupedProduct, cublasSgemmGroupedBatched,                                                                                                                \
    (void* handle, const int* transA, const int* transB, const int* m, const int* n, const int* k, const float* alpha, const float* const* a, const int* lda, \
     const float* const* b, const int* ldb, const float* beta, float* const* c, const int* ldc, int groups, const int* sizes))

struct CublasTable {
#define MOEC_MEMBER(member, symbol, parameters) int(*member) parameters = nullptr;
  MOEC_CUBLAS_FUNCTIONS(MOEC_MEMBER)
#undef MOEC_MEMBER
};

/// Opened at the first call and kept. Null when it is not there or too old; then `problem` says where it was looked for
/// or what it lacks.
const CublasTable* cublasTable(std::string* problem);

/// For each expert its rows times the transpose of its weights, fp32: c (R, N) = a (R, K) times w (E, N, K), rows
/// [offsets[e], offsets[e+1]) are expert e's.
class GroupedProduct {
public:
  /// Error(Device) when cuBLAS or the GPU refuses.
  GroupedProduct(std::shared_ptr<const CudaContext> context, const CublasTable& table, void* handle, cuda::DevicePtr a, cuda::DevicePtr w, cuda::DevicePtr c,
                 const std::vector<int>& offsets, int columns, int depth);
  void run() const;

private:
  std::shared_ptr<const CudaContext> context_;
  const CublasTable& table_;
  void* handle_;
  std::vector<int> transA_, transB_, m_, n_, k_, lda_, ldb_, ldc_, sizes_; // by group: an expert that has rows
  std::vector<float> alpha_, beta_;
  DeviceMemory pointers_; // of all a, then all b, then all c
};

/// A cuBLAS handle on a stream.
class CublasHandle {
public:
  CublasHandle(std::shared_ptr<const CudaContext> context, const CublasTable& table, cuda::Stream stream);
  ~CublasHandle();
  CublasHandle(const CublasHandle&) = delete;
  CublasHandle& operator=(const CublasHandle&) = delete;
  void* get() const { return handle_; }
  std::string version() const; // "13.1.0"

private:
  std::shared_ptr<const CudaContext> context_;
  const CublasTable& table_;
  void* handle_ = nullptr;
};

} // namespace moec::bench
