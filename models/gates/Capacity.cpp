#include "models/gates/Capacity.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

Size::Real product(std::initializer_list<Size::Real::Factor> factors) { return {.factors = factors}; }

Size::Real::Factor times(double number) { return {.number = number, .size = {}, .op = '*'}; }
Size::Real::Factor times(const Size& size) { return {.number = {}, .size = size, .op = '*'}; }
Size::Real::Factor over(const Size& size) { return {.number = {}, .size = size, .op = '/'}; }

/// The order of the factors is the original's: it decides how a product just above or below an integer rounds.
Size sizeOf(const CapacityRule& rule, double rate, bool up) {
  Size experts(rule.experts);
  switch (rule.form) {
  case CapacityForm::Whole:
    return Size::floorDiv(Size(rule.choices) * Size::ceil(product({times(rate), times(rule.tokens)})), experts);
  case CapacityForm::Share: {
    Size::Real share = product({times(rate), times(rule.tokens), over(experts)});
    return up ? Size::ceil(share) : Size::trunc(share);
  }
  case CapacityForm::Bounded:
    return Size::min(rule.tokens, Size::trunc(product({times(rule.tokens), times(rate), over(experts)})));
  case CapacityForm::Even:
    return Size::ceil(product({times(rule.tokens), over(experts), times(rate * static_cast<double>(rule.choices))}));
  case CapacityForm::Blocks:
    return Size(rule.choices) * Size::trunc(product({times(rate), times(Size::ceilDiv(rule.tokens, experts))}));
  }
  return {};
}

} // namespace

bool findCapacity(Site& site, const Arguments& arguments, const CapacityRule& rule, std::optional<Size>& capacity) {
  auto knows = [&](std::string_view name) { return arguments.kind().find(name) && arguments.has(name); };
  if (knows("expert_capacity")) {
    capacity = Size(arguments.integer("expert_capacity"));
    if (arguments.at("capacity") == arguments.position()) // not written
      return true;
    site.error(arguments.at("expert_capacity"), "\"expert_capacity\" says how many tokens an expert takes, and so does "
                                                "\"capacity\", as a rate; give one of them");
    return false;
  }
  if (!arguments.has("capacity") || (knows("dropless") && arguments.flag("dropless")))
    return true;
  double rate = arguments.numberByMode("capacity");
  if (rule.form == CapacityForm::Whole) {
    capacity = fastmoeCapacity(site, arguments.at("capacity"), rate, rule.tokens, rule.choices, rule.experts);
    return capacity.has_value();
  }
  Size found = sizeOf(rule, rate, knows("rounding") && arguments.word("rounding") == "up");
  bool hasLeast = knows("least_capacity");
  if (hasLeast)
    found = Size::max(found, Size(arguments.integer("least_capacity")));
  capacity = found;
  bool isNothing = found == Size(0) || (rate == 0 && !(hasLeast && arguments.integer("least_capacity") > 0));
  if (isNothing)
    site.error(arguments.at("capacity"), fmt::format("a capacity rate of {} leaves no place in {} experts for {} tokens: all would be dropped; "
                                                     "raise it{}",
                                                     rate, rule.experts, rule.tokens.str(), hasLeast ? ", or \"least_capacity\"" : ""));
  return !isNothing;
}

std::optional<Size> fastmoeCapacity(Site& site, Position position, double rate, const Size& tokens, int64_t choices, int64_t experts) {
  Size capacity = sizeOf({CapacityForm::Whole, tokens, choices, experts}, rate, false);
  if (capacity == Size(0) || rate == 0) {
    site.error(position, fmt::format("a capacity rate of {} leaves no place in {} experts for {} tokens with {} choices: all would be dropped", rate, experts,
                                     tokens.str(), choices));
    return std::nullopt;
  }
  return capacity;
}

Parameter capacityParameter(std::string fallback, std::string doc, std::string source) {
  return {.name = "capacity",
          .type = ParameterType::Capacity,
          .fallback = std::move(fallback),
          .least = 0,
          .most = 1e6,
          .doc = std::move(doc),
          .source = std::move(source)};
}

Parameter leastCapacityParameter(std::string fallback, double least, std::string doc, std::string source) {
  return {.name = "least_capacity", .fallback = std::move(fallback), .least = least, .doc = std::move(doc), .source = std::move(source)};
}

Parameter capacityPerParameter(std::string fallback, std::string source) {
  return {.name = "per",
          .type = ParameterType::Word,
          .fallback = std::move(fallback),
          .words = {"call", "row"},
          .doc = "What T counts, and what has a capacity of its own: the call, or each row of the batch, x being "
                 "(.., tokens, D).",
          .source = std::move(source)};
}

Size capacityGroups(const Site& site, const Arguments& arguments) { return arguments.word("per") == "row" ? site.groups() : Size(1); }

} // namespace moec::models
