#pragma once
// Element types of tensors, as a program and its files name them. Plain types: nothing of MLIR here.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace moec {

enum class DType : uint8_t { F64, F32, BF16, I64, I32, U8, Bool };

/// Bytes of one element.
constexpr size_t byteSize(DType type) {
  switch (type) {
  case DType::F64:
  case DType::I64:
    return 8;
  case DType::F32:
  case DType::I32:
    return 4;
  case DType::BF16:
    return 2;
  case DType::U8:
  case DType::Bool:
    return 1;
  }
  return 0;
}

constexpr bool isFloat(DType type) { return type == DType::F64 || type == DType::F32 || type == DType::BF16; }

/// "f64", "f32", "bf16", "i64", "i32", "u8", "bool".
std::string_view name(DType type);
std::optional<DType> parseDType(std::string_view name);

} // namespace moec
