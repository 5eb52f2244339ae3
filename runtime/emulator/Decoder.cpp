#include "runtime/emulator/Decoder.h"

#include "runtime/emulator/Opcodes.h"
#include "runtime/emulator/machine/Memory.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>
#include <utility>

namespace moec::emulator {

const char* nameOf(Class kind) {
  constexpr const char* names[] = {"move", "integer", "float32", "float64",    "half",    "convert", "predicate", "special",
                                   "load", "store",   "atomic",  "async copy", "barrier", "warp",    "matrix",    "control"};
  return names[int(kind)];
}

/// One function being put into the program: the kernel, or a device function at one of its calls.
struct Decoder::Frame {
  const Function& function;
  std::vector<uint32_t> registers;  // register number in the program, by register of the function
  std::vector<uint64_t> variables;  // address in its space, by variable of the function
  std::vector<Space> spaces;        // parameters of device functions are local memory
  std::vector<uint64_t> given = {}; // where the parameters of a device function are
  uint32_t firstLabel = 0, endLabel = 0;
};

Decoder::Decoder(const Module& module, const VariablePlaces& places, int variant) : module_(module), places_(places), variant_(variant) {}

void Decoder::fail(const std::string& message) const {
  throw PtxError(fmt::format("ptx:{}: {}: \"{}\"",
                             source_  ? source_->position.line
                             : frame_ ? frame_->function.line
                                      : 0,
                             message, source_ ? source_->opcode : ""));
}

Program Decoder::decode(const Function& kernel) {
  program_.name = kernel.name;
  program_.maxThreads = kernel.maxThreads;
  std::copy_n(kernel.requiredBlock, 3, program_.requiredBlock);
  program_.registers.push_back({"true", true, 0});
  for (const auto& [index, file] : module_.files) {
    program_.files.resize(std::max(program_.files.size(), size_t(index) + 1));
    program_.files[size_t(index)] = file;
  }
  sharedWidth_ = globalWidth_ = 16;
  Frame frame{kernel, {}, {}, {}};
  body(frame);
  source_ = nullptr;
  Instr end;
  end.control = Control::Exit;
  emit(end, Class::Control, nullptr);
  resolveBranches();
  program_.sharedGranule = sharedWidth_;
  program_.globalGranule = globalWidth_;
  program_.sharedBytes = (program_.sharedBytes + 15) / 16 * 16;
  findSources();
  emulator::findJoins(program_);
  emulator::findUndefinedReads(program_);
  return std::move(program_);
}

void Decoder::placeVariables(Frame& frame) {
  const Function& function = frame.function;
  for (size_t i = 0; i < function.variables.size(); ++i) {
    const Variable& variable = function.variables[i];
    Space space = variable.space;
    uint64_t place = 0;
    auto align = [&](uint32_t& used) {
      used = (used + variable.align - 1) / variable.align * variable.align;
      place = used;
      used += uint32_t(variable.bytes);
    };
    if (space == Space::Param && function.entry && int(i) < function.parameterCount) {
      align(program_.parameterBytes);
      program_.parameters.push_back({variable.name, uint32_t(place), uint32_t(variable.bytes)});
    } else if (i < frame.given.size()) {
      space = Space::Local;
      place = frame.given[i];
    } else if (space == Space::Param || space == Space::Local) {
      space = Space::Local;
      align(program_.localBytes);
    } else if (space == Space::Shared) {
      auto [known, fresh] = sharedPlaces_.try_emplace(function.name + "::" + variable.name, 0);
      if (fresh && !variable.external) {
        align(program_.sharedBytes);
        known->second = uint32_t(place);
      }
      place = known->second;
    } else if (space == Space::Global || space == Space::Const) {
      throw PtxError(fmt::format("ptx:{}: variable {} inside a function is not emulated", variable.line, variable.name));
    }
    frame.variables.push_back(place);
    frame.spaces.push_back(space);
  }
}

void Decoder::body(Frame& frame) {
  Frame* outer = frame_;
  frame_ = &frame;
  const Function& function = frame.function;
  if (!function.defined)
    fail(fmt::format("function {} has no body", function.name));
  for (const Register& reg : function.registers) {
    bool predicate = reg.type == Type::Pred;
    uint32_t place = predicate ? program_.predicates++ : program_.units;
    if (!predicate)
      program_.units += bytesOf(reg.type) == 16 ? 4 : bytesOf(reg.type) == 8 ? 2 : 1;
    frame.registers.push_back(uint32_t(program_.registers.size()));
    program_.registers.push_back({reg.name, predicate, place});
    flows_.resize(program_.registers.size());
  }
  flows_.resize(program_.registers.size());
  placeVariables(frame);
  frame.firstLabel = uint32_t(labelPlaces_.size());
  frame.endLabel = frame.firstLabel + uint32_t(function.labels.size());
  labelPlaces_.resize(frame.endLabel + 1, kNowhere); // the last one stands behind the body
  std::vector<std::pair<int, uint32_t>> marks;
  for (size_t i = 0; i < function.labels.size(); ++i)
    marks.push_back({function.labels[i], frame.firstLabel + uint32_t(i)});
  std::sort(marks.begin(), marks.end());
  size_t mark = 0;
  for (size_t i = 0; i <= function.instructions.size(); ++i) {
    for (; mark < marks.size() && marks[mark].first == int(i); ++mark)
      labelPlaces_[marks[mark].second] = uint32_t(program_.code.size());
    if (i < function.instructions.size())
      instruction(frame, function.instructions[i]);
  }
  labelPlaces_[frame.endLabel] = uint32_t(program_.code.size());
  frame_ = outer;
}

void Decoder::instruction(Frame& frame, const Instruction& source) {
  source_ = &source;
  Words words(source.opcode);
  words_ = &words;
  info_ = InstrInfo();
  carries_ = false;
  Instr in;
  if (source.guard >= 0) {
    uint32_t reg = frame.registers[size_t(source.guard)];
    if (!program_.registers[reg].predicate)
      fail("the guard is not a predicate");
    in.guard = program_.registers[reg].place;
    in.guardFlip = source.guardNegated ? ~0u : 0;
    info_.reads.push_back(reg);
  }
  std::string_view name = words.mnemonic();
  if (name == "bra" || name == "brx") {
    branch(frame, in);
  } else if (name == "call") {
    call(source, in);
  } else if (name == "ret" || name == "exit") {
    words.take("uni");
    in.control = name == "ret" && depth_ ? Control::Branch : Control::Exit;
    if (in.control == Control::Branch)
      labelUses_.push_back({uint32_t(program_.code.size()), frame.endLabel});
    emit(in, Class::Control, &source);
  } else {
    const Opcode* opcode = findOpcode(name, variant_);
    if (!opcode)
      fail(fmt::format("unknown opcode '{}'", name));
    info_.kind = Class::Move;
    opcode->make(*this, in);
    if (std::string_view rest = words.leftOver(); !rest.empty())
      fail(fmt::format("'{}' does not know the suffix '.{}' here", name, rest));
    if (!in.run && in.control == Control::None)
      fail("this form is not emulated");
    if (carries_)
      for (uint32_t to : info_.writes)
        for (uint32_t from : info_.reads)
          if (!program_.registers[from].predicate && !program_.registers[to].predicate)
            flows_[to].from.push_back(from);
    if (carries_)
      for (uint32_t to : info_.writes)
        flows_[to].sources |= pendingSources_;
    pendingSources_ = 0;
    emit(in, info_.kind, &source);
  }
  words_ = nullptr;
}

void Decoder::emit(Instr in, Class kind, const Instruction* from) {
  info_.kind = kind;
  if (from) {
    info_.position = from->position;
    info_.opcode = from->opcode;
    info_.usedBytes = from->usedBytes;
  } else if (!program_.info.empty()) {
    info_.position = program_.info.back().position;
    info_.opcode = "exit";
  }
  program_.code.push_back(in);
  program_.info.push_back(std::move(info_));
  info_ = InstrInfo();
}

void Decoder::branch(Frame& frame, Instr& in) {
  words_->take("uni");
  const Instruction& source = *source_;
  auto jump = [&](Instr made, int label) {
    made.control = Control::Branch;
    labelUses_.push_back({uint32_t(program_.code.size()), frame.firstLabel + uint32_t(label)});
    emit(made, Class::Control, &source);
  };
  if (words_->mnemonic() == "bra") {
    if (operandCount() != 1 || operand(0).kind != Operand::Kind::Label)
      fail("expected a label");
    return jump(in, operand(0).index);
  }
  // brx.idx is a row of tests.
  words_->take("idx");
  if (operandCount() != 2 || operand(1).kind != Operand::Kind::List)
    fail("expected an index and a list of targets");
  if (in.guard)
    fail("a guarded brx.idx is not emulated");
  const Opcode* setp = findOpcode("setp", variant_);
  const std::vector<Operand>& targets = operand(1).parts;
  for (size_t i = 0; i + 1 < targets.size(); ++i) {
    uint32_t predicate = program_.predicates++, reg = uint32_t(program_.registers.size());
    program_.registers.push_back({fmt::format("brx{}", i), true, predicate});
    flows_.resize(program_.registers.size());
    Words words("setp.eq.u32");
    Words* mine = std::exchange(words_, &words);
    Instruction test;
    test.opcode = "setp.eq.u32";
    Operand to, value;
    to.kind = Operand::Kind::Register;
    to.index = int(frame.registers.size());
    frame.registers.push_back(reg);
    value.kind = Operand::Kind::Immediate;
    value.value = int64_t(i);
    test.operands = {to, operand(0), value};
    test.position = source.position;
    source_ = &test;
    Instr compare;
    setp->make(*this, compare);
    emit(compare, Class::Predicate, &test);
    source_ = &source;
    words_ = mine;
    Instr jumping;
    jumping.guard = predicate;
    info_.reads.push_back(reg);
    jump(jumping, targets[i].index);
  }
  jump(Instr(), targets.back().index);
}

/// A device function is put in at the call. Its parameters are local memory: the caller's `.param` variables and the callee's are the
/// same bytes, copied neither way.
void Decoder::call(const Instruction& source, Instr& in) {
  words_->take("uni");
  if (in.guard)
    fail("a guarded call is not emulated");
  size_t at = 0;
  std::vector<Operand> results, arguments;
  if (operand(0).kind == Operand::Kind::List)
    results = operand(at++).parts;
  const Operand callee = operand(at++);
  if (callee.kind != Operand::Kind::Function)
    fail("indirect calls are not emulated");
  if (at < operandCount() && operand(at).kind == Operand::Kind::List)
    arguments = operand(at).parts;
  const Function* function = nullptr;
  for (const Function& known : module_.functions)
    if (known.name == callee.name)
      function = &known;
  if (callee.name == "__assertfail" || (function && !function->defined && callee.name == "__assert_fail")) {
    in.control = Control::Trap;
    return emit(in, Class::Control, &source);
  }
  if (!function || !function->defined)
    fail(fmt::format("calls {}, which has no body here", callee.name));
  if (++depth_ > 16)
    fail("recursive calls are not emulated");
  if (int(arguments.size()) != function->parameterCount || int(results.size()) != function->returnCount)
    fail("the number of arguments differs from the function's");
  Frame inner{*function, {}, {}, {}};
  for (const std::vector<Operand>* side : {&arguments, &results})
    for (const Operand& outside : *side) {
      if (outside.kind != Operand::Kind::Variable)
        fail("only .param variables can be passed");
      Space space;
      inner.given.push_back(addressOf(outside, space));
    }
  body(inner);
  --depth_;
}

void Decoder::resolveBranches() {
  for (auto [at, label] : labelUses_)
    program_.code[at].target = labelPlaces_[label];
}

const Operand& Decoder::operand(size_t i) {
  if (i >= source_->operands.size())
    fail(fmt::format("expected at least {} operands", i + 1));
  return source_->operands[i];
}

int Decoder::registerNumber(const Operand& operand) const {
  return operand.kind == Operand::Kind::Register ? int(frame_->registers[size_t(operand.index)]) : -1;
}

int Decoder::containerBytes(const Operand& operand) const {
  if (operand.kind != Operand::Kind::Register || size_t(operand.index) >= frame_->function.registers.size())
    return 0;
  Type type = frame_->function.registers[size_t(operand.index)].type;
  return type == Type::Pred ? 0 : std::max(4, bytesOf(type));
}

int Decoder::registerBytes(const Operand& operand) const {
  if (operand.kind != Operand::Kind::Register || size_t(operand.index) >= frame_->function.registers.size())
    return 0;
  return bytesOf(frame_->function.registers[size_t(operand.index)].type);
}

bool Decoder::isPredicate(const Operand& operand) const {
  int number = registerNumber(operand);
  return number >= 0 && program_.registers[size_t(number)].predicate;
}

uint32_t Decoder::constant(uint64_t bits) {
  auto [known, fresh] = constants_.try_emplace(bits, program_.units);
  if (fresh) {
    program_.constants.push_back({program_.units, bits});
    program_.units += 2;
  }
  return known->second;
}

uint32_t Decoder::narrowConstant(uint32_t bits) {
  auto [known, fresh] = narrowConstants_.try_emplace(bits, program_.units);
  if (fresh) {
    program_.narrowConstants.push_back({program_.units, bits});
    program_.units += 1;
  }
  return known->second;
}

std::optional<int64_t> Decoder::immediate(const Operand& operand) const {
  if (operand.kind != Operand::Kind::Immediate)
    return std::nullopt;
  return operand.value;
}

uint32_t Decoder::read(const Operand& operand, Type type) {
  bool wide = bytesOf(type) == 8;
  switch (operand.kind) {
  case Operand::Kind::Register: {
    uint32_t number = uint32_t(registerNumber(operand));
    const ProgramRegister& reg = program_.registers[number];
    if (reg.predicate)
      fail(fmt::format("{} is a predicate", reg.name));
    if (wide && containerBytes(operand) < 8)
      fail(fmt::format("{} is narrower than .{}", reg.name, nameOf(type)));
    if (!wide && containerBytes(operand) == 8 && bytesOf(type))
      fail(fmt::format("{} is wider than .{}", reg.name, nameOf(type)));
    info_.reads.push_back(number);
    return reg.place;
  }
  case Operand::Kind::Immediate: {
    uint64_t bits = uint64_t(operand.value);
    if (operand.floating && !operand.single && type != Type::F64 && bytesOf(type) == 4) {
      double value;
      std::memcpy(&value, &bits, 8);
      bits = std::bit_cast<uint32_t>(float(value));
    } else if (operand.floating && operand.single && type == Type::F64) {
      bits = std::bit_cast<uint64_t>(double(std::bit_cast<float>(uint32_t(bits))));
    }
    if (wide)
      return constant(bits);
    return narrowConstant(bytesOf(type) == 2 ? uint32_t(bits) & 0xffff : uint32_t(bits));
  }
  case Operand::Kind::Special:
    return special(operand.name, type);
  case Operand::Kind::Variable: {
    Space space;
    uint64_t address = addressOf(operand, space) + uint64_t(operand.value);
    pendingSources_ |= 1ull << std::min<uint32_t>(sourceOf(operand), 63);
    return wide ? constant(address) : narrowConstant(uint32_t(address));
  }
  default:
    fail("expected a register or a constant");
  }
}

uint32_t Decoder::write(const Operand& operand) {
  if (operand.kind == Operand::Kind::Sink)
    return kNowhere;
  int number = registerNumber(operand);
  if (number < 0 || program_.registers[size_t(number)].predicate)
    fail("expected a destination register");
  info_.writes.push_back(uint32_t(number));
  return program_.registers[size_t(number)].place;
}

uint32_t Decoder::readPredicate(const Operand& operand, uint32_t& flip) {
  flip = operand.negated ? ~0u : 0;
  if (operand.kind == Operand::Kind::Immediate) {
    flip = operand.value ? 0 : ~0u;
    return 0;
  }
  if (!isPredicate(operand))
    fail("expected a predicate");
  uint32_t number = uint32_t(registerNumber(operand));
  info_.reads.push_back(number);
  return program_.registers[number].place;
}

uint32_t Decoder::writePredicate(const Operand& operand) {
  if (operand.kind == Operand::Kind::Sink)
    return kNowhere;
  if (!isPredicate(operand))
    fail("expected a predicate");
  uint32_t number = uint32_t(registerNumber(operand));
  info_.writes.push_back(number);
  return program_.registers[number].place;
}

uint32_t Decoder::special(const std::string& name, Type type) {
  static const std::unordered_map<std::string, SpecialRegister> known = {{"%tid.x", SpecialRegister::TidX},
                                                                         {"%tid.y", SpecialRegister::TidY},
                                                                         {"%tid.z", SpecialRegister::TidZ},
                                                                         {"%ntid.x", SpecialRegister::NtidX},
                                                                         {"%ntid.y", SpecialRegister::NtidY},
                                                                         {"%ntid.z", SpecialRegister::NtidZ},
                                                                         {"%ctaid.x", SpecialRegister::CtaidX},
                                                                         {"%ctaid.y", SpecialRegister::CtaidY},
                                                                         {"%ctaid.z", SpecialRegister::CtaidZ},
                                                                         {"%nctaid.x", SpecialRegister::NctaidX},
                                                                         {"%nctaid.y", SpecialRegister::NctaidY},
                                                                         {"%nctaid.z", SpecialRegister::NctaidZ},
                                                                         {"%laneid", SpecialRegister::LaneId},
                                                                         {"%warpid", SpecialRegister::WarpId},
                                                                         {"%nwarpid", SpecialRegister::NwarpId},
                                                                         {"%smid", SpecialRegister::SmId},
                                                                         {"%nsmid", SpecialRegister::NsmId},
                                                                         {"%gridid", SpecialRegister::GridId},
                                                                         {"%lanemask_eq", SpecialRegister::LaneMaskEq},
                                                                         {"%lanemask_le", SpecialRegister::LaneMaskLe},
                                                                         {"%lanemask_lt", SpecialRegister::LaneMaskLt},
                                                                         {"%lanemask_ge", SpecialRegister::LaneMaskGe},
                                                                         {"%lanemask_gt", SpecialRegister::LaneMaskGt},
                                                                         {"%dynamic_smem_size", SpecialRegister::DynamicSharedBytes},
                                                                         {"%total_smem_size", SpecialRegister::TotalSharedBytes}};
  auto found = known.find(name);
  if (found == known.end())
    fail(fmt::format("undeclared register or unknown special register '{}'", name));
  bool wide = bytesOf(type) == 8;
  auto [place, fresh] = specials_.try_emplace(fmt::format("{}{}", name, wide ? "/64" : ""), program_.units);
  if (fresh) {
    program_.specials.push_back({program_.units, found->second, wide});
    program_.units += wide ? 2 : 1;
  }
  return place->second;
}

const Variable& Decoder::variable(const Operand& operand) const {
  return operand.index >= 0 ? frame_->function.variables[size_t(operand.index)] : module_.variables[size_t(-1 - operand.index)];
}

/// The address of a variable in its own space, and that space.
uint64_t Decoder::addressOf(const Operand& operand, Space& space) {
  const Variable& found = variable(operand);
  space = found.space;
  if (operand.index >= 0) {
    space = frame_->spaces[size_t(operand.index)];
    if (found.external && space == Space::Shared)
      return dynamicShared();
    return frame_->variables[size_t(operand.index)];
  }
  if (space != Space::Shared) {
    uint64_t place = places_.addresses[size_t(-1 - operand.index)];
    if (!place)
      fail(fmt::format("{} is .extern and defined nowhere in this module", found.name));
    return place;
  }
  if (found.external && found.bytes == 0)
    return dynamicShared();
  auto [known, fresh] = sharedPlaces_.try_emplace("::" + found.name, 0);
  if (fresh) {
    program_.sharedBytes = (program_.sharedBytes + found.align - 1) / found.align * found.align;
    known->second = program_.sharedBytes;
    program_.sharedBytes += uint32_t(found.bytes);
  }
  return known->second;
}

/// Dynamic shared memory lies behind all static variables of the module, so its address is known before they are all met.
uint64_t Decoder::dynamicShared() {
  if (!dynamicAt_) {
    uint64_t total = program_.sharedBytes;
    for (const Variable& variable : module_.variables)
      if (variable.space == Space::Shared && !sharedPlaces_.count("::" + variable.name))
        total += variable.bytes + variable.align;
    for (const Function& function : module_.functions)
      if (!function.entry)
        for (const Variable& variable : function.variables)
          if (variable.space == Space::Shared)
            total += variable.bytes + variable.align;
    dynamicAt_ = (total + 1023) / 1024 * 1024;
    if (total == 0)
      dynamicAt_ = 0;
    program_.dynamicSharedAt = *dynamicAt_;
  }
  return *dynamicAt_;
}

uint32_t Decoder::sourceOf(const Operand& operand) {
  Space space;
  uint64_t address = addressOf(operand, space);
  const Variable& found = variable(operand);
  Source made{space == Space::Shared  ? Source::Kind::Shared
              : space == Space::Local ? Source::Kind::Local
                                      : Source::Kind::Global,
              address, found.external ? 0 : found.bytes};
  return addSource(made);
}

void Decoder::address(Instr& in, const Operand& operand, Space space, bool reads, bool writes, uint32_t totalBytes) {
  if (operand.kind != Operand::Kind::Address)
    fail("expected an address in brackets");
  in.space = space;
  in.displacement = operand.value;
  AddressUse use{uint32_t(program_.bounds.size()), kNowhere, 0};
  if (operand.parts.empty()) {
    in.a = constant(0);
    in.wideAddress = true;
  } else if (const Operand& base = operand.parts[0]; base.kind == Operand::Kind::Variable) {
    Space own;
    in.displacement += int64_t(addressOf(base, own));
    if (space == Space::Param && own == Space::Local) // a device function's parameter
      in.space = Space::Local;
    else if (space == Space::Generic)
      in.space = own == Space::Const ? Space::Global : own;
    in.a = constant(0);
    in.wideAddress = true;
    if (own != Space::Param)
      use.sources = 1ull << std::min<uint32_t>(sourceOf(base), 63);
  } else {
    in.wideAddress = containerBytes(base) == 8;
    use.reg = uint32_t(registerNumber(base));
    in.a = read(base, in.wideAddress ? Type::B64 : Type::B32);
  }
  if (in.space == Space::Const)
    in.space = Space::Global;
  if (in.space == Space::Param)
    return;
  if (in.space == Space::Shared || in.space == Space::Generic)
    sharedWidth_ = std::min(sharedWidth_, totalBytes);
  if (in.space == Space::Global || in.space == Space::Generic)
    globalWidth_ = std::min(globalWidth_, totalBytes);
  in.bounds = use.bounds;
  program_.bounds.push_back({{}, writes, reads, in.space});
  addressUses_.push_back(use);
}

uint32_t Decoder::addList(const std::vector<uint32_t>& places) {
  uint32_t at = uint32_t(program_.lists.size());
  program_.lists.insert(program_.lists.end(), places.begin(), places.end());
  return at;
}

uint32_t Decoder::carryFlag() {
  if (carryFlag_ == kNowhere)
    carryFlag_ = program_.predicates++;
  return carryFlag_;
}

void Decoder::count(Class kind, uint32_t flops) {
  info_.kind = kind;
  info_.flops = flops;
}

} // namespace moec::emulator
