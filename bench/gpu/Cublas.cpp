#include "bench/gpu/Cublas.h"

#include "runtime/core/Error.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace moec::bench {
namespace {

struct Opened {
  CublasTable table;
  std::string problem;
};

Opened open() {
  Opened opened;
  // By the loader's search path (LD_LIBRARY_PATH, its cache), then where the toolkit's packages put it. It finds
  // libcublasLt beside itself.
  const char* places[] = {"libcublas.so.13", "libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so.12"};
  void* library = nullptr;
  std::string looked;
  for (const char* place : places) {
    if ((library = dlopen(place, RTLD_NOW | RTLD_LOCAL)))
      break;
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", place);
  }
  if (!library) {
    opened.problem = "cuBLAS is not there: looked for " + looked + " (LD_LIBRARY_PATH may name its folder)";
    return opened;
  }
  std::string missing;
#define MOEC_LOAD(member, symbol, parameters)                                       \
  if (void* address = dlsym(library, #symbol))                                      \
    opened.table.member = reinterpret_cast<decltype(opened.table.member)>(address); \
  else                                                                              \
    missing += " " #symbol;
  MOEC_CUBLAS_FUNCTIONS(MOEC_LOAD)
#undef MOEC_LOAD
  if (!missing.empty())
    opened.problem = fmt::format("this cuBLAS is too old, it lacks:{}", missing);
  return opened;
}

void check(int status, const char* doing) {
  if (status != 0)
    throw Error(Fault::Device, fmt::format("cuBLAS cannot {}: cublasStatus_t {}", doing, status));
}

constexpr int kPlain = 0, kTransposed = 1; // cublasOperation_t

} // namespace

const CublasTable* cublasTable(std::string* problem) {
  static const Opened opened = open();
  if (opened.problem.empty())
    return &opened.table;
  if (problem)
    *problem = opened.problem;
  return nullptr;
}

CublasHandle::CublasHandle(std::shared_ptr<const CudaContext> context, const CublasTable& table, cuda::Stream stream)
    : context_(std::move(context)), table_(table) {
  CudaContext::Current current(*context_);
  check(table_.create(&handle_), "start");
  check(table_.setStream(handle_, stream), "take the stream");
}

CublasHandle::~CublasHandle() {
  CudaContext::Current current(*context_);
  table_.destroy(handle_);
}

std::string CublasHandle::version() const {
  int version = 0; // 130100: 13.1.0
  check(table_.getVersion(handle_, &version), "say its version");
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

// cuBLAS sees columns where rows are: c transposed (N, rows) = w (N, K) times a transposed (K, rows). A row of K
// elements is a column there, so that w is given as K x N, transposed, and a as K x rows, as it is.
GroupedProduct::GroupedProduct(std::shared_ptr<const CudaContext> context, const CublasTable& table, void* handle, cuda::DevicePtr a, cuda::DevicePtr w,
                               cuda::DevicePtr c, const std::vector<int>& offsets, int columns, int depth)
    : context_(std::move(context)), table_(table), handle_(handle) {
  std::vector<cuda::DevicePtr> ofW, ofA, ofC;
  for (size_t expert = 0; expert + 1 < offsets.size(); ++expert) {
    int rows = offsets[expert + 1] - offsets[expert];
    if (rows == 0)
      continue;
    transA_.push_back(kTransposed);
    transB_.push_back(kPlain);
    m_.push_back(columns);
    n_.push_back(rows);
    k_.push_back(depth);
    lda_.push_back(depth);
    ldb_.push_back(depth);
    ldc_.push_back(columns);
    sizes_.push_back(1);
    alpha_.push_back(1);
    beta_.push_back(0);
    ofW.push_back(w + sizeof(float) * expert * static_cast<size_t>(columns) * static_cast<size_t>(depth));
    ofA.push_back(a + sizeof(float) * static_cast<size_t>(offsets[expert]) * static_cast<size_t>(depth));
    ofC.push_back(c + sizeof(float) * static_cast<size_t>(offsets[expert]) * static_cast<size_t>(columns));
  }
  std::vector<cuda::DevicePtr> all = ofW;
  all.insert(all.end(), ofA.begin(), ofA.end());
  all.insert(all.end(), ofC.begin(), ofC.end());
  CudaContext::Current current(*context_);
  pointers_ = DeviceMemory(context_, all.size() * sizeof(cuda::DevicePtr), "the products' pointers");
  context_->check(context_->table().copyToDevice(pointers_.pointer(), all.data(), pointers_.bytes()), "copy the products' pointers");
  context_->check(context_->table().contextSynchronize(),
                  "copy the products' pointers"); // the copy is not ordered with the handle's stream
}

void GroupedProduct::run() const {
  CudaContext::Current current(*context_);
  size_t groups = m_.size();
  auto pointers = [&](size_t which) { return pointers_.pointer() + which * groups * sizeof(cuda::DevicePtr); };
  check(table_.groupedProduct(handle_, transA_.data(), transB_.data(), m_.data(), n_.data(), k_.data(), alpha_.data(),
                              reinterpret_cast<const float* const*>(pointers(0)), lda_.data(), reinterpret_cast<const float* const*>(pointers(1)), ldb_.data(),
                              beta_.data(), reinterpret_cast<float* const*>(pointers(2)), ldc_.data(), static_cast<int>(groups), sizes_.data()),
        "multiply");
}

} // namespace moec::bench
