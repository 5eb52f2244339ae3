#pragma once
// PTX's fundamental types and state spaces, as the opcode suffixes spell them. Knows nothing of registers or execution.

#include <cstdint>
#include <string_view>

namespace moec::emulator {

enum class Type : uint8_t {
  None,
  Pred,
  B8,
  B16,
  B32,
  B64,
  B128,
  U8,
  U16,
  U32,
  U64,
  S8,
  S16,
  S32,
  S64,
  F16,
  BF16,
  F16x2,
  BF16x2,
  F32,
  F64,
  TF32,
};

enum class Space : uint8_t { Generic, Param, Const, Global, Shared, Local, Register };

/// The type a suffix such as "f32" names; None for any other word.
Type typeNamed(std::string_view word);
const char* nameOf(Type type);
const char* nameOf(Space space);

constexpr int bytesOf(Type type) {
  switch (type) {
  case Type::None:
    return 0;
  case Type::Pred:
  case Type::B8:
  case Type::U8:
  case Type::S8:
    return 1;
  case Type::B16:
  case Type::U16:
  case Type::S16:
  case Type::F16:
  case Type::BF16:
    return 2;
  case Type::B64:
  case Type::U64:
  case Type::S64:
  case Type::F64:
    return 8;
  case Type::B128:
    return 16;
  default:
    return 4;
  }
}
constexpr bool isFloat(Type type) { return type >= Type::F16; }
constexpr bool isSigned(Type type) { return type >= Type::S8 && type <= Type::S64; }

} // namespace moec::emulator
