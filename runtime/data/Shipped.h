#pragma once
// The data that are part of moec, inside its library.

#include "runtime/data/Dataset.h"

#include <string_view>

namespace moec::data {

/// The handwritten digits of the UCI repository (E. Alpaydin and C. Kaynak, 1998, CC BY 4.0), the 1,797 of its test part: "image" f32 (3, 32, 32), the 8x8
/// points enlarged 4 times, in straight lines between their centers (a patch of one point would be flat, and a norm over it would leave nothing), the same in
/// all three channels, divided by 16; "label" i64 ().
DatasetPtr digits();
/// 256 KB of Shakespeare (public domain).
std::string_view shakespeare();

} // namespace moec::data
