#include "runtime/core/SizePolynomial.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace moec {
namespace {

// Above this a size is no size any more; it also bounds the work that a damaged file can ask for.
constexpr size_t kMaxTerms = 4096;

bool byText(const std::shared_ptr<const SizeAtom>& a, const std::shared_ptr<const SizeAtom>& b) { return a->text < b->text; }

std::string print(const Monomial& monomial) {
  std::string text;
  for (const auto& atom : monomial) {
    if (!text.empty())
      text += '*';
    text += atom->text;
  }
  return text;
}

std::string print(double number) {
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return {buffer, end};
}

bool isName(const Size& size) {
  const auto& terms = Size::Node::of(size).terms;
  return terms.size() == 1 && terms[0].coefficient == 1 && terms[0].monomial.size() == 1 && !terms[0].monomial[0]->call;
}

std::string print(const Size::Real& real) {
  std::string text;
  for (const Size::Real::Factor& factor : real.factors) {
    if (!text.empty())
      text += factor.op;
    if (factor.number)
      text += print(*factor.number);
    else
      text += isName(*factor.size) ? factor.size->str() : "(" + factor.size->str() + ")";
  }
  return text;
}

std::string print(const SizeCall& call) {
  switch (call.kind) {
  case SizeCall::Kind::FloorDiv:
    return "floordiv(" + call.operands[0].str() + "," + call.operands[1].str() + ")";
  case SizeCall::Kind::Min:
    return "min(" + call.operands[0].str() + "," + call.operands[1].str() + ")";
  case SizeCall::Kind::Max:
    return "max(" + call.operands[0].str() + "," + call.operands[1].str() + ")";
  case SizeCall::Kind::Ceil:
    return "ceil(" + print(call.real) + ")";
  case SizeCall::Kind::Trunc:
    return "trunc(" + print(call.real) + ")";
  }
  return {};
}

std::string print(const std::vector<SizeTerm>& terms, const std::vector<std::string>& keys) {
  if (terms.empty())
    return "0";
  std::string text;
  for (size_t i = 0; i < terms.size(); ++i) {
    int64_t coefficient = terms[i].coefficient;
    if (coefficient < 0)
      text += '-';
    else if (i > 0)
      text += '+';
    uint64_t magnitude = coefficient < 0 ? 0 - static_cast<uint64_t>(coefficient) : static_cast<uint64_t>(coefficient);
    if (keys[i].empty())
      text += std::to_string(magnitude);
    else
      text += magnitude == 1 ? keys[i] : std::to_string(magnitude) + "*" + keys[i];
  }
  return text;
}

/// Graded lexicographic order, a true monomial order (a < b implies a*c < b*c): what division needs. Greatest first.
struct GradedOrder {
  bool operator()(const Monomial& a, const Monomial& b) const {
    if (a.size() != b.size())
      return a.size() > b.size();
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), byText);
  }
};

} // namespace

int64_t addChecked(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_add_overflow(a, b, &result))
    throw Error(Fault::Data, fmt::format("size overflows 64 bits: {} + {}", a, b));
  return result;
}

int64_t multiplyChecked(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_mul_overflow(a, b, &result))
    throw Error(Fault::Data, fmt::format("size overflows 64 bits: {} * {}", a, b));
  return result;
}

int64_t floorDivide(int64_t a, int64_t b) {
  if (b == 0)
    throw Error(Fault::Data, fmt::format("size divides {} by zero", a));
  if (b == -1)
    return multiplyChecked(a, -1);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t roundReal(SizeCall::Kind kind, double value) {
  double rounded = kind == SizeCall::Kind::Ceil ? std::ceil(value) : std::trunc(value);
  if (!(rounded >= -0x1p63 && rounded < 0x1p63))
    throw Error(Fault::Data, fmt::format("size is no 64-bit integer: {}", value));
  return static_cast<int64_t>(rounded);
}

Size Size::Node::make(std::vector<SizeTerm> terms) {
  if (terms.size() > kMaxTerms)
    throw Error(Fault::Data, fmt::format("size has {} terms, more than {}", terms.size(), kMaxTerms));
  std::vector<std::pair<std::string, SizeTerm>> keyed;
  keyed.reserve(terms.size());
  for (SizeTerm& term : terms) {
    std::sort(term.monomial.begin(), term.monomial.end(), byText);
    std::string key = print(term.monomial);
    keyed.emplace_back(std::move(key), std::move(term));
  }
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
    size_t degreeA = a.second.monomial.size(), degreeB = b.second.monomial.size();
    return degreeA != degreeB ? degreeA > degreeB : a.first < b.first;
  });
  auto node = std::make_shared<Node>();
  std::vector<std::string> keys;
  auto dropZero = [&] {
    if (!keys.empty() && node->terms.back().coefficient == 0) {
      node->terms.pop_back();
      keys.pop_back();
    }
  };
  for (auto& [key, term] : keyed) {
    if (!keys.empty() && keys.back() == key && node->terms.back().monomial.size() == term.monomial.size()) {
      node->terms.back().coefficient = addChecked(node->terms.back().coefficient, term.coefficient);
      continue;
    }
    dropZero();
    keys.push_back(std::move(key));
    node->terms.push_back(std::move(term));
  }
  dropZero();
  node->text = print(node->terms, keys);
  return Size(std::shared_ptr<const Node>(std::move(node)));
}

Size Size::Node::makeCall(SizeCall call) {
  auto atom = std::make_shared<SizeAtom>();
  atom->text = print(call);
  atom->call = std::move(call);
  return make({{1, {std::move(atom)}}});
}

std::optional<Size> exactQuotient(const Size& a, const Size& b) {
  const std::vector<SizeTerm>& divisor = Size::Node::of(b).terms;
  auto lead = std::min_element(divisor.begin(), divisor.end(), [](const SizeTerm& x, const SizeTerm& y) { return GradedOrder{}(x.monomial, y.monomial); });
  std::map<Monomial, int64_t, GradedOrder> rest;
  for (const SizeTerm& term : Size::Node::of(a).terms)
    rest.emplace(term.monomial, term.coefficient);
  std::vector<SizeTerm> quotient;
  while (!rest.empty()) {
    auto [monomial, coefficient] = *rest.begin();
    bool divides = std::includes(monomial.begin(), monomial.end(), lead->monomial.begin(), lead->monomial.end(), byText);
    bool overflows = lead->coefficient == -1 && coefficient == std::numeric_limits<int64_t>::min();
    if (!divides || overflows || coefficient % lead->coefficient != 0 || rest.size() > kMaxTerms || quotient.size() >= kMaxTerms)
      return std::nullopt;
    SizeTerm term{coefficient / lead->coefficient, {}};
    std::set_difference(monomial.begin(), monomial.end(), lead->monomial.begin(), lead->monomial.end(), std::back_inserter(term.monomial), byText);
    for (const SizeTerm& part : divisor) {
      Monomial product;
      std::merge(part.monomial.begin(), part.monomial.end(), term.monomial.begin(), term.monomial.end(), std::back_inserter(product), byText);
      int64_t scaled, difference;
      auto place = rest.emplace(std::move(product), 0).first;
      if (__builtin_mul_overflow(part.coefficient, term.coefficient, &scaled) || __builtin_sub_overflow(place->second, scaled, &difference))
        return std::nullopt;
      place->second = difference;
      if (difference == 0)
        rest.erase(place);
    }
    quotient.push_back(std::move(term));
  }
  return Size::Node::make(std::move(quotient));
}

} // namespace moec
