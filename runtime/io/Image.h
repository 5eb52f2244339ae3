#pragma once
// Pictures from PNG and JPEG files, by libpng and libjpeg-turbo. Knows nothing of models: Photo.h makes an input of a
// picture.

#include "runtime/core/Tensor.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace moec {

/// Pictures with more pixels are refused before they are decoded.
inline constexpr int64_t kMaxPixels = int64_t{16} * 1024 * 1024;

/// u8[height, width, 3], rows from the top, red first, in sRGB values (those the file stores, unless it names another gamma). Grey
/// becomes three equal channels. Transparent pixels are laid over white: c * a + 1 - a on the stored values. An
/// orientation tag is not applied. Error(Data): neither PNG nor JPEG (says what the file looks like), damaged or cut
/// short, too large, a CMYK JPEG.
Tensor readImage(const std::filesystem::path& path);
Tensor decodeImage(std::span<const uint8_t> bytes, const std::string& where);

} // namespace moec
