#pragma once
// What a path holds, by its content and the names in it.

#include <filesystem>
#include <string>
#include <vector>

namespace moec::data {

enum class DataKind { Text, Pictures, Idx, Cifar, Arrays, Csv };

/// "text", "images", "idx", "cifar", "arrays", "csv".
const std::vector<std::string>& dataKindNames();
/// Error(Usage) with the nearest for another word.
DataKind parseDataKind(const std::string& word);
const std::string& name(DataKind kind);

/// Error(Data) for a path that cannot be read or holds none of these, Error(Usage) for a folder that could be two of them.
DataKind findDataKind(const std::filesystem::path& path);

} // namespace moec::data
