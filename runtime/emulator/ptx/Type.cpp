#include "runtime/emulator/ptx/Type.h"

namespace moec::emulator {
namespace {
struct Named {
  Type type;
  const char* name;
};
constexpr Named kNames[] = {{Type::Pred, "pred"}, {Type::B8, "b8"},       {Type::B16, "b16"},       {Type::B32, "b32"}, {Type::B64, "b64"},
                            {Type::B128, "b128"}, {Type::U8, "u8"},       {Type::U16, "u16"},       {Type::U32, "u32"}, {Type::U64, "u64"},
                            {Type::S8, "s8"},     {Type::S16, "s16"},     {Type::S32, "s32"},       {Type::S64, "s64"}, {Type::F16, "f16"},
                            {Type::BF16, "bf16"}, {Type::F16x2, "f16x2"}, {Type::BF16x2, "bf16x2"}, {Type::F32, "f32"}, {Type::F64, "f64"},
                            {Type::TF32, "tf32"}};
} // namespace

Type typeNamed(std::string_view word) {
  for (const Named& named : kNames)
    if (word == named.name)
      return named.type;
  return Type::None;
}

const char* nameOf(Type type) {
  for (const Named& named : kNames)
    if (type == named.type)
      return named.name;
  return "none";
}

const char* nameOf(Space space) {
  constexpr const char* names[] = {"generic", "param", "const", "global", "shared", "local", "register"};
  return names[int(space)];
}

} // namespace moec::emulator
