#pragma once
// The driver table filled from the machine's CUDA driver, opened at run time.

#include "runtime/device/cuda/DriverTable.h"

#include <string>

namespace moec::cuda {

/// The driver's table, opened at the first call and kept; nullptr when there is none, then `problem` says where it was looked for
/// and what was missing. Does not call cuInit.
const DriverTable* driverTable(std::string* problem);

} // namespace moec::cuda
