#pragma once
// Results of `moec bench` as one page that needs nothing from elsewhere, and no script: each kernel on the roofline of the machine, and in a table below it.

#include "compiler/cli/bench/BenchReport.h"

namespace moec::cli {

std::string toPage(const BenchReport& report);

} // namespace moec::cli
