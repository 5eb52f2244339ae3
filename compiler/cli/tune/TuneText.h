#pragma once
// What `moec tune` found, for people and as JSON. Runs nothing.

#include "compiler/cli/tune/Tuner.h"

#include <filesystem>
#include <string>

namespace moec::cli {

/// `file`: the database that keeps it; empty: none.
std::string toText(const TuneResult& result, const std::filesystem::path& file);
std::string toJson(const TuneResult& result, const std::filesystem::path& file);

} // namespace moec::cli
