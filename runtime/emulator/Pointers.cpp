// Which parameters and variables a pointer may have been made from: so an access can be held to the buffer it was given.

#include "runtime/emulator/Decoder.h"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace moec::emulator {

uint32_t Decoder::addSource(const Source& made) {
  auto [known, fresh] = sourceNumbers_.try_emplace(fmt::format("{}/{}", int(made.kind), made.offset), uint32_t(program_.sources.size()));
  if (fresh)
    program_.sources.push_back(made);
  return known->second;
}

void Decoder::loadsParameter(uint32_t offset, uint32_t count) {
  for (uint32_t i = 0; i < info_.writes.size() && info_.writes.size() == count; ++i)
    flows_[info_.writes[i]].sources |= 1ull << std::min<uint32_t>(addSource({Source::Kind::Parameter, offset + 8 * i, 8}), 63);
}

/// Which parameters and variables each address was made from. Order does not matter: a register keeps all it may ever have come from.
void Decoder::findSources() {
  for (bool changed = true; changed;) {
    changed = false;
    for (Flow& flow : flows_)
      for (uint32_t from : flow.from) {
        uint64_t all = flow.sources | flows_[from].sources;
        changed |= all != flow.sources;
        flow.sources = all;
      }
  }
  for (const AddressUse& use : addressUses_) {
    uint64_t sources = use.sources | (use.reg == kNowhere ? 0 : flows_[use.reg].sources);
    if (sources >> 63) // too many to tell apart
      continue;
    for (; sources; sources &= sources - 1)
      program_.bounds[use.bounds].sources.push_back(uint32_t(std::countr_zero(sources)));
  }
}

} // namespace moec::emulator
