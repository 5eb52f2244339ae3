#pragma once
// lld in the process: one relocatable object becomes one shared object.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moec::codegen::cpu {

/// Nothing, with `error`, when a symbol is undefined or a file cannot be written.
std::optional<std::vector<uint8_t>> linkShared(const std::string& object, std::string& error);

} // namespace moec::codegen::cpu
