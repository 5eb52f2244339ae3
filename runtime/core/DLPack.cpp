#include "runtime/core/DLPack.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <memory>

// The layout of DLPack 1.0 (dlpack.h), which all its 1.x versions keep.
struct DLPackVersion {
  uint32_t major, minor;
};
struct DLDevice {
  int32_t type, id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides; // in elements; null: row-major (before 1.2)
  uint64_t byteOffset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* context;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};

namespace moec {

namespace {

constexpr uint32_t kMajor = 1, kMinor = 0;
constexpr int32_t kCpu = 1, kCudaHost = 3; // the second is page-locked memory of the CPU
constexpr uint64_t kReadOnly = 1;

struct TypeCode {
  DType type;
  uint8_t code, bits;
};
constexpr TypeCode kTypes[] = {{DType::F64, 2, 64}, {DType::F32, 2, 32}, {DType::BF16, 4, 16}, {DType::I64, 0, 64},
                               {DType::I32, 0, 32}, {DType::U8, 1, 8},   {DType::Bool, 6, 8}};

/// What a managed tensor of ours points to.
template <class Managed> struct Exported {
  Managed managed{};
  Tensor tensor;
  Shape shape, strides;
};

template <class Managed> Managed* exported(const Tensor& tensor) {
  auto owner = std::make_unique<Exported<Managed>>();
  owner->tensor = tensor;
  owner->shape = tensor.shape();
  owner->strides.resize(owner->shape.size());
  int64_t stride = 1;
  for (size_t i = owner->shape.size(); i-- > 0; stride *= owner->shape[i])
    owner->strides[i] = stride;
  DLTensor& view = owner->managed.tensor;
  view.data = tensor.data();
  view.device = {kCpu, 0};
  view.ndim = static_cast<int32_t>(owner->shape.size());
  for (const TypeCode& known : kTypes)
    if (known.type == tensor.dtype())
      view.dtype = {known.code, known.bits, 1};
  view.shape = owner->shape.data();
  view.strides = owner->strides.data();
  owner->managed.context = owner.get();
  owner->managed.deleter = [](Managed* managed) { delete static_cast<Exported<Managed>*>(managed->context); };
  return &owner.release()->managed;
}

[[noreturn]] void refuse(const std::string& what) { throw Error(Fault::Usage, "a DLPack tensor cannot be taken over: " + what); }

DType dtypeOf(const DLDataType& type) {
  for (const TypeCode& known : kTypes)
    if (type.code == known.code && type.bits == known.bits && type.lanes == 1)
      return known.type;
  refuse(fmt::format("its elements have type code {}, {} bits and {} lanes; moec takes f64, f32, bf16, i64, i32, u8 and bool of one lane", type.code, type.bits,
                     type.lanes));
}

Shape shapeOf(const DLTensor& view) {
  if (view.ndim < 0 || (view.ndim > 0 && !view.shape))
    refuse("it has no shape");
  Shape shape(view.shape, view.shape + view.ndim);
  bool empty = false;
  for (int64_t size : shape) {
    if (size < 0)
      refuse(fmt::format("a size of its shape is {}", size));
    empty |= size == 0;
  }
  int64_t stride = 1;
  for (size_t i = shape.size(); view.strides && !empty && i-- > 0; stride *= shape[i]) {
    if (shape[i] != 1 && view.strides[i] != stride)
      refuse(fmt::format("it is not row-major: stride {} of dimension {}, {} expected; make a contiguous copy first", view.strides[i], i, stride));
    if (stride > (int64_t{1} << 48) / shape[i])
      refuse("it has more than 2^48 elements");
  }
  return shape;
}

template <class Managed> Tensor imported(Managed* managed) {
  const DLTensor& view = managed->tensor;
  if (view.device.type != kCpu && view.device.type != kCudaHost)
    refuse(fmt::format("it lies on a device of type {}; copy it to the CPU first", view.device.type));
  DType type = dtypeOf(view.dtype);
  Shape shape = shapeOf(view);
  void* data = static_cast<char*>(view.data) + view.byteOffset;
  if (!view.data && Tensor::borrow(nullptr, shape, type).elements() > 0)
    refuse("it has no data");
  // A tensor that is refused still belongs to the caller: the deleter comes last.
  Tensor tensor = Tensor::borrow(data, shape, type);
  return Tensor::share(std::shared_ptr<void>(data,
                                             [managed](void*) {
                                               if (managed->deleter)
                                                 managed->deleter(managed);
                                             }),
                       data, std::move(shape), type);
}

} // namespace

DLManagedTensorVersioned* toDLPack(const Tensor& tensor) {
  DLManagedTensorVersioned* managed = exported<DLManagedTensorVersioned>(tensor);
  managed->version = {kMajor, kMinor};
  return managed;
}

DLManagedTensor* toUnversionedDLPack(const Tensor& tensor) { return exported<DLManagedTensor>(tensor); }

Tensor fromDLPack(DLManagedTensorVersioned* managed) {
  if (managed->version.major != kMajor)
    refuse(fmt::format("its structure is of DLPack {}.{}; moec knows {}.x", managed->version.major, managed->version.minor, kMajor));
  if (managed->flags & kReadOnly)
    refuse("it is read-only; copy it first");
  return imported(managed);
}

Tensor fromDLPack(DLManagedTensor* managed) { return imported(managed); }

} // namespace moec
