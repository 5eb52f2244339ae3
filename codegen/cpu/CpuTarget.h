#pragma once
// The CPUs that kernels are written for. What of them a machine runs, runtime/core/CpuTarget.h says.

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace moec::codegen::cpu {

/// Whether a CPU multiplies tiles (Tiles.h): by instructions, or by other code that gives the same bits, for machines without them.
enum class TileKind { None, Hardware, Soft };

/// A CPU that code is written for.
struct CpuTarget {
  std::string name;                // "cpu:x86-64-v3"
  std::string cpu;                 // LLVM's name: "x86-64-v3"
  int64_t vectorBytes;             // 16, 32 or 64: of what kernels are written in; registers of `cpu` may be shorter, and a vector several of them
  int64_t vectorRegisters;         // 16 or 32
  bool hasFma;                     // has instructions that round a * b + c once
  TileKind tiles = TileKind::None; // of bf16
  std::string features = {};       // beside those of `cpu`, as LLVM takes them
};
/// All of them, those with the longest vectors last.
llvm::ArrayRef<CpuTarget> targets();
/// Null when there is no such target.
const CpuTarget* findTarget(std::string_view name);

} // namespace moec::codegen::cpu
