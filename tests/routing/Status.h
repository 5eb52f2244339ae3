#pragma once
// docs/STATUS.md: which kinds agree with which originals on which devices. Knows no gate.

#include "tests/routing/Suite.h"

namespace moec::test {

/// Outcomes by the names of rows, then by device.
using RoutingOutcomes = std::map<std::string, std::map<std::string, RoutingOutcome>>;

/// The page. It holds counts and no errors, which differ from machine to machine.
std::string statusText(const std::vector<RoutingRow>& rows, const RoutingOutcomes& outcomes);
/// What the page says where every case of every row passed on every device.
RoutingOutcomes allPassed(const std::vector<RoutingRow>& rows);

} // namespace moec::test
