#include "tests/codegen/AssignCases.h"

#include "ir/reference/Evaluate.h"
#include "runtime/core/Philox.h"

#include <fmt/format.h>

namespace moec::testing {

namespace {

/// 0 .. below - 1, and -1 for every eleventh.
Tensor draws(int64_t rows, int64_t choices, int64_t below, uint32_t seed) {
  std::vector<int32_t> numbers;
  for (int64_t i = 0; i < rows * choices; ++i) {
    auto draw = moec::draw(seed, 1, 0, static_cast<uint64_t>(i))[0];
    numbers.push_back(draw % 11 == 0 ? -1 : static_cast<int32_t>(draw % static_cast<uint32_t>(below)));
  }
  return Tensor::of(std::move(numbers), {rows, choices});
}

/// Two of three are true.
Tensor mask(int64_t rows, int64_t choices, uint32_t seed) {
  Tensor mask(DType::Bool, {rows, choices});
  for (int64_t i = 0; i < rows * choices; ++i)
    mask.as<uint8_t>()[static_cast<size_t>(i)] = moec::draw(seed, 2, 0, static_cast<uint64_t>(i))[0] % 3 != 0;
  return mask;
}

reference::Routing outerOf(const AssignCase& c) {
  reference::AssignRule rule{.experts = c.outerExperts, .priority = reference::Priority::ChoiceMajor};
  rule.capacity = std::max<int64_t>(1, c.tokens / 3);
  rule.groups = c.groups && c.isOuterGrouped ? c.groups : 1;
  return reference::assign(draws(c.tokens, c.outerChoices, c.outerExperts, 5), nullptr, nullptr, rule);
}

} // namespace

void PrintTo(const AssignCase& c, std::ostream* out) { *out << c.name; }

std::vector<AssignCase> assignCases() {
  return {
      {"groups", 30, 2, 4, "choice_major", "3", 3},
      {"groupsWithoutCapacity", 30, 2, 4, "token_major", "", 5},
      {"groupsOfOneToken", 12, 3, 5, "token_major", "1", 12},
      {"groupsOfMany", 1200, 3, 20, "choice_major", "trunc(2.0*(t)/(g)/20)", 4, 0, 1, true, true, true},
      {"groupsOfTokenMajor", 1000, 2, 33, "token_major", "20", 2, 0, 1, true, true},
      {"groupsWithAMaskBehind", 90, 2, 3, "choice_major", "9", 3, 0, 1, true, false, true},
      {"groupsWithAMaskBehindAndNoCapacity", 90, 2, 3, "choice_major", "", 3, 0, 1, true, false, true},
      {"nothingIsKept", 30, 2, 4, "token_major", "-100000000"},
      {"groupsWithoutTokens", 0, 2, 4, "choice_major", "4", 2},
      {"enters", 300, 2, 6, "choice_major", "40", 0, 0, 1, true, true},
      {"entersAndStays", 300, 2, 6, "token_major", "40", 0, 0, 1, true, true, true},
      {"within", 40, 2, 12, "choice_major", "4", 0, 3, 2, true, true},
      {"withinWithoutCapacity", 40, 1, 12, "token_major", "", 0, 3, 2},
      {"withinGroups", 60, 2, 35, "choice_major", "3", 4, 5, 2, true, true},
      {"withinMixedGroups", 60, 2, 35, "choice_major", "3", 4, 5, 2, false, true, true},
      {"withinMixedGroupsOfTokenMajor", 66, 2, 6, "token_major", "5", 3, 2, 3, false},
      {"withinOneOfEach", 50, 2, 7, "choice_major", "6", 2, 7, 1},
  };
}

ParsedKernel parseAssign(const AssignCase& c) {
  std::string rows = c.rows() == c.tokens && !c.outerExperts ? "t" : c.outerChoices == 1 ? "t" : fmt::format("{}*t", c.outerChoices);
  auto matrix = [&](const char* element) { return fmt::format("tensor<?x{}x{}, #moe.sizes<\"{}\", \"{}\">>", c.choices, element, rows, c.choices); };
  std::string routing = fmt::format("!moe.routing<{} experts, \"{}\" tokens, {} choices>", c.experts, rows, c.choices);
  std::string outer = fmt::format("!moe.routing<{} experts, \"t\" tokens, {} choices>", c.outerExperts, c.outerChoices);
  std::string arguments = "%i: " + matrix("i32"), body = "%a = moe.assign %i";
  if (c.enters) {
    arguments += ", %k: " + matrix("i1");
    body += " keep %k : " + matrix("i1");
  }
  if (c.outerExperts) {
    arguments += ", %o: " + outer;
    body += " within %o : " + outer;
  }
  body += fmt::format(" experts {} {}", c.experts, c.priority);
  if (*c.capacity)
    body += fmt::format(" capacity \"{}\"", Size::parse(c.capacity).str());
  if (c.groups)
    body += " groups \"g\"";
  body += " : " + matrix("i32") + "\n";
  if (c.stays) {
    arguments += ", %s: " + matrix("i1");
    body += fmt::format("%r = moe.drop %a, %s : {}, {}\n", routing, matrix("i1"));
  }
  return parseKernel("gate", arguments, routing, body + fmt::format("moe.yield %{} : {}", c.stays ? "r" : "a", routing));
}

AssignInputs inputsOf(const AssignCase& c) {
  AssignInputs inputs{{}, c.rows(), {}};
  int64_t offered = c.outerExperts ? c.experts / c.outerExperts : c.experts;
  Tensor indices = draws(c.rows(), c.choices, offered, 7);
  std::optional<reference::Routing> outer;
  if (c.outerExperts) {
    outer = outerOf(c);
    inputs.kept = outer->kept();
    // Behind the rows that there are nothing may be read.
    std::fill(indices.as<int32_t>().begin() + inputs.kept * c.choices, indices.as<int32_t>().end(), 12345);
  }
  auto add = [&](Tensor tensor, bool isRagged) {
    if (isRagged && outer)
      inputs.ragged.push_back(static_cast<unsigned>(inputs.tensors.size()));
    inputs.tensors.push_back(std::move(tensor));
  };
  add(indices, true);
  if (c.enters)
    add(mask(c.rows(), c.choices, 8), true);
  if (outer)
    add(reference::toTensor(*outer), false);
  if (c.stays)
    add(mask(c.rows(), c.choices, 9), true);
  return inputs;
}

Bindings bindingsOf(const AssignCase& c) { return {{"t", c.tokens}, {"g", std::max<int64_t>(c.groups, 1)}}; }

} // namespace moec::testing
