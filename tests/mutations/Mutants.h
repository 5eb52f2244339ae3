#pragma once
// Mutants of a kernel's PTX, made by rule. Each differs from the kernel in one statement.
//   sync    a barrier (of a block or a warp), cp.async.wait_group, cp.async.commit_group or fence is dropped.
//   bound   a guard that an integer comparison decides is dropped: a branch ahead is never or always taken; a guarded access is made by all; a cp.async whose
//           size is a register copies all its bytes; a comparison that decides more than branches (through selects, and/or of predicates) is always true or
//           always false; a minimum or maximum of integers becomes one of its operands. A branch back to the head of its loop, and a comparison that only such
//           branches follow, is no bound check.
//   offset  the constant in the address of a global, shared or local access is one access (its bytes) larger; an address without a constant has the constant 0.
//   init    the move that gives a loop-carried register its first value is dropped, or the store that gives shared memory a constant.
// Knows text; runs nothing.

#include <optional>
#include <string>
#include <vector>

namespace moec::mutations {

enum class Class { Sync, Bound, Offset, Init };
inline constexpr Class kClasses[] = {Class::Sync, Class::Bound, Class::Offset, Class::Init};
const char* nameOf(Class kind);

struct Edit {
  size_t begin = 0, end = 0; // what is replaced
  std::string text;
};
std::string apply(const std::string& ptx, const Edit& edit);

struct Mutant {
  Class kind;
  std::string function; // the entry
  int line, sourceLine;
  std::string instruction; // before
  std::string change;      // "dropped", "never taken" ...
  Edit edit;
  /// Instead of the edit: the kernel traps where the edit would first make a difference to what is executed. A kernel that never traps is never asked what
  /// the mutant changes.
  Edit probe;
};

std::vector<Mutant> mutantsOf(const std::string& ptx);

} // namespace moec::mutations
