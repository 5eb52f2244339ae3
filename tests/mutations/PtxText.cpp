#include "tests/mutations/PtxText.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace moec::mutations {
namespace {

std::string trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return std::string(text);
}

std::vector<std::string> splitOperands(std::string_view text) {
  std::vector<std::string> operands;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    char c = i < text.size() ? text[i] : ',';
    depth += c == '[' || c == '{' || c == '(' ? 1 : c == ']' || c == '}' || c == ')' ? -1 : 0;
    if (c != ',' || (depth > 0 && i < text.size()))
      continue;
    if (std::string operand = trimmed(text.substr(start, i - start)); !operand.empty())
      operands.push_back(operand);
    start = i + 1;
  }
  return operands;
}

/// "%r1" and "%p2" of "%r1|%p2", "[%rd1+4]", "{%f1, %f2}"; special registers have names of their own, without digits or with a dot.
void addRegisters(const std::string& operand, std::vector<std::string>& names) {
  for (size_t at = operand.find('%'); at != std::string::npos; at = operand.find('%', at + 1)) {
    size_t end = at + 1;
    while (end < operand.size() && (std::isalnum(static_cast<unsigned char>(operand[end])) || operand[end] == '_' || operand[end] == '.'))
      ++end;
    names.push_back(operand.substr(at, end - at));
  }
}

/// Statements without a destination.
bool writesNothing(std::string_view base) {
  for (const char* word : {"st", "red", "bra", "bar", "barrier", "cp", "membar", "fence", "ret", "exit", "trap", "prefetch", "prefetchu", "call", "nanosleep"})
    if (base == word)
      return true;
  return false;
}

class Reader {
public:
  explicit Reader(const std::string& text) : text_(text) {}

  std::vector<PtxFunction> read() {
    while (skipBlanks())
      statement();
    return std::move(functions_);
  }

private:
  void step() { line_ += text_[at_++] == '\n'; }
  std::string_view restOfLine() const { return std::string_view(text_).substr(at_, text_.find('\n', at_) - at_); }
  void skipLine() {
    while (at_ < text_.size() && text_[at_] != '\n')
      ++at_;
  }
  bool skipBlanks() {
    while (at_ < text_.size()) {
      if (text_.compare(at_, 2, "//") == 0)
        skipLine();
      else if (std::isspace(static_cast<unsigned char>(text_[at_])))
        step();
      else
        return true;
    }
    return false;
  }

  void directive() {
    std::string_view line = restOfLine();
    if (line.starts_with(".loc")) {
      char* end;
      long file = std::strtol(line.data() + 4, &end, 10), number = std::strtol(end, nullptr, 10);
      if (file == 1 && number > 0) // of the text itself; line 0 is no line
        sourceLine_ = static_cast<int>(number);
      return skipLine();
    }
    if (size_t entry = line.find(".entry "); entry != std::string::npos) {
      std::string_view name = line.substr(entry + 7);
      functions_.push_back({trimmed(name.substr(0, name.find('('))), {}, {}});
      sourceLine_ = 0;
    }
    // A declaration inside a line of inline assembly ends with its semicolon.
    size_t semicolon = line.find(';');
    size_t length = semicolon == std::string::npos ? line.size() : semicolon + 1;
    at_ += length;
  }

  void statement() {
    char c = text_[at_];
    if (c == '{' || c == '}' || c == '(' || c == ')' || c == ',')
      return step();
    if (c == '.')
      return directive();
    if (functions_.empty())
      return skipLine();
    size_t end = at_;
    while (end < text_.size() && text_[end] != ';' && text_[end] != ':')
      ++end;
    // "::" is part of an opcode; a label ends with a single colon.
    while (end + 1 < text_.size() && text_[end] == ':' && text_[end + 1] == ':') {
      end += 2;
      while (end < text_.size() && text_[end] != ';' && text_[end] != ':')
        ++end;
    }
    std::string_view whole = std::string_view(text_).substr(at_, end - at_);
    PtxFunction& function = functions_.back();
    if (end < text_.size() && text_[end] == ':') {
      function.labels[trimmed(whole)] = function.instructions.size();
    } else {
      Instruction made;
      made.begin = at_;
      made.end = std::min(end + 1, text_.size());
      made.line = line_;
      made.sourceLine = sourceLine_;
      parse(made, whole);
      function.instructions.push_back(std::move(made));
    }
    while (at_ <= end && at_ < text_.size())
      step();
  }

  static void parse(Instruction& made, std::string_view text) {
    if (text.starts_with('@')) {
      size_t space = text.find_first_of(" \t");
      std::string_view guard = text.substr(1, space - 1);
      made.guardNegated = guard.starts_with('!');
      made.guard = guard.substr(made.guardNegated ? 1 : 0);
      text.remove_prefix(std::min(text.find_first_not_of(" \t", space), text.size()));
    }
    size_t space = std::min(text.find_first_of(" \t\n"), text.size());
    made.opcode = text.substr(0, space);
    made.operands = splitOperands(text.substr(space));
  }

  const std::string& text_;
  size_t at_ = 0;
  int line_ = 1, sourceLine_ = 0;
  std::vector<PtxFunction> functions_;
};

} // namespace

bool Instruction::has(std::string_view suffix) const {
  for (size_t at = opcode.find('.'); at != std::string::npos;) {
    size_t next = opcode.find('.', at + 1);
    if (std::string_view(opcode).substr(at + 1, next == std::string::npos ? next : next - at - 1) == suffix)
      return true;
    at = next;
  }
  return false;
}

std::vector<std::string> Instruction::writes() const {
  std::vector<std::string> names;
  if (!operands.empty() && !writesNothing(base()))
    addRegisters(operands[0], names);
  return names;
}

std::vector<std::string> Instruction::reads() const {
  std::vector<std::string> names;
  if (!guard.empty())
    names.push_back(guard);
  for (size_t i = writesNothing(base()) ? 0 : 1; i < operands.size(); ++i)
    addRegisters(operands[i], names);
  return names;
}

std::string Instruction::text() const {
  std::string text = guard.empty() ? "" : "@" + std::string(guardNegated ? "!" : "") + guard + " ";
  text += opcode;
  for (size_t i = 0; i < operands.size(); ++i)
    text += (i ? ", " : " ") + operands[i];
  return text;
}

size_t PtxFunction::target(const Instruction& branch) const {
  if (branch.base() != "bra" || branch.operands.empty())
    return npos;
  auto found = labels.find(branch.operands[0]);
  return found == labels.end() ? npos : found->second;
}

std::vector<Loop> PtxFunction::loops() const {
  std::vector<Loop> loops;
  for (size_t i = 0; i < instructions.size(); ++i)
    if (size_t to = target(instructions[i]); to <= i)
      loops.push_back({to, i});
  return loops;
}

std::vector<PtxFunction> functionsOf(const std::string& ptx) { return Reader(ptx).read(); }

} // namespace moec::mutations
