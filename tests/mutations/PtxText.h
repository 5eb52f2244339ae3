#pragma once
// PTX as a list of statements that remember where they stand in the text, so that one can be replaced and the rest stays to the letter. Knows words,
// labels, and which registers a statement reads and writes; not what it computes.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace moec::mutations {

struct Instruction {
  size_t begin = 0, end = 0;    // in the text, with the semicolon
  int line = 0, sourceLine = 0; // of the PTX, of the CUDA text (0: not known)
  std::string guard;            // "%p1", or empty
  bool guardNegated = false;
  std::string opcode;                // "ld.shared.v4.f32"
  std::vector<std::string> operands; // "%r1", "[%rd2+16]", "{%f1, %f2}"

  /// The opcode up to its first dot.
  std::string_view base() const { return std::string_view(opcode).substr(0, opcode.find('.')); }
  bool has(std::string_view suffix) const; // one of the words between dots
  std::vector<std::string> writes() const;
  std::vector<std::string> reads() const;
  std::string text() const; // "@!%p1 bra $L__BB0_2"
};

/// Instructions [first, last] run again and again: the branch at `last` goes back to a label before `first`.
struct Loop {
  size_t first, last;
};

struct PtxFunction {
  std::string name;
  std::vector<Instruction> instructions;
  std::map<std::string, size_t> labels; // the instruction behind each

  std::vector<Loop> loops() const;
  /// Where a branch goes; npos for what is no branch.
  size_t target(const Instruction& branch) const;
  static constexpr size_t npos = ~size_t(0);
};

/// The entries of a text.
std::vector<PtxFunction> functionsOf(const std::string& ptx);

} // namespace moec::mutations
