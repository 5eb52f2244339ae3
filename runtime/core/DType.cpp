#include "runtime/core/DType.h"

namespace moec {
namespace {

constexpr DType kAll[] = {DType::F64, DType::F32, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool};

} // namespace

std::string_view name(DType type) {
  switch (type) {
  case DType::F64:
    return "f64";
  case DType::F32:
    return "f32";
  case DType::BF16:
    return "bf16";
  case DType::I64:
    return "i64";
  case DType::I32:
    return "i32";
  case DType::U8:
    return "u8";
  case DType::Bool:
    return "bool";
  }
  return "?";
}

std::optional<DType> parseDType(std::string_view text) {
  for (DType type : kAll)
    if (name(type) == text)
      return type;
  return std::nullopt;
}

} // namespace moec
