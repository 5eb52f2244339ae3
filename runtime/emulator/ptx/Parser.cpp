#include "runtime/emulator/ptx/Lexer.h"
#include "runtime/emulator/ptx/Module.h"

#include <cctype>
#include <charconv>
#include <cstring>
#include <fmt/format.h>
#include <unordered_map>
#include <utility>

namespace moec::emulator {
namespace {

/// One `{ ... }` of a function: registers, variables and labels declared in it hide those outside.
struct Scope {
  std::unordered_map<std::string, int> registers, variables, labels;
};

/// Names of files hold what is no printable ASCII as three octal digits behind a backslash.
std::string withoutEscapes(std::string_view text) {
  std::string name;
  auto isOctal = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\\' && isOctal(i + 1) && isOctal(i + 2) && isOctal(i + 3)) {
      name += char((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      name += text[i];
    }
  return name;
}

constexpr int kDeepest = 100;
constexpr uint64_t kLargestVariable = 1ull << 40, kLargestOnChip = 1u << 26; // the latter of shared and local memory and of parameters

class Parser {
public:
  explicit Parser(const std::string& text) : lexer_(text) {}

  Module parse() {
    while (lexer_.peek().kind != Token::Kind::End)
      topLevel();
    return std::move(module_);
  }

private:
  [[noreturn]] void fail(int line, const std::string& message) { throw PtxError(fmt::format("ptx:{}: {}: \"{}\"", line, message, lexer_.lineText(line))); }
  [[noreturn]] void fail(const std::string& message) { fail(lexer_.peek().line, message); }
  void expect(std::string_view text) {
    if (!lexer_.take(text))
      fail(fmt::format("expected '{}' before '{}'", text, lexer_.peek().text));
  }
  std::string name() {
    if (lexer_.peek().kind != Token::Kind::Name)
      fail(fmt::format("expected a name, found '{}'", lexer_.peek().text));
    return std::string(lexer_.next().text);
  }
  int64_t integer() {
    bool negative = lexer_.take("-");
    Token token = lexer_.next();
    if (token.kind != Token::Kind::Number)
      fail(token.line, fmt::format("expected a number, found '{}'", token.text));
    Operand value = literal(token, negative);
    if (value.floating)
      fail(token.line, fmt::format("expected an integer, found '{}'", token.text));
    return value.value;
  }
  void skipUntil(std::string_view end) {
    int line = lexer_.peek().line;
    while (!lexer_.at(end)) {
      if (lexer_.peek().kind == Token::Kind::End)
        fail(line, fmt::format("'{}' is missing behind this", end));
      lexer_.next();
    }
    lexer_.take(end);
  }
  /// Goes one level down into lists within lists: each takes a part of the parser's own stack.
  void descend() {
    if (++depth_ > kDeepest)
      fail(fmt::format("more than {} lists within each other", kDeepest));
  }

  void topLevel() {
    if (lexer_.peek().kind != Token::Kind::Directive)
      fail(fmt::format("expected a directive, found '{}'", lexer_.peek().text));
    if (lexer_.take(".version")) {
      std::string version(lexer_.next().text);
      std::sscanf(version.c_str(), "%d.%d", &module_.versionMajor, &module_.versionMinor);
    } else if (lexer_.take(".target")) {
      module_.target = name();
      while (lexer_.take(","))
        name();
    } else if (lexer_.take(".address_size")) {
      if (integer() != 64)
        fail("only 64-bit addresses are emulated");
    } else if (lexer_.take(".file")) {
      file();
    } else if (lexer_.take(".section")) {
      skipUntil("{");
      skipUntil("}");
    } else if (lexer_.take(".pragma")) {
      skipUntil(";");
    } else {
      declaration();
    }
  }

  void file() {
    int index = int(integer());
    module_.files[index] = withoutEscapes(lexer_.next().text);
    while (lexer_.take(","))
      integer();
  }

  void declaration() {
    bool external = false;
    while (lexer_.at(".visible") || lexer_.at(".weak") || lexer_.at(".extern") || lexer_.at(".common"))
      external |= lexer_.next().text == ".extern";
    if (lexer_.at(".entry") || lexer_.at(".func"))
      function(lexer_.next().text == ".entry");
    else
      variables(module_.variables, nullptr, external);
  }

  Space spaceOf(std::string_view word) {
    if (word == ".global")
      return Space::Global;
    if (word == ".const")
      return Space::Const;
    if (word == ".shared")
      return Space::Shared;
    if (word == ".local")
      return Space::Local;
    if (word == ".param")
      return Space::Param;
    fail(fmt::format("unknown directive '{}'", word));
  }

  /// `.space [.align n] .type name[dims] [= init], ... ;` The space is the next token.
  void variables(std::vector<Variable>& into, Scope* scope, bool external) {
    Variable first;
    first.space = spaceOf(lexer_.peek().text);
    lexer_.next();
    do {
      Variable variable = declarator(first, external);
      if (scope)
        scope->variables[variable.name] = int(into.size());
      into.push_back(std::move(variable));
    } while (lexer_.take(","));
    expect(";");
  }

  /// The rest of a declaration after its space. `first` keeps what the declarators of one list share.
  Variable declarator(Variable& first, bool external) {
    while (lexer_.peek().kind == Token::Kind::Directive) {
      Token word = lexer_.next();
      if (word.text == ".align") {
        first.align = uint32_t(integer());
        continue;
      }
      if (word.text == ".ptr" || word.text == ".global" || word.text == ".const" || word.text == ".shared" || word.text == ".local" ||
          word.text == ".managed" || word.text == ".unified")
        continue;
      if (word.text == ".attribute") {
        skipUntil(")");
        continue;
      }
      if (word.text == ".v2" || word.text == ".v4") {
        vector_ = word.text == ".v2" ? 2 : 4;
        continue;
      }
      Type type = typeNamed(word.text.substr(1));
      if (type == Type::None)
        fail(word.line, fmt::format("unknown type '{}'", word.text));
      first.type = type;
    }
    Variable variable = first;
    variable.external = external;
    variable.line = lexer_.peek().line;
    variable.name = name();
    variable.bytes = uint64_t(bytesOf(variable.type)) * vector_;
    if (variable.align < bytesOf(variable.type) * vector_)
      variable.align = uint32_t(bytesOf(variable.type) * vector_);
    vector_ = 1;
    bool open = false;
    while (lexer_.take("[")) {
      if (lexer_.at("]"))
        open = true;
      else
        variable.bytes = arrayOf(uint64_t(integer()), variable);
      expect("]");
    }
    if (open)
      variable.bytes = 0;
    if (lexer_.take("=")) {
      initializer(variable, open ? kLargestVariable : variable.bytes);
      if (open)
        variable.bytes = variable.initial.size();
    }
    return variable;
  }

  uint64_t arrayOf(uint64_t count, const Variable& element) {
    bool global = element.space == Space::Global || element.space == Space::Const;
    if (element.bytes && count > (global ? kLargestVariable : kLargestOnChip) / element.bytes)
      fail(element.line, "a variable of this size is not emulated");
    return count * element.bytes;
  }

  /// Appends to the initial bytes, of which there may be `room`.
  void initializer(Variable& variable, uint64_t room) {
    if (lexer_.take("{")) {
      descend();
      while (!lexer_.take("}")) {
        initializer(variable, room);
        lexer_.take(",");
      }
      --depth_;
      return;
    }
    size_t bytes = size_t(bytesOf(variable.type)), at = variable.initial.size();
    if (bytes == 0 || bytes > 8)
      fail("initial values of this type are not emulated");
    if (at + bytes > room)
      fail(fmt::format("{} has room for {} initial values, here is one more", variable.name, room / bytes));
    variable.initial.resize(at + bytes);
    if (lexer_.peek().kind == Token::Kind::Name) {
      if (bytes != 8)
        fail(fmt::format("an address has 8 bytes, an element of {} has {}", variable.name, bytes));
      std::string symbol = name();
      bool generic = symbol == "generic" && lexer_.take("(");
      if (generic) {
        symbol = name();
        expect(")");
      }
      int64_t addend = lexer_.take("+") ? integer() : 0;
      variable.addresses.push_back({at, symbol, addend, generic});
      return;
    }
    Operand value = immediate();
    int64_t bits = convertLiteral(value, variable.type);
    std::memcpy(&variable.initial[at], &bits, bytes);
  }

  static int64_t convertLiteral(const Operand& value, Type type) {
    if (!value.floating || type == Type::F64)
      return value.value;
    if (value.single)
      return value.value;
    double wide;
    std::memcpy(&wide, &value.value, 8);
    float narrow = float(wide);
    uint32_t bits;
    std::memcpy(&bits, &narrow, 4);
    return bits;
  }

  void function(bool entry) {
    Function made;
    made.entry = entry;
    made.line = lexer_.peek().line;
    scopes_.assign(1, {});
    std::vector<Variable> returns;
    if (lexer_.take("("))
      returns = parameters();
    made.name = name();
    if (lexer_.take("("))
      made.variables = parameters();
    made.parameterCount = int(made.variables.size());
    made.returnCount = int(returns.size());
    for (Variable& variable : returns)
      made.variables.push_back(std::move(variable));
    for (size_t i = 0; i < made.variables.size(); ++i)
      scopes_[0].variables[made.variables[i].name] = int(i);
    while (lexer_.peek().kind == Token::Kind::Directive)
      performanceDirective(made);
    if (!lexer_.take(";")) {
      expect("{");
      made.defined = true;
      function_ = &made;
      position_ = {};
      pendingLabels_.clear();
      targetLists_.clear();
      body();
      resolveLabels(made);
    }
    for (Function& known : module_.functions)
      if (known.name == made.name) {
        if (known.defined && made.defined)
          fail(made.line, fmt::format("{} is defined for the second time, line {} has the first", made.name, known.line));
        if (made.defined)
          known = std::move(made);
        return;
      }
    module_.functions.push_back(std::move(made));
  }

  std::vector<Variable> parameters() {
    std::vector<Variable> out;
    while (!lexer_.take(")")) {
      Variable first;
      if (lexer_.at(".reg"))
        fail("functions with register parameters are not emulated");
      first.space = spaceOf(lexer_.peek().text);
      lexer_.next();
      out.push_back(declarator(first, false));
      lexer_.take(",");
    }
    return out;
  }

  void performanceDirective(Function& made) {
    Token word = lexer_.next();
    int64_t extents[3] = {1, 1, 1}, product = 1;
    for (int i = 0; lexer_.peek().kind == Token::Kind::Number; ++i) {
      int64_t extent = integer();
      if (i > 2)
        fail(word.line, fmt::format("{} has more than three extents", word.text));
      extents[i] = extent;
      product = extent < 0 || extent > 1024 ? 0 : product * extent;
      if (!lexer_.take(","))
        break;
    }
    if (word.text == ".maxntid" || word.text == ".reqntid") {
      if (product < 1 || product > 1024)
        fail(word.line, "a block has 1 to 1024 threads");
      made.maxThreads = int(product);
      if (word.text == ".reqntid")
        for (int i = 0; i < 3; ++i)
          made.requiredBlock[i] = uint32_t(extents[i]);
    } else if (word.text == ".explicitcluster" || word.text == ".reqnctapercluster" || word.text == ".blocksareclusters") {
      fail(word.line, fmt::format("clusters are not emulated ({})", word.text));
    } else if (word.text != ".minnctapersm" && word.text != ".maxnctapersm" && word.text != ".maxnreg" && word.text != ".maxclusterrank" &&
               word.text != ".noreturn") {
      fail(word.line, fmt::format("unknown directive '{}'", word.text));
    }
  }

  void body() {
    int depth = 1;
    while (depth > 0) {
      if (lexer_.peek().kind == Token::Kind::End)
        fail("the function's '}' is missing");
      if (lexer_.take("{")) {
        scopes_.emplace_back();
        ++depth;
      } else if (lexer_.take("}")) {
        closeScope();
        --depth;
      } else {
        statement();
      }
    }
  }

  void statement() {
    const Token& token = lexer_.peek();
    if (token.kind == Token::Kind::Directive) {
      directive();
      return;
    }
    if (token.kind == Token::Kind::Name && token.text[0] != '%' && lexer_.after() == ':' && lexer_.secondAfter() != ':') {
      std::string label(lexer_.next().text);
      expect(":");
      scopes_.back().labels[label] = int(function_->labels.size());
      function_->labels.push_back(int(function_->instructions.size()));
      return;
    }
    instruction();
  }

  void directive() {
    if (lexer_.take(".loc")) {
      position_.file = int(integer());
      position_.sourceLine = int(integer());
      integer();
      while (lexer_.take(",")) { // function_name L [+ n], inlined_at file line column
        std::string word = name();
        if (word == "function_name") {
          name();
          if (lexer_.take("+"))
            integer();
        } else {
          integer(), integer(), integer();
        }
      }
    } else if (lexer_.take(".reg")) {
      registers();
    } else if (lexer_.take(".pragma")) {
      std::string text(lexer_.next().text);
      std::sscanf(text.c_str(), "used_bytes_mask %lu", &usedBytes_);
      expect(";");
    } else if (lexer_.take(".branchtargets")) {
      branchTargets();
    } else if (lexer_.at(".callprototype") || lexer_.at(".calltargets")) {
      fail("indirect calls are not emulated");
    } else {
      bool external = lexer_.take(".extern");
      variables(function_->variables, &scopes_.back(), external);
    }
  }

  /// `name: .branchtargets L0, L1, ...;` The name stands for the list in a brx.idx.
  void branchTargets() {
    std::vector<std::string> targets;
    do
      targets.push_back(name());
    while (lexer_.take(","));
    expect(";");
    for (const auto& [label, index] : scopes_.back().labels)
      if (index + 1 == int(function_->labels.size()))
        targetLists_[label] = targets;
  }

  void registers() {
    Token word = lexer_.next();
    Type type = word.kind == Token::Kind::Directive ? typeNamed(word.text.substr(1)) : Type::None;
    if (type == Type::None)
      fail(word.line, fmt::format("unknown register type '{}'", word.text));
    do {
      std::string base = name();
      if (lexer_.take("<")) {
        int64_t count = integer();
        expect(">");
        if (count < 0 || count > 1'000'000)
          fail("this many registers are not emulated");
        for (int64_t i = 0; i < count; ++i)
          declare(fmt::format("{}{}", base, i), type);
      } else {
        declare(base, type);
      }
    } while (lexer_.take(","));
    expect(";");
  }

  void declare(const std::string& name, Type type) {
    scopes_.back().registers[name] = int(function_->registers.size());
    function_->registers.push_back({name, type});
  }

  void instruction() {
    Instruction made;
    if (lexer_.take("@")) {
      made.guardNegated = lexer_.take("!");
      std::string predicate = name();
      made.guard = find(&Scope::registers, predicate);
      if (made.guard < 0)
        fail(fmt::format("undeclared predicate '{}'", predicate));
    }
    if (lexer_.peek().kind != Token::Kind::Name)
      fail(fmt::format("expected an instruction, found '{}'", lexer_.peek().text));
    Token opcode = lexer_.nextOpcode();
    made.opcode = std::string(opcode.text);
    made.position = position_;
    made.position.line = opcode.line;
    made.usedBytes = std::exchange(usedBytes_, ~0ull);
    while (!lexer_.at(";")) {
      made.operands.push_back(operand(made));
      if (!lexer_.take(",") && !lexer_.at(";"))
        fail(opcode.line, fmt::format("unexpected '{}'", lexer_.peek().text));
    }
    expect(";");
    function_->instructions.push_back(std::move(made));
  }

  Operand operand(const Instruction& in) {
    Operand made;
    descend();
    if (lexer_.take("[")) {
      made = address();
    } else if (lexer_.at("{") || lexer_.at("(")) {
      bool round = lexer_.next().text == "(";
      made.kind = Operand::Kind::List;
      while (!lexer_.take(round ? ")" : "}")) {
        made.parts.push_back(operand(in));
        lexer_.take(",");
      }
    } else if (lexer_.take("!")) {
      made = operand(in);
      made.negated = !made.negated;
    } else if (lexer_.peek().kind == Token::Kind::Number || lexer_.at("-")) {
      made = immediate();
    } else {
      made = named();
      if (lexer_.take("|"))
        made.parts.push_back(operand(in));
    }
    --depth_;
    return made;
  }

  Operand named() {
    int line = lexer_.peek().line;
    std::string word = name();
    Operand made;
    made.name = word;
    if (word == "_")
      return made;
    if ((made.index = find(&Scope::registers, word)) >= 0) {
      made.kind = Operand::Kind::Register;
    } else if (word[0] == '%') {
      made.kind = Operand::Kind::Special;
    } else if (resolveVariable(word, made)) {
      if (lexer_.take("+"))
        made.value = integer();
    } else if (isFunction(word)) {
      made.kind = Operand::Kind::Function;
    } else { // a label, perhaps further down
      made.kind = Operand::Kind::Label;
      made.index = int(pendingLabels_.size());
      pendingLabels_.push_back({word, -1, line, int(scopes_.size())});
    }
    return made;
  }

  bool isFunction(const std::string& word) {
    for (const Function& known : module_.functions)
      if (known.name == word)
        return true;
    return word == function_->name;
  }

  bool resolveVariable(const std::string& word, Operand& made) {
    int local = find(&Scope::variables, word);
    if (local < 0) {
      for (size_t i = 0; i < module_.variables.size(); ++i)
        if (module_.variables[i].name == word) {
          made.kind = Operand::Kind::Variable;
          made.index = -1 - int(i);
          return true;
        }
      return false;
    }
    made.kind = Operand::Kind::Variable;
    made.index = local;
    return true;
  }

  Operand address() {
    Operand made;
    made.kind = Operand::Kind::Address;
    if (lexer_.peek().kind == Token::Kind::Number || lexer_.at("-")) {
      made.value = integer();
    } else {
      Operand base = named();
      made.value = std::exchange(base.value, 0);
      made.parts.push_back(std::move(base));
      if (lexer_.take("+"))
        made.value += integer();
      else if (lexer_.at("-"))
        made.value += integer();
    }
    expect("]");
    return made;
  }

  Operand immediate() {
    bool negative = lexer_.take("-");
    Token token = lexer_.next();
    if (token.kind != Token::Kind::Number)
      fail(token.line, fmt::format("expected a number, found '{}'", token.text));
    return literal(token, negative);
  }

  /// To the lexer a number is any row of digits and letters that starts with a digit. Here it must be all of one form.
  Operand literal(const Token& token, bool negative) {
    std::string_view text = token.text;
    auto refuse = [&](const char* why) { fail(token.line, fmt::format("'{}' is no number: {}", token.text, why)); };
    auto read = [&](auto& value, auto... how) {
      auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, how...);
      if (problem == std::errc::result_out_of_range)
        refuse("it does not fit into 64 bits");
      if (problem != std::errc() || end != text.data() + text.size())
        refuse("expected digits, or 0x, 0b, 0f or 0d before them");
    };
    Operand made;
    made.kind = Operand::Kind::Immediate;
    uint64_t bits = 0;
    char form = text.size() > 1 && text[0] == '0' ? char(std::tolower((unsigned char)text[1])) : ' ';
    if (form == 'f' || form == 'd') {
      made.floating = true;
      made.single = form == 'f';
      text.remove_prefix(2);
      if (text.size() != (made.single ? 8 : 16))
        refuse("0f stands before 8 hexadecimal digits, 0d before 16");
      read(bits, 16);
      bits ^= negative ? 1ull << (made.single ? 31 : 63) : 0;
    } else if (text.find('.') != std::string_view::npos) {
      made.floating = true;
      double value = 0;
      read(value);
      value = negative ? -value : value;
      std::memcpy(&bits, &value, 8);
    } else {
      if (text.size() > 1 && std::tolower((unsigned char)text.back()) == 'u')
        text.remove_suffix(1);
      int base = form == 'x' ? 16 : form == 'b' ? 2 : std::isdigit((unsigned char)form) ? 8 : 10;
      text.remove_prefix(base == 16 || base == 2 ? 2 : 0);
      read(bits, base);
      if (negative && bits > 1ull << 63)
        refuse("it does not fit into 64 bits");
      bits = negative ? 0 - bits : bits;
    }
    made.value = int64_t(bits);
    return made;
  }

  int find(std::unordered_map<std::string, int> Scope::* kind, const std::string& word) const {
    for (size_t i = scopes_.size(); i-- > 0;) {
      auto found = (scopes_[i].*kind).find(word);
      if (found != (scopes_[i].*kind).end())
        return found->second;
    }
    return -1;
  }

  /// Labels may be used before they stand: what the closing scope knows is resolved, the rest belongs to the scope around it.
  void closeScope() {
    for (Pending& pending : pendingLabels_)
      if (pending.label < 0 && pending.depth >= int(scopes_.size())) {
        auto found = scopes_.back().labels.find(pending.name);
        if (found != scopes_.back().labels.end())
          pending.label = found->second;
        else
          pending.depth = int(scopes_.size()) - 1;
      }
    if (scopes_.size() > 1)
      scopes_.pop_back();
  }

  void resolveLabels(Function& made) {
    for (const Pending& pending : pendingLabels_)
      if (pending.label < 0)
        fail(pending.line, fmt::format("undeclared name '{}'", pending.name));
    for (Instruction& in : made.instructions)
      for (Operand& operand : in.operands)
        if (operand.kind == Operand::Kind::Label)
          resolveLabel(in, operand);
  }

  void resolveLabel(const Instruction& in, Operand& operand) {
    const Pending& pending = pendingLabels_[size_t(operand.index)];
    operand.index = pending.label;
    auto list = targetLists_.find(pending.name);
    if (list == targetLists_.end())
      return;
    operand.kind = Operand::Kind::List;
    for (const std::string& name : list->second) {
      auto found = scopes_[0].labels.find(name);
      if (found == scopes_[0].labels.end())
        fail(in.position.line, fmt::format("undeclared label '{}'", name));
      Operand target;
      target.kind = Operand::Kind::Label;
      target.index = found->second;
      operand.parts.push_back(target);
    }
  }

  struct Pending {
    std::string name;
    int label, line, depth;
  };

  Lexer lexer_;
  Module module_;
  Function* function_ = nullptr;
  std::vector<Scope> scopes_;
  std::vector<Pending> pendingLabels_;
  std::map<std::string, std::vector<std::string>> targetLists_;
  Position position_;
  uint64_t usedBytes_ = ~0ull;
  uint64_t vector_ = 1;
  int depth_ = 0;
};

} // namespace

Module parsePtx(const std::string& text) { return Parser(text).parse(); }

} // namespace moec::emulator
