#pragma once
// The safetensors container: an eight-byte header length, a JSON header, the tensors' bytes. Everything is checked
// against the file's size before memory is taken: header length, JSON, dtypes, shapes, offsets inside the file, no
// overlap, no gap, no name twice.

#include "runtime/core/Tensor.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace moec {

/// Tensors by name. They share the mapped file; those whose bytes stand unaligned in it are copied. Error(Data) for a
/// damaged file or a dtype other than F64, F32, BF16, I64, I32, U8, BOOL.
TensorMap readSafeTensors(const std::filesystem::path& path, std::map<std::string, std::string>* metadata = nullptr);

/// The same of a file that is mapped already; `path` begins every message.
TensorMap readSafeTensors(const class MappedFile& file, const std::filesystem::path& path, std::map<std::string, std::string>* metadata = nullptr);

/// The same from bytes kept alive by `owner`. `where` begins every message.
TensorMap parseSafeTensors(std::span<const uint8_t> bytes, std::shared_ptr<void> owner, const std::string& where,
                           std::map<std::string, std::string>* metadata = nullptr);

/// Written aside, synced, renamed. Widest elements first, so that every tensor is aligned.
void writeSafeTensors(const std::filesystem::path& path, const TensorMap& tensors, const std::map<std::string, std::string>& metadata = {});

} // namespace moec
