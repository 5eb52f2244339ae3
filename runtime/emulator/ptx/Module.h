#pragma once
// A PTX module as its text says it: declarations and instructions with positions, names resolved, nothing decoded.
// Must not know opcodes or execution.

#include "runtime/emulator/ptx/Type.h"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace moec::emulator {

/// A text that is not PTX this emulator understands. The message names the line and quotes it.
class PtxError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// Where an instruction stands: the PTX line, and the CUDA line that `.loc` says it came from (0: none).
struct Position {
  int line = 0;
  int file = 0, sourceLine = 0;
};

struct Variable {
  std::string name;
  Space space = Space::Register;
  Type type = Type::None;
  uint32_t align = 1;
  uint64_t bytes = 0;
  bool external = false;        // `.extern`: dynamic shared memory when it has no size
  std::vector<uint8_t> initial; // shorter than bytes: zeros follow
  struct Address {
    uint64_t offset;
    std::string symbol;
    int64_t addend;
    bool generic;
  };
  std::vector<Address> addresses; // initialisers that are addresses of other variables
  int line = 0;
};

struct Register {
  std::string name;
  Type type;
};

struct Operand {
  enum class Kind : uint8_t { Register, Special, Immediate, Variable, Function, Label, Address, List, Sink } kind = Kind::Sink;
  bool negated = false;       // !%p
  bool floating = false;      // the immediate is a floating-point literal
  int index = -1;             // register, variable (>= 0 of the function, < 0: -1 - module's) or label
  int64_t value = 0;          // immediate bits (a float literal as f64 bits unless 0f), or an address's displacement
  bool single = false;        // the literal was written 0f........: value holds f32 bits
  std::string name;           // of a special register, variable or function
  std::vector<Operand> parts; // List: elements; Address: its base, if any; Register with |: the second destination
};

struct Instruction {
  std::string opcode; // with all suffixes
  int guard = -1;     // predicate register
  bool guardNegated = false;
  uint64_t usedBytes = ~0ull; // of a load: `.pragma "used_bytes_mask"`
  std::vector<Operand> operands;
  Position position;
};

struct Function {
  std::string name;
  bool entry = false;
  std::vector<Variable> variables; // parameters first, then return parameters, then everything declared inside
  int parameterCount = 0, returnCount = 0;
  std::vector<Register> registers;
  std::vector<Instruction> instructions;
  std::vector<int> labels;        // instruction index of each label
  int maxThreads = 0;             // .maxntid / .reqntid, 0: not said
  uint32_t requiredBlock[3] = {}; // .reqntid, 0: not said
  bool defined = false;
  int line = 0;
};

struct Module {
  std::string target;
  int versionMajor = 0, versionMinor = 0;
  std::vector<Variable> variables;
  std::vector<Function> functions;
  std::map<int, std::string> files;
};

/// Reads PTX text (NVRTC's and NVVM's dialects, clang's NVPTX). Throws PtxError.
Module parsePtx(const std::string& text);

} // namespace moec::emulator
