#pragma once
// A kernel decoded once per module: flat instructions with handlers, operands as places in a warp's register file, and what the
// checks need to know beforehand. Knows nothing of PTX text or of launches.

#include "runtime/emulator/ptx/Module.h"

#include <cstdint>
#include <string>
#include <vector>

namespace moec::emulator {

struct Warp;
struct Instr;
using Handler = void (*)(Warp&, const Instr&);

constexpr int kLanes = 32;
constexpr uint32_t kNowhere = ~0u;

/// What kind of work an instruction is, for the counters.
enum class Class : uint8_t {
  Move,
  Integer,
  Float32,
  Float64,
  Half,
  Convert,
  Predicate,
  Special,
  Load,
  Store,
  Atomic,
  AsyncCopy,
  Barrier,
  Warp,
  Matrix,
  Control
};
constexpr int kClasses = int(Class::Control) + 1;
const char* nameOf(Class kind);

/// Instructions that change which lanes run, or wait. The interpreter does these itself.
enum class Control : uint8_t { None, Branch, Exit, Trap, Barrier, WarpSync };

enum Flag : uint8_t {
  kMerge = 1,       // a reconvergence point of some branch
  kCheckReads = 2,  // some register it reads is not assigned on every path to here
  kTrackWrites = 4, // some register it writes is read by a kCheckReads instruction
};

/// Barrier instructions, as Instr::variant.
enum class BarrierKind : uint8_t { Sync, Arrive, RedPopc, RedAnd, RedOr };

/// One decoded instruction. Places (dst, a, b, c, d): units of 128 bytes in the register file, or indices of predicates, as the handler knows.
struct Instr {
  Handler run = nullptr;
  uint32_t dst = kNowhere, dst2 = kNowhere, a = 0, b = 0, c = 0, d = 0;
  uint32_t guard = 0, guardFlip = 0; // predicate index and what to xor it with; predicate 0 is always true
  int64_t displacement = 0;          // of an address; or a handler's own constant
  uint32_t target = kNowhere;        // branch target, kNowhere: none
  uint32_t join = kNowhere;          // where diverged lanes meet again, kNowhere: not before they exit
  uint32_t list = 0;                 // into Program::lists: the places of a vector operand, or branch targets
  uint32_t bounds = kNowhere;        // into Program::bounds: which buffers the address may lie in
  uint8_t flags = 0;
  Control control = Control::None;
  Space space = Space::Generic;
  uint8_t bytes = 0;       // of one element of a memory access
  uint8_t count = 1;       // elements of a vector access
  uint8_t variant = 0;     // handler's own
  bool wideAddress = true; // the address register has 64 bits
  bool ordered = false;    // volatile, relaxed, acquire or release: not a data race
};

/// Where an instruction came from and what it is, kept apart from what the loop touches.
struct InstrInfo {
  Position position;
  std::string opcode;
  Class kind = Class::Move;
  uint32_t flops = 0; // per lane
  uint64_t usedBytes = ~0ull;
  std::vector<uint32_t> reads, writes; // registers, by their number in `registers`
};

/// What a pointer was made from: a kernel parameter, or a variable.
struct Source {
  enum class Kind : uint8_t { Parameter, Shared, Local, Global } kind;
  uint64_t offset; // of the parameter in the parameter block; of the variable in its space (Global: device address)
  uint64_t bytes;  // of the variable; 0: up to the end (dynamic shared memory)
};

/// The sources that one instruction's address may come from. Empty: unknown.
struct BoundsRule {
  std::vector<uint32_t> sources; // into Program::sources
  bool writes = false, reads = false;
  Space space = Space::Generic;
};

struct ProgramRegister {
  std::string name;
  bool predicate;
  uint32_t place;
};

struct ProgramConstant {
  uint32_t unit;
  uint64_t bits;
};

enum class SpecialRegister : uint8_t {
  TidX,
  TidY,
  TidZ,
  NtidX,
  NtidY,
  NtidZ,
  CtaidX,
  CtaidY,
  CtaidZ,
  NctaidX,
  NctaidY,
  NctaidZ,
  LaneId,
  WarpId,
  NwarpId,
  SmId,
  NsmId,
  GridId,
  LaneMaskEq,
  LaneMaskLe,
  LaneMaskLt,
  LaneMaskGe,
  LaneMaskGt,
  DynamicSharedBytes,
  TotalSharedBytes
};

struct ProgramSpecial {
  uint32_t unit;
  SpecialRegister which;
  bool wide;
};

struct Parameter {
  std::string name;
  uint32_t offset, bytes;
};

struct Program {
  std::string name;
  std::vector<Instr> code;
  std::vector<InstrInfo> info;
  std::vector<uint32_t> lists;
  std::vector<BoundsRule> bounds;
  std::vector<Source> sources;
  std::vector<ProgramRegister> registers;
  std::vector<ProgramConstant> constants, narrowConstants; // of 8 and of 4 bytes
  std::vector<ProgramSpecial> specials;
  std::vector<Parameter> parameters;
  uint32_t units = 0, predicates = 1, parameterBytes = 0;
  uint32_t sharedBytes = 0, dynamicSharedAt = 0, localBytes = 0; // dynamic shared memory lies behind the static variables
  uint32_t sharedGranule = 4, globalGranule = 4;                 // the smallest access, in bytes: races are tracked at this grain
  bool serial = false;                                           // has atomics whose order shows in the result: blocks run one after the other
  int maxThreads = 0;                                            // of a block; 0: not said
  uint32_t requiredBlock[3] = {};                                // its only size; 0: not said
  std::vector<std::string> files;                                // by .file index
};

} // namespace moec::emulator
