#pragma once
// lld in the process: one relocatable object becomes one shared object.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moec::codegen::cpu {

/// Where the linker's files lie: in memory where the system has a folder for such, and that of temporary files for where it has none, or a full one. Making and
/// removing two files a kernel on a disk that others write to takes longer than linking.
std::vector<std::string> linkerFolders();

/// Links in the first of the folders where that goes. Nothing, with the `error` of the last of them, when a symbol is undefined or a file cannot be written.
std::optional<std::vector<uint8_t>> linkShared(const std::string& object, std::string& error, const std::vector<std::string>& folders = linkerFolders());

} // namespace moec::codegen::cpu
