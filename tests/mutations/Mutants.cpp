#include "tests/mutations/Mutants.h"

#include "tests/mutations/PtxText.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <set>

namespace moec::mutations {
namespace {

bool isIntegerType(std::string_view type) {
  for (const char* name : {"s16", "s32", "s64", "u16", "u32", "u64", "b16", "b32", "b64"})
    if (type == name)
      return true;
  return false;
}
std::string_view lastSuffix(const Instruction& in) { return std::string_view(in.opcode).substr(in.opcode.rfind('.') + 1); }

bool isPredicateLogic(const Instruction& in) {
  std::string_view base = in.base();
  return (base == "and" || base == "or" || base == "xor" || base == "not" || base == "mov") && in.has("pred");
}
bool isIntegerComparison(const Instruction& in) { return in.base() == "setp" && isIntegerType(lastSuffix(in)); }

/// Bytes of a memory access, 0 for another statement.
int64_t bytesOfAccess(const Instruction& in) {
  std::string_view base = in.base();
  if (base == "cp" && in.operands.size() >= 3)
    return std::atoll(in.operands[2].c_str());
  if ((base != "ld" && base != "st" && base != "atom" && base != "red") || in.has("param"))
    return 0;
  std::string_view type = lastSuffix(in);
  int64_t bytes = std::atoll(std::string(type.substr(1)).c_str()) / 8;
  return bytes * (in.has("v8") ? 8 : in.has("v4") ? 4 : in.has("v2") ? 2 : 1);
}

class Maker {
public:
  Maker(const PtxFunction& function, std::vector<Mutant>& all) : function_(function), all_(all), loops_(function.loops()) {
    for (const Instruction& in : function.instructions) {
      for (const std::string& name : in.writes())
        writers_[name].push_back(&in);
      for (const std::string& name : in.reads())
        readers_[name].push_back(&in);
    }
  }

  void make() {
    for (size_t i = 0; i < function_.instructions.size(); ++i) {
      const Instruction& in = function_.instructions[i];
      sync(in);
      guard(in, i);
      copySize(in);
      comparison(in);
      clamp(in);
      offsets(in);
      registerInit(in, i);
      sharedInit(in);
    }
  }

private:
  void add(Class kind, const Instruction& in, const std::string& change, const std::string& replacement, const std::string& probe) {
    all_.push_back({kind, function_.name, in.line, in.sourceLine, in.text(), change, {in.begin, in.end, replacement}, {in.begin, in.begin, probe}});
  }
  static std::string trapIf(bool when, const std::string& predicate) { return fmt::format("@{}{} trap; ", when ? "" : "!", predicate); }

  void sync(const Instruction& in) {
    std::string_view base = in.base();
    bool copies = base == "cp" && (in.has("wait_group") || in.has("wait_all") || in.has("commit_group"));
    if (base == "bar" || base == "barrier" || base == "membar" || base == "fence" || copies)
      add(Class::Sync, in, "dropped", "", "trap; ");
  }

  /// Whether an integer comparison has a say in a predicate.
  bool compares(const std::string& predicate, std::set<std::string>& seen) const {
    auto found = writers_.find(predicate);
    if (found == writers_.end() || !seen.insert(predicate).second)
      return false;
    for (const Instruction* in : found->second) {
      if (isIntegerComparison(*in))
        return true;
      if (isPredicateLogic(*in))
        for (const std::string& name : in->reads())
          if (compares(name, seen))
            return true;
    }
    return false;
  }

  void guard(const Instruction& in, size_t index) {
    std::set<std::string> seen;
    if (in.guard.empty() || !compares(in.guard, seen))
      return;
    Instruction free = in;
    free.guard.clear();
    std::string always = free.text() + ";";
    if (in.base() == "bra") {
      if (size_t to = function_.target(in); to == PtxFunction::npos || to <= index)
        return;
      add(Class::Bound, in, "never taken", "", trapIf(!in.guardNegated, in.guard));
      add(Class::Bound, in, "always taken", always, trapIf(in.guardNegated, in.guard));
    } else if (bytesOfAccess(in)) {
      add(Class::Bound, in, "without its guard", always, trapIf(in.guardNegated, in.guard));
    }
  }

  void copySize(const Instruction& in) {
    if (in.base() != "cp" || in.operands.size() != 4 || !in.operands[3].starts_with('%'))
      return;
    Instruction whole = in;
    whole.operands.pop_back();
    add(Class::Bound, in, "copies all", whole.text() + ";",
        fmt::format("{{ .reg .pred probe; setp.ne.u32 probe, {}, {}; @probe trap; }} ", in.operands[3], in.operands[2]));
  }

  /// Whether all that a predicate decides is branches.
  bool onlyBranches(const std::string& predicate) const {
    auto found = readers_.find(predicate);
    return found == readers_.end() || std::all_of(found->second.begin(), found->second.end(), [&](const Instruction* in) { return in->base() == "bra"; });
  }
  /// Whether all that it decides, through other predicates too, is branches back.
  bool onlyLoops(const std::string& predicate, std::set<std::string>& seen) const {
    auto found = readers_.find(predicate);
    if (found == readers_.end() || !seen.insert(predicate).second)
      return true;
    return std::all_of(found->second.begin(), found->second.end(), [&](const Instruction* in) {
      if (isPredicateLogic(*in)) {
        std::vector<std::string> into = in->writes();
        return std::all_of(into.begin(), into.end(), [&](const std::string& name) { return onlyLoops(name, seen); });
      }
      return in->base() == "bra" && function_.target(*in) <= static_cast<size_t>(in - function_.instructions.data());
    });
  }

