#include "runtime/core/Tensor.h"

#include "runtime/core/BFloat16.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>

#include <sys/mman.h>

namespace moec {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 48;
constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kPage = 4096;
constexpr size_t kLarge = size_t{128} << 10; // bytes, beside which a page more is little

/// Wishes for huge pages where a fresh block has whole ones: weights are read as fast as memory gives them, and with pages of 4 KiB finding their places is a
/// sixth of the time (Zen 4, two threads: 48 GB/s against 57). No more memory is taken than the block's.
void wishHugePages(void* block, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  auto start = reinterpret_cast<uintptr_t>(block), first = (start + kHugePage - 1) / kHugePage * kHugePage, end = (start + bytes) / kHugePage * kHugePage;
  if (first < end)
    madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE); // where the system has none, nothing changes but the time
#endif
}

/// Where in a page the next large tensor begins. Blocks of the system begin with pages, all at the same place of one: as elements of a weight and its
/// optimizer's states, which are read and written together, would lie in the same few lines of the first caches, which hold eight of such. (Zen 3, two weights
/// of 4 x 256 x 256 in f64, updated by adam behind the products that make their gradients: 2.2 ms, and 1.5 since they lie apart.)
size_t nextPlaceInPage() {
  constexpr size_t places = kPage / kAlignment, apart = 5; // lines, in an order in which neighbours are some apart and none comes twice before all have
  static std::atomic<size_t> count{0};
  return count.fetch_add(1, std::memory_order_relaxed) * apart % places * kAlignment;
}

/// The first address from `block` on that is so many bytes behind one of multiples of `unit`.
void* firstAt(void* block, size_t place, size_t unit) {
  auto address = reinterpret_cast<uintptr_t>(block);
  return reinterpret_cast<void*>(address + (place + unit - address % unit) % unit);
}

/// The C++ type of a dtype's elements is `T`.
template <class T> bool holds(DType type) {
  switch (type) {
  case DType::F64:
    return std::is_same_v<T, double>;
  case DType::F32:
    return std::is_same_v<T, float>;
  case DType::BF16:
    return std::is_same_v<T, uint16_t>;
  case DType::I64:
    return std::is_same_v<T, int64_t>;
  case DType::I32:
    return std::is_same_v<T, int32_t>;
  case DType::U8:
  case DType::Bool:
    return std::is_same_v<T, uint8_t>;
  }
  return false;
}

template <class T> constexpr DType dtypeOf();
template <> constexpr DType dtypeOf<double>() { return DType::F64; }
template <> constexpr DType dtypeOf<float>() { return DType::F32; }
template <> constexpr DType dtypeOf<int64_t>() { return DType::I64; }
template <> constexpr DType dtypeOf<int32_t>() { return DType::I32; }
template <> constexpr DType dtypeOf<uint8_t>() { return DType::U8; }

void checkShape(DType type, const Shape& shape) {
  int64_t bytes = static_cast<int64_t>(byteSize(type));
  bool empty = false;
  for (int64_t size : shape) {
    if (size < 0)
      throw Error(Fault::Data, "negative size in the shape of " + describe(type, shape));
    empty |= size == 0;
  }
  for (int64_t size : shape)
    if (!empty && (__builtin_mul_overflow(bytes, size, &bytes) || bytes > kMaxBytes))
      throw Error(Fault::Data, describe(type, shape) + " takes more than 2^48 bytes");
}

[[noreturn]] void failCast(const std::string& value, DType type) { throw Error(Fault::Data, fmt::format("{} is no value of {}", value, name(type))); }

/// One element as an integer of [low, high], exactly.
template <class From> int64_t toInteger(From value, int64_t low, int64_t high, DType type) {
  if constexpr (std::is_floating_point_v<From>) {
    double wide = value;
    // high + 1 is a power of two (or 2), so exact in double where high is not.
    if (!(wide >= static_cast<double>(low) && wide < static_cast<double>(high) + 1.0) || wide != std::trunc(wide))
      failCast(fmt::format("{}", wide), type);
    return static_cast<int64_t>(wide);
  } else {
    int64_t wide = value;
    if (wide < low || wide > high)
      failCast(std::to_string(wide), type);
    return wide;
  }
}

/// Calls `visit` with a function that gives element i, as double, float, bf16 widened to float, or an integer.
template <class Visit> void withElements(const Tensor& tensor, Visit visit) {
  const void* data = tensor.data();
  switch (tensor.dtype()) {
  case DType::F64:
    return visit([p = static_cast<const double*>(data)](int64_t i) { return p[i]; });
  case DType::F32:
    return visit([p = static_cast<const float*>(data)](int64_t i) { return p[i]; });
  case DType::BF16:
    return visit([p = static_cast<const uint16_t*>(data)](int64_t i) { return bf16ToFloat(p[i]); });
  case DType::I64:
    return visit([p = static_cast<const int64_t*>(data)](int64_t i) { return p[i]; });
  case DType::I32:
    return visit([p = static_cast<const int32_t*>(data)](int64_t i) { return p[i]; });
  case DType::U8:
  case DType::Bool:
    return visit([p = static_cast<const uint8_t*>(data)](int64_t i) { return p[i]; });
  }
}

} // namespace

