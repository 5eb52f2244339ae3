#pragma once
// The two decoders behind Image.h, one file each because their libraries' error handling must not mix. Same result and
// errors as decodeImage().

#include "runtime/core/Tensor.h"

#include <cstdint>
#include <span>
#include <string>

namespace moec {

Tensor decodePng(std::span<const uint8_t> bytes, const std::string& where);
Tensor decodeJpeg(std::span<const uint8_t> bytes, const std::string& where);

/// Error(Data) for a picture without pixels or with more than kMaxPixels.
void checkPixels(int64_t width, int64_t height, const std::string& where);

} // namespace moec
