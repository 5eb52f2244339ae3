#include "runtime/device/check/RoundedOtherwise.h"

#include <cmath>
#include <limits>
#include <random>

namespace moec {
namespace {

template <class T> void moveByAnUlp(std::span<T> values, std::minstd_rand& random) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  for (T& value : values)
    if (bool up = random() & 1; std::isfinite(value) && value != std::round(value))
      value = std::nextafter(value, up ? infinity : -infinity);
}

class RoundedOtherwise : public Executable {
public:
  RoundedOtherwise(std::unique_ptr<Executable> executable, uint32_t seed) : executable_(std::move(executable)), random_(seed) {}

  const Plan& plan() const override { return executable_->plan(); }
  void bind(const Bindings& bindings) override { executable_->bind(bindings); }
  void write(int buffer, const Tensor& tensor) override {
    if (tensor.dtype() != DType::F32 && tensor.dtype() != DType::F64) // of bf16 an ulp is more than a tolerance forgives
      return executable_->write(buffer, tensor);
    Tensor moved = tensor.clone();
    if (moved.dtype() == DType::F32)
      moveByAnUlp(moved.as<float>(), random_);
    else
      moveByAnUlp(moved.as<double>(), random_);
    executable_->write(buffer, moved);
  }
  Tensor read(int buffer) const override { return executable_->read(buffer); }
  void launch(LaunchList list, int index, const CallScalars& scalars) override {
    executable_->launch(list, index, scalars);
    for (int buffer : plan().launches(list)[static_cast<size_t>(index)].outputs)
      if (isFloat(plan().buffers[static_cast<size_t>(buffer)].dtype))
        write(buffer, executable_->read(buffer));
  }
  void releaseUnusedParameters() override { executable_->releaseUnusedParameters(); }

private:
  std::unique_ptr<Executable> executable_;
  std::minstd_rand random_;
};

} // namespace

std::unique_ptr<Executable> roundedOtherwise(std::unique_ptr<Executable> executable, uint32_t seed) {
  return std::make_unique<RoundedOtherwise>(std::move(executable), seed);
}

} // namespace moec