Tensor::Tensor(DType type, Shape shape) : shape_(std::move(shape)), type_(type) {
  checkShape(type_, shape_);
  if (elements() == 0)
    return;
  // calloc takes large blocks fresh from the system, already zero; the start is aligned by hand.
  bool isLarge = bytes() >= kLarge;
  size_t unit = isLarge ? kPage : kAlignment;
  void* block = std::calloc(bytes() + unit, 1);
  if (!block)
    throw Error(Fault::System, fmt::format("no memory for {} ({} bytes)", describe(type_, shape_), bytes()));
  wishHugePages(block, bytes());
  owner_ = std::shared_ptr<void>(block, std::free);
  data_ = firstAt(block, isLarge ? nextPlaceInPage() : 0, unit);
}

Tensor Tensor::borrow(void* data, Shape shape, DType type) { return share(nullptr, data, std::move(shape), type); }

Tensor Tensor::share(std::shared_ptr<void> owner, void* data, Shape shape, DType type) {
  checkShape(type, shape);
  Tensor tensor;
  tensor.owner_ = std::move(owner);
  tensor.data_ = data;
  tensor.shape_ = std::move(shape);
  tensor.type_ = type;
  return tensor;
}

template <class T> Tensor Tensor::of(std::vector<T> values, Shape shape) {
  Tensor tensor(dtypeOf<T>(), std::move(shape));
  if (static_cast<size_t>(tensor.elements()) != values.size())
    throw Error(Fault::Internal, fmt::format("{} values for {}", values.size(), describe(tensor)));
  if (!values.empty())
    std::memcpy(tensor.data(), values.data(), tensor.bytes());
  return tensor;
}
template Tensor Tensor::of(std::vector<double>, Shape);
template Tensor Tensor::of(std::vector<float>, Shape);
template Tensor Tensor::of(std::vector<int64_t>, Shape);
template Tensor Tensor::of(std::vector<int32_t>, Shape);
template Tensor Tensor::of(std::vector<uint8_t>, Shape);

int64_t Tensor::elements() const {
  int64_t count = 1;
  for (int64_t size : shape_) // a zero may stand behind sizes whose product overflows
    if (size == 0)
      return 0;
  for (int64_t size : shape_)
    count *= size;
  return count;
}

template <class T> std::span<T> Tensor::as() const {
  if (!holds<std::remove_const_t<T>>(type_))
    throw Error(Fault::Internal, describe(*this) + " is read as another type");
  return {static_cast<T*>(data_), static_cast<size_t>(data_ ? elements() : 0)};
}
#define MOEC_INSTANTIATE_AS(T)                 \
  template std::span<T> Tensor::as<T>() const; \
  template std::span<const T> Tensor::as<const T>() const;
MOEC_INSTANTIATE_AS(double)
MOEC_INSTANTIATE_AS(float)
MOEC_INSTANTIATE_AS(uint16_t)
MOEC_INSTANTIATE_AS(int64_t)
MOEC_INSTANTIATE_AS(int32_t)
MOEC_INSTANTIATE_AS(uint8_t)
#undef MOEC_INSTANTIATE_AS

std::vector<double> Tensor::toDoubles() const {
  std::vector<double> values(data_ ? static_cast<size_t>(elements()) : 0);
  withElements(*this, [&](auto element) {
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<double>(element(static_cast<int64_t>(i)));
  });
  return values;
}

Tensor Tensor::cast(DType type) const {
  if (type == type_)
    return clone();
  Tensor result(type, shape_);
  int64_t count = data_ ? elements() : 0;
  withElements(*this, [&](auto element) {
    auto fill = [&](auto* to, auto convert) {
      for (int64_t i = 0; i < count; ++i)
        to[i] = convert(element(i));
    };
    void* to = result.data_;
    constexpr int64_t min32 = std::numeric_limits<int32_t>::min(), max32 = std::numeric_limits<int32_t>::max();
    constexpr int64_t min64 = std::numeric_limits<int64_t>::min(), max64 = std::numeric_limits<int64_t>::max();
    switch (type) {
    case DType::F64:
      return fill(static_cast<double*>(to), [](auto v) { return static_cast<double>(v); });
    case DType::F32:
      return fill(static_cast<float*>(to), [](auto v) { return static_cast<float>(v); });
    case DType::BF16:
      return fill(static_cast<uint16_t*>(to), [](auto v) { return bf16FromDouble(static_cast<double>(v)); });
    case DType::I64:
      return fill(static_cast<int64_t*>(to), [&](auto v) { return toInteger(v, min64, max64, type); });
    case DType::I32:
      return fill(static_cast<int32_t*>(to), [&](auto v) { return static_cast<int32_t>(toInteger(v, min32, max32, type)); });
    case DType::U8:
      return fill(static_cast<uint8_t*>(to), [&](auto v) { return static_cast<uint8_t>(toInteger(v, 0, 255, type)); });
    case DType::Bool:
      return fill(static_cast<uint8_t*>(to), [&](auto v) { return static_cast<uint8_t>(toInteger(v, 0, 1, type)); });
    }
  });
  return result;
}

Tensor Tensor::clone() const {
  Tensor copy(type_, shape_);
  if (data_ && copy.data_)
    std::memcpy(copy.data_, data_, bytes());
  return copy;
}

Tensor Tensor::reshaped(Shape shape) const {
  checkShape(type_, shape);
  Tensor result = *this;
  result.shape_ = std::move(shape);
  if (result.elements() != elements())
    throw Error(Fault::Internal, fmt::format("{} cannot become {}", describe(*this), describe(result)));
  return result;
}

std::string describe(const Tensor& tensor) { return describe(tensor.dtype(), tensor.shape()); }

std::string describe(DType type, const Shape& shape) { return fmt::format("{}[{}]", name(type), fmt::join(shape, ", ")); }

} // namespace moec
