#pragma once
// S1, one layer of experts, by moec and by others on the same GPU: checked first, then timed by turns.

#include "bench/gpu/Gpu.h"
#include "runtime/bench/Statistics.h"
#include "runtime/core/Program.h"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>
#include <vector>

namespace moec::bench {

struct SideBySideOptions {
  int repetitions = 30;
  std::string python = "python3";
};

struct SideBySideRow {
  std::string name;            // "cuBLAS 13.1.0, grouped products"
  std::string base;            // the row of moec's that it is held against; empty: one of these
  std::vector<double> times;   // seconds; none where nothing may be timed
  std::optional<double> error; // of its result against moec's, or against plain sums
  std::string skipped;         // why it did not run
};

/// On an emulated GPU moec's launches run once and are not timed, and the others say why they do not run.
std::vector<SideBySideRow> runSideBySide(const Gpu& gpu, const Program& program, const Bindings& sizes, const SideBySideOptions& options);

std::string toMarkdown(const std::vector<SideBySideRow>& rows);
nlohmann::ordered_json toJson(const std::vector<SideBySideRow>& rows);

} // namespace moec::bench
