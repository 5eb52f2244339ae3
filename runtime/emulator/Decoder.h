#pragma once
// Turns one PTX function into a Program: gives registers, constants and variables their places, asks the opcode table for each
// instruction's handler. What opcode rows use to build their instruction. Knows nothing of launches.

#include "runtime/emulator/Program.h"

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

namespace moec::emulator {

/// The dotted suffixes of an opcode; each must be taken by its row, what is left over is an error.
class Words {
public:
  explicit Words(std::string_view opcode);
  std::string_view mnemonic() const { return words_[0]; }
  bool take(std::string_view word);
  /// Takes the first of `choices` that is there; the index, or -1.
  int takeOneOf(std::initializer_list<std::string_view> choices);
  /// Takes the first type suffix still there; Type::None when there is none.
  Type takeType();
  bool has(std::string_view word) const;
  /// The first suffix nobody took, empty when all were.
  std::string_view leftOver() const;
  void skip(std::string_view prefix); // takes every suffix that starts so

private:
  std::vector<std::string_view> words_;
  std::vector<bool> taken_;
};

/// Where the module's variables are.
struct VariablePlaces {
  std::vector<uint64_t> addresses; // device address by module variable; for shared: filled per kernel
};

class Decoder {
public:
  Decoder(const Module& module, const VariablePlaces& places, int variant);
  Program decode(const Function& kernel);

  // --- for opcode rows ---
  Words& words() { return *words_; }
  const Instruction& source() const { return *source_; }
  size_t operandCount() const { return source_->operands.size(); }
  const Operand& operand(size_t i);
  [[noreturn]] void fail(const std::string& message) const;
  /// The place of a value that is read as `type`: a register, or a constant made for an immediate or a variable's address.
  uint32_t read(const Operand& operand, Type type);
  uint32_t read(size_t i, Type type) { return read(operand(i), type); }
  /// The place of a destination register, kNowhere for the sink `_`.
  uint32_t write(const Operand& operand);
  uint32_t write(size_t i) { return write(operand(i)); }
  /// A predicate operand; `flip` becomes ~0 when it is negated.
  uint32_t readPredicate(const Operand& operand, uint32_t& flip);
  uint32_t writePredicate(const Operand& operand);
  /// 4 or 8: the register's container; 0 when it is no data register.
  int containerBytes(const Operand& operand) const;
  /// The declared width of a register.
  int registerBytes(const Operand& operand) const;
  bool isPredicate(const Operand& operand) const;
  uint32_t constant(uint64_t bits);
  uint32_t narrowConstant(uint32_t bits);
  /// The destinations hold the 8-byte kernel parameters from that offset on.
  void loadsParameter(uint32_t offset, uint32_t count);
  std::optional<int64_t> immediate(const Operand& operand) const;
  /// Fills a, wideAddress, displacement, bounds and (when the opcode named none) the space from an address operand.
  void address(Instr& in, const Operand& operand, Space space, bool reads, bool writes, uint32_t totalBytes);
  uint32_t addList(const std::vector<uint32_t>& places);
  void count(Class kind, uint32_t flops = 0);
  /// The destination's value may be a pointer made from the operands (add, mov, cvta ...).
  void carriesPointers() { carries_ = true; }
  /// The predicate that holds the lanes' carry flags.
  uint32_t carryFlag();
  void markSerial() { program_.serial = true; }
  /// 0: portable, 1: AVX2 and FMA.
  int variant() const { return variant_; }

private:
  struct Frame; // one inlined function
  void body(Frame& frame);
  void instruction(Frame& frame, const Instruction& source);
  void branch(Frame& frame, Instr& in);
  void call(const Instruction& source, Instr& in);
  void placeVariables(Frame& frame);
  void resolveBranches();
  void findSources();
  uint64_t addressOf(const Operand& operand, Space& space);
  uint64_t dynamicShared();
  uint32_t sourceOf(const Operand& operand);
  uint32_t addSource(const Source& made);
  const Variable& variable(const Operand& operand) const;
  uint32_t special(const std::string& name, Type type);
  int registerNumber(const Operand& operand) const;
  void emit(Instr in, Class kind, const Instruction* from);

  const Module& module_;
  const VariablePlaces& places_;
  int variant_;
  Program program_;
  Words* words_ = nullptr;
  const Instruction* source_ = nullptr;
  Frame* frame_ = nullptr;
  int depth_ = 0; // of calls
  InstrInfo info_;
  bool carries_ = false;
  uint64_t pendingSources_ = 0; // variables whose address the current instruction reads
  uint32_t sharedWidth_ = 16, globalWidth_ = 16;
  std::optional<uint64_t> dynamicAt_;
  uint32_t carryFlag_ = kNowhere;
  std::unordered_map<uint64_t, uint32_t> constants_, narrowConstants_;
  std::unordered_map<std::string, uint32_t> specials_, sharedPlaces_, sourceNumbers_;
  std::vector<std::pair<uint32_t, uint32_t>> labelUses_; // instruction, label; labels are counted over all frames
  std::vector<uint32_t> labelPlaces_;
  struct Flow {
    std::vector<uint32_t> from;
    uint64_t sources = 0; // bits: Program::sources
  };
  std::vector<Flow> flows_; // how pointers travel, by register
  struct AddressUse {
    uint32_t bounds, reg;
    uint64_t sources;
  };
  std::vector<AddressUse> addressUses_;
};

/// Blocks, immediate post-dominators and definite assignment over decoded code (ControlFlow.cpp).
void findJoins(Program& program);
void findUndefinedReads(Program& program);

} // namespace moec::emulator
