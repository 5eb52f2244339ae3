#pragma once
// Runs the goldens of routing on devices and says where they are apart. Knows no gate.

#include "tests/routing/Goldens.h"

namespace moec::test {

/// What the suite runs on, in the order of its table.
inline constexpr const char* kRoutingDevices[] = {"reference", "cpu", "ptx-emulator:sm_90a"};
/// Why a device cannot be had here; empty when it can.
std::string missingForRouting(const std::string& device);

struct RoutingOutcome {
  int cases = 0, passed = 0;         // a case is a dtype's
  double values = 0, gradients = 0;  // the largest errors, in tolerances
  std::vector<std::string> failures; // "t23, f32, train: gradients/x: 3.1 tolerances"
};

/// All cases of a row in both dtypes (or in the given one alone) on each of `devices`, by device. A row is compiled
/// once for each dtype.
std::map<std::string, RoutingOutcome> runRow(const RoutingRow& row, const std::vector<std::string>& devices,
                                             const std::vector<DType>& dtypes = {DType::F32, DType::F64});

} // namespace moec::test
