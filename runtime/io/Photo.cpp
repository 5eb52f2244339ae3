#include "runtime/io/Photo.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moec {

namespace {

/// Where an output coordinate falls between two input coordinates.
struct Sample {
  int64_t low, high;
  double weight; // of high
};

std::vector<Sample> samples(int64_t from, int64_t to) {
  std::vector<Sample> result;
  double ratio = static_cast<double>(from) / static_cast<double>(to);
  for (int64_t i = 0; i < to; ++i) {
    double place = std::clamp((static_cast<double>(i) + 0.5) * ratio - 0.5, 0.0, static_cast<double>(from - 1));
    auto low = static_cast<int64_t>(place);
    result.push_back({low, std::min(low + 1, from - 1), place - static_cast<double>(low)});
  }
  return result;
}

/// A point's value in a channel, or its luma, 0..255.
double valueOf(const uint8_t* point, int64_t channels, int64_t channel) {
  return channels == 3 ? point[channel] : 0.299 * point[0] + 0.587 * point[1] + 0.114 * point[2];
}

} // namespace

Tensor photoToInput(const Tensor& picture, const InputInfo& input, const std::string& where) {
  const PhotoRule rule = input.photo.value_or(PhotoRule{});
  auto cannotHold = [&](const std::string& why) {
    return Error(Fault::Model, fmt::format("{}: a picture cannot be input \"{}\": {}", where, input.name, why));
  };
  size_t rank = input.shape.size();
  if (rank != 3 && rank != 4)
    throw cannotHold(fmt::format("it has {} sizes, expected [batch, channels, height, width]", rank));
  if (!isFloat(input.dtype))
    throw cannotHold(fmt::format("it holds {} numbers", name(input.dtype)));
  auto channels = input.shape[rank - 3].constant();
  if (channels != 1 && channels != 3)
    throw cannotHold(fmt::format("it has {} channels, expected 1 or 3", input.shape[rank - 3].str()));
  if (rank == 4 && input.shape[0].constant().value_or(1) != 1)
    throw cannotHold(fmt::format("it takes exactly {} pictures at once", input.shape[0].str()));
  for (const auto* list : {&rule.mean, &rule.std})
    if (!list->empty() && static_cast<int64_t>(list->size()) != *channels)
      throw cannotHold(fmt::format("its photo rule has {} numbers for {} channels", list->size(), *channels));

  int64_t fromHeight = picture.shape()[0], fromWidth = picture.shape()[1];
  int64_t height = input.shape[rank - 2].constant().value_or(fromHeight), width = input.shape[rank - 1].constant().value_or(fromWidth);
  if (rule.resize == PhotoRule::Resize::None && (height != fromHeight || width != fromWidth))
    throw Error(Fault::Data, fmt::format("{}: the picture is {} wide and {} high, input \"{}\" takes {} by {}; resize "
                                         "it, or give the model's input a "
                                         "\"photo\": {{\"resize\": \"stretch\"}}",
                                         where, fromWidth, fromHeight, input.name, width, height));

  Tensor result(DType::F64, {1, *channels, height, width});
  auto out = result.as<double>().begin();
  auto pixels = picture.as<uint8_t>();
  auto rows = samples(fromHeight, height), columns = samples(fromWidth, width);
  for (int64_t c = 0; c < *channels; ++c) {
    auto at = [&](int64_t y, int64_t x) { return valueOf(pixels.data() + 3 * (y * fromWidth + x), *channels, c); };
    double mean = rule.mean.empty() ? 0 : rule.mean[static_cast<size_t>(c)], deviation = rule.std.empty() ? 1 : rule.std[static_cast<size_t>(c)];
    for (const Sample& y : rows)
      for (const Sample& x : columns) {
        double top = at(y.low, x.low) * (1 - x.weight) + at(y.low, x.high) * x.weight;
        double bottom = at(y.high, x.low) * (1 - x.weight) + at(y.high, x.high) * x.weight;
        *out++ = ((top * (1 - y.weight) + bottom * y.weight) / 255 - mean) / deviation;
      }
  }
  if (rank == 3)
    result = result.reshaped({*channels, height, width});
  return result.cast(input.dtype);
}

} // namespace moec
