#pragma once
// The table of opcodes: one row per mnemonic. Decoder, interpreter, coverage test and README come from it.

#include "runtime/emulator/Decoder.h"

#include <span>

namespace moec::emulator {

struct Opcode {
  const char* mnemonic;
  const char* variants;                      // what is understood, in the manual's spelling
  const char* manual;                        // section of the PTX ISA 9.0 manual
  void (*make)(Decoder& decoder, Instr& in); // takes the suffixes, fills handler and operands; Decoder::fail for what it does not know
};

/// All rows. `variant`: 0 portable code, 1 the same code compiled for AVX2 and FMA.
std::span<const Opcode> opcodes(int variant);
const Opcode* findOpcode(std::string_view mnemonic, int variant);
/// The best variant for this machine.
int bestVariant();

} // namespace moec::emulator
