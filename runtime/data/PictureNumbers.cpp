#include "runtime/data/PictureNumbers.h"

#include "runtime/io/Photo.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace moec::data {

PictureNumbers::PictureNumbers(const Field& field, const InputInfo& input, const std::string& where) : input_(input), floats_(field.dtype == DType::F32) {
  auto wrong = [&](const std::string& what) {
    return Error(Fault::Data, fmt::format("{}: a picture {} does not fit input \"{}\": {}", where, moec::describe(field.dtype, field.shape), input.name, what));
  };
  const Shape& from = field.shape;
  auto isChannels = [](int64_t size) { return size == 1 || size == 3; };
  if (from.size() == 2) {
    height_ = from[0], width_ = from[1], pointStride_ = 1, channelStride_ = 0;
  } else if (from.size() == 3 && isChannels(from[0])) {
    channels_ = from[0], height_ = from[1], width_ = from[2], pointStride_ = 1, channelStride_ = height_ * width_;
  } else if (from.size() == 3 && isChannels(from[2])) {
    height_ = from[0], width_ = from[1], channels_ = from[2], pointStride_ = channels_, channelStride_ = 1;
  } else {
    throw wrong("a picture has a height and a width, and 1 or 3 channels in front of them or behind");
  }
  if (height_ < 1 || width_ < 1)
    throw wrong("it has no points");

  bool isPicture = input_.shape.size() == 3;
  if (!isPicture) {
    int64_t numbers = 1;
    for (const Size& size : input_.shape) {
      if (!size.isConstant())
        throw wrong(fmt::format("a size of it, {}, is open, and it has no channels, height and width", size.str()));
      shape_.push_back(*size.constant());
      if (__builtin_mul_overflow(numbers, shape_.back(), &numbers))
        throw wrong("it has too many numbers");
    }
    if (numbers != channels_ * height_ * width_ || (channels_ > 1 && channelStride_ == 1))
      throw wrong(fmt::format("it takes {} numbers, expected channels, height and width, or {} numbers for its points", numbers, channels_ * height_ * width_));
    input_.shape = {channels_, height_, width_};
    input_.photo.reset();
  }
  for (size_t i : {1, 2})
    if (!input_.shape[i].isConstant())
      input_.shape[i] = i == 1 ? height_ : width_;
  if (!input_.shape[0].isConstant() || !isChannels(*input_.shape[0].constant()))
    throw wrong(fmt::format("it has {} channels, expected 1 or 3", input_.shape[0].str()));
  outChannels_ = *input_.shape[0].constant();
  int64_t height = *input_.shape[1].constant(), width = *input_.shape[2].constant();
  if (isPicture)
    shape_ = {outChannels_, height, width};
  bool fits = height == height_ && width == width_;
  keepsSize_ = fits && (outChannels_ == channels_ || channels_ == 1);
  if (!fits && (!input_.photo || input_.photo->resize == PhotoRule::Resize::None))
    throw wrong(fmt::format("it is {} high and {} wide; give the model's input a \"photo\": {{\"resize\": \"stretch\"}}, or data of its size", height, width));
  if (floats_ && !keepsSize_)
    throw wrong("points that are floats are neither resized nor made grey");
  if (floats_)
    return;
  Tensor every(DType::U8, {16, 16, 3}); // a picture with each point once
  for (size_t i = 0; i < 256; ++i)
    for (size_t c = 0; c < 3; ++c)
      every.as<uint8_t>()[3 * i + c] = static_cast<uint8_t>(i);
  InputInfo one = input_;
  one.shape = {outChannels_, 16, 16};
  Tensor numbers = photoToInput(every, one, where);
  table_.resize(numbers.bytes());
  std::memcpy(table_.data(), numbers.data(), numbers.bytes());
}

void PictureNumbers::convert(const std::byte* points, std::byte* numbers, const std::string& where) const {
  if (!keepsSize_) {
    resized(points, numbers, where);
    return;
  }
  size_t width = byteSize(input_.dtype);
  int64_t count = height_ * width_;
  for (int64_t c = 0; c < outChannels_; ++c) {
    const int64_t begin = channels_ == 1 ? 0 : c * channelStride_;
    std::byte* out = numbers + static_cast<size_t>(c * count) * width;
    if (floats_) {
      Tensor values(DType::F64, {count});
      double mean = input_.photo && !input_.photo->mean.empty() ? input_.photo->mean[static_cast<size_t>(c)] : 0;
      double deviation = input_.photo && !input_.photo->std.empty() ? input_.photo->std[static_cast<size_t>(c)] : 1;
      for (int64_t i = 0; i < count; ++i) {
        float point = 0;
        std::memcpy(&point, points + static_cast<size_t>(begin + i * pointStride_) * sizeof point, sizeof point);
        values.as<double>()[static_cast<size_t>(i)] = (point - mean) / deviation;
      }
      values = values.cast(input_.dtype);
      std::memcpy(out, values.data(), values.bytes());
      continue;
    }
    auto fill = [&](auto number) {
      std::array<decltype(number), 256> row;
      std::memcpy(row.data(), table_.data() + static_cast<size_t>(c) * sizeof row, sizeof row);
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(out + static_cast<size_t>(i) * sizeof number, &row[std::to_integer<size_t>(points[begin + i * pointStride_])], sizeof number);
    };
    switch (width) {
    case 2:
      fill(uint16_t{});
      break;
    case 4:
      fill(uint32_t{});
      break;
    default:
      fill(uint64_t{});
      break;
    }
  }
}

void PictureNumbers::resized(const std::byte* points, std::byte* numbers, const std::string& where) const {
  Tensor picture(DType::U8, {height_, width_, 3});
  auto* out = static_cast<std::byte*>(picture.data());
  for (int64_t i = 0; i < height_ * width_; ++i)
    for (int64_t c = 0; c < 3; ++c)
      *out++ = points[(channels_ == 1 ? 0 : c * channelStride_) + i * pointStride_];
  Tensor result = photoToInput(picture, input_, where);
  std::memcpy(numbers, result.data(), result.bytes());
}

} // namespace moec::data
