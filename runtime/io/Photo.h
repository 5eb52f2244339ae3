#pragma once
// A picture as a model's input, by the rule the model gives for it.

#include "runtime/core/Plan.h"
#include "runtime/core/Tensor.h"

#include <string>

namespace moec {

/// `picture` (u8[height, width, 3]) as [1, channels, H, W], or [channels, H, W] when the input has three sizes: value =
/// (pixel / 255 - mean) / std per channel. One channel: luma 0.299 R + 0.587 G + 0.114 B, before the resize. A symbolic
/// H or W takes the picture's own. Stretch samples bilinearly at pixel centres ((i + 0.5) * in / out - 0.5, clamped to
/// the picture), without smoothing when it shrinks. Error(Data) naming both sizes when they differ and the rule has no
/// resize; Error(Model) when the input cannot hold a picture.
Tensor photoToInput(const Tensor& picture, const InputInfo& input, const std::string& where);

} // namespace moec
