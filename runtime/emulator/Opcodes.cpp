#include "runtime/emulator/Opcodes.h"

#include <string_view>
#include <unordered_map>
#include <vector>

namespace moec::emulator {

// The files of opcodes, each compiled twice.
#define MOEC_ROWS(X) X(arithmeticRows) X(bitRows) X(selectRows) X(functionRows) X(convertRows) X(memoryRows) X(warpRows)
#define MOEC_DECLARE(rows) std::span<const Opcode> rows();
namespace portable {
MOEC_ROWS(MOEC_DECLARE)
}
namespace avx2 {
MOEC_ROWS(MOEC_DECLARE)
}
#undef MOEC_DECLARE

namespace {

struct Table {
  std::vector<Opcode> rows;
  std::unordered_map<std::string_view, const Opcode*> byName;

  explicit Table(std::initializer_list<std::span<const Opcode>> parts) {
    for (std::span<const Opcode> part : parts)
      rows.insert(rows.end(), part.begin(), part.end());
    for (const Opcode& row : rows)
      byName[row.mnemonic] = &row;
  }
};

const Table& tableOf(int variant) {
#define MOEC_PORTABLE(rows) portable::rows(),
  static const Table slow{MOEC_ROWS(MOEC_PORTABLE)};
#undef MOEC_PORTABLE
#ifdef MOEC_EMULATOR_AVX2
#define MOEC_AVX2(rows) avx2::rows(),
  static const Table fast{MOEC_ROWS(MOEC_AVX2)};
#undef MOEC_AVX2
  if (variant == 1)
    return fast;
#endif
  (void)variant;
  return slow;
}

} // namespace

std::span<const Opcode> opcodes(int variant) { return tableOf(variant).rows; }

const Opcode* findOpcode(std::string_view mnemonic, int variant) {
  const Table& table = tableOf(variant);
  auto found = table.byName.find(mnemonic);
  return found == table.byName.end() ? nullptr : found->second;
}

int bestVariant() {
#ifdef MOEC_EMULATOR_AVX2
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
#else
  return 0;
#endif
}

} // namespace moec::emulator
