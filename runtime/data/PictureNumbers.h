#pragma once
// A picture's points as a model's input, by the rule that the model gives for it (runtime/io/Photo.h), and with the same bits; quicker where no size changes.

#include "runtime/core/Plan.h"
#include "runtime/data/Dataset.h"

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace moec::data {

class PictureNumbers {
public:
  /// Of a field of u8 or f32 points: (height, width), (channels, height, width) or, where its first size is neither 1 nor 3, (height, width, channels). `input`
  /// is of one picture, without the batch: (channels, height, width), sizes that are symbols taken from the field; or of any other sizes with as many numbers
  /// as there are points, which they fill in their order without a rule. Error(Data) beginning with `where` when they do not fit: sizes that differ where the
  /// rule does not resize, a number of channels.
  PictureNumbers(const Field& field, const InputInfo& input, const std::string& where);

  const Shape& shape() const { return shape_; }
  /// Numbers of the input's dtype.
  void convert(const std::byte* points, std::byte* numbers, const std::string& where) const;

private:
  void resized(const std::byte* points, std::byte* numbers, const std::string& where) const;

  InputInfo input_;                               // (channels, height, width)
  Shape shape_;                                   // of the input
  bool floats_ = false;                           // points are floats of [0, 1]
  int64_t channels_ = 1, height_ = 0, width_ = 0; // of the field
  int64_t channelStride_ = 0, pointStride_ = 0;
  bool keepsSize_ = false;
  int64_t outChannels_ = 1;
  std::vector<std::byte> table_; // (out channels, 256): the number for each point
};

} // namespace moec::data
