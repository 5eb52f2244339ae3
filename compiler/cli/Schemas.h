#pragma once
// JSON Schemas of what the commands print with --json: docs/schemas, embedded.

#include <map>
#include <string>

namespace moec::cli {

/// By the command's name.
const std::map<std::string, std::string>& schemas();

} // namespace moec::cli