  void comparison(const Instruction& in) {
    if (!isIntegerComparison(in) || in.operands.empty() || in.operands[0].find('|') != std::string::npos)
      return;
    const std::string& to = in.operands[0];
    std::set<std::string> seen;
    if (onlyBranches(to) || onlyLoops(to, seen))
      return;
    for (bool value : {true, false})
      add(Class::Bound, in, value ? "always true" : "always false", fmt::format("setp.{}.s32 {}, 0, 0;", value ? "eq" : "ne", to),
          fmt::format("{{ .reg .pred probe; {}; @{}probe trap; }} ", withTarget(in, "probe"), value ? "!" : ""));
  }
  static std::string withTarget(Instruction in, const std::string& to) {
    in.operands[0] = to;
    return in.text();
  }

  void clamp(const Instruction& in) {
    if ((in.base() != "min" && in.base() != "max") || !isIntegerType(lastSuffix(in)) || in.operands.size() != 3)
      return;
    for (size_t i : {size_t{1}, size_t{2}})
      add(Class::Bound, in, i == 1 ? "takes the first" : "takes the second",
          fmt::format("mov.b{} {}, {};", lastSuffix(in).substr(1), in.operands[0], in.operands[i]),
          fmt::format("{{ .reg .pred probe; setp.{}.{} probe, {}, {}; @probe trap; }} ", in.base() == "min" ? "lt" : "gt", lastSuffix(in), in.operands[3 - i],
                      in.operands[i]));
  }

  void offsets(const Instruction& in) {
    int64_t bytes = bytesOfAccess(in);
    if (!bytes)
      return;
    for (size_t i = 0; i < in.operands.size(); ++i) {
      const std::string& operand = in.operands[i];
      if (!operand.starts_with('['))
        continue;
      size_t plus = operand.find('+');
      int64_t offset = plus == std::string::npos ? 0 : std::atoll(operand.c_str() + plus + 1);
      Instruction shifted = in;
      shifted.operands[i] = fmt::format("{}+{}]", operand.substr(0, std::min(plus, operand.size() - 1)), offset + bytes);
      const char* end = in.base() != "cp" ? "" : i == 0 ? "destination " : "source ";
      add(Class::Offset, in, fmt::format("{}{} bytes on", end, bytes), shifted.text() + ";",
          (in.guard.empty() ? "" : "@" + std::string(in.guardNegated ? "!" : "") + in.guard + " ") + "trap; ");
    }
  }

  /// A move ahead of a loop, or in a loop around it, into a register that the loop reads and writes.
  void registerInit(const Instruction& in, size_t index) {
    if (in.base() != "mov" || in.has("pred") || in.writes().size() != 1)
      return;
    const std::string name = in.writes()[0];
    auto within = [&](const std::map<std::string, std::vector<const Instruction*>>& users, const Loop& loop) {
      auto found = users.find(name);
      return found != users.end() && std::any_of(found->second.begin(), found->second.end(), [&](const Instruction* user) {
               size_t at = static_cast<size_t>(user - function_.instructions.data());
               return at >= loop.first && at <= loop.last;
             });
    };
    for (const Loop& loop : loops_)
      if (index < loop.first && within(writers_, loop) && within(readers_, loop)) {
        add(Class::Init, in, "dropped", "", "trap; ");
        return;
      }
  }

  void sharedInit(const Instruction& in) {
    if (in.base() != "st" || !in.has("shared") || in.operands.size() != 2)
      return;
    const std::string& from = in.operands[1];
    auto found = writers_.find(from);
    bool constant = !from.starts_with('%') && !from.starts_with('{');
    if (found != writers_.end() && found->second.size() == 1) {
      const Instruction& writer = *found->second[0];
      constant = writer.base() == "mov" && writer.operands.size() == 2 && !writer.operands[1].starts_with('%') && !writer.operands[1].starts_with('{');
    }
    if (constant)
      add(Class::Init, in, "dropped", "", "trap; ");
  }

  const PtxFunction& function_;
  std::vector<Mutant>& all_;
  std::vector<Loop> loops_;
  std::map<std::string, std::vector<const Instruction*>> writers_, readers_;
};

} // namespace

const char* nameOf(Class kind) {
  constexpr const char* names[] = {"sync", "bound", "offset", "init"};
  return names[static_cast<int>(kind)];
}

std::string apply(const std::string& ptx, const Edit& edit) { return ptx.substr(0, edit.begin) + edit.text + ptx.substr(edit.end); }

std::vector<Mutant> mutantsOf(const std::string& ptx) {
  std::vector<Mutant> all;
  for (const PtxFunction& function : functionsOf(ptx))
    Maker(function, all).make();
  return all;
}

} // namespace moec::mutations
