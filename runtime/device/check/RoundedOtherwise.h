#pragma once
// A device whose numbers are an ulp off, up or down by chance, those that it is given and those that its launches make: beside the device itself it tells what
// roundings make of a result. Whole numbers stay, for they may be compared with.

#include "runtime/device/Device.h"

namespace moec {

/// `seed`: which numbers go up.
std::unique_ptr<Executable> roundedOtherwise(std::unique_ptr<Executable> executable, uint32_t seed);

} // namespace moec
