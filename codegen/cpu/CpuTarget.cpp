#include "codegen/cpu/CpuTarget.h"

#include "llvm/ADT/STLExtras.h"

namespace moec::codegen::cpu {

llvm::ArrayRef<CpuTarget> targets() {
  static const CpuTarget all[] = {{"cpu:x86-64-v2", "x86-64-v2", 16, 16, false},
                                  {"cpu:x86-64-v3", "x86-64-v3", 32, 16, true},
                                  {"cpu:x86-64-v3+soft-avx512", "x86-64-v3", 64, 32, true},
                                  {"cpu:x86-64-v3+soft-tiles", "x86-64-v3", 64, 32, true, TileKind::Soft},
                                  {"cpu:x86-64-v4", "x86-64-v4", 64, 32, true},
                                  {"cpu:x86-64-v4+amx", "x86-64-v4", 64, 32, true, TileKind::Hardware, "+amx-tile,+amx-bf16"}};
  return all;
}

const CpuTarget* findTarget(std::string_view name) {
  const auto* found = llvm::find_if(targets(), [&](const CpuTarget& target) { return target.name == name; });
  return found == targets().end() ? nullptr : found;
}

} // namespace moec::codegen::cpu
