#pragma once
// docs/STATUS.md: which kinds agree with which originals on which devices. Knows no gate.

#include "tests/routing/Suite.h"

namespace moec::test {

/// Outcomes by the names of rows, then by device.
using RoutingOutcomes = std::map<std::string, std::map<std::string, RoutingOutcome>>;

/// The page. It holds counts and no errors, which differ from machine to machine. A row that was not run on a device
/// keeps what `before`, the page as it was, says of it, as long as its file and cases are the same.
std::string statusText(const std::vector<RoutingRow>& rows, const RoutingOutcomes& outcomes, const std::string& before = {});

} // namespace moec::test
