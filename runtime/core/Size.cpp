#include "runtime/core/Size.h"

#include "runtime/core/Error.h"
#include "runtime/core/SizePolynomial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace moec {
namespace {

bool validName(std::string_view name) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.'; });
}

/// Numbers at the head of a chain are multiplied now: the same operations that evaluation would do first.
Size::Real foldHead(const Size::Real& real) {
  if (real.factors.empty())
    throw Error(Fault::Internal, "ceil or trunc of nothing");
  Size::Real folded;
  for (Size::Real::Factor factor : real.factors) {
    if (factor.number.has_value() == factor.size.has_value() || (factor.op != '*' && factor.op != '/'))
      throw Error(Fault::Internal, "a factor of ceil or trunc is a number or a size, joined by * or /");
    if (factor.size && factor.size->isConstant()) {
      factor.number = static_cast<double>(*factor.size->constant());
      factor.size.reset();
    }
    if (folded.factors.empty())
      factor.op = '*';
    bool head = folded.factors.size() == 1 && folded.factors[0].number && factor.number;
    if (head) {
      double& value = *folded.factors[0].number;
      value = factor.op == '*' ? value * *factor.number : value / *factor.number;
    } else {
      folded.factors.push_back(std::move(factor));
    }
    const auto& last = folded.factors.back().number;
    if (last && !std::isfinite(*last))
      throw Error(Fault::Data, fmt::format("size computes with {}", *last));
  }
  return folded;
}

Size makeRounded(SizeCall::Kind kind, const Size::Real& real) {
  Size::Real folded = foldHead(real);
  if (folded.factors.size() == 1 && folded.factors[0].number)
    return roundReal(kind, *folded.factors[0].number);
  return Size::Node::makeCall({kind, {}, std::move(folded)});
}

Size makeExtreme(SizeCall::Kind kind, const Size& a, const Size& b) {
  bool wantsLess = kind == SizeCall::Kind::Min;
  if (a.isConstant() && b.isConstant())
    return (*a.constant() < *b.constant()) == wantsLess ? a : b;
  if (auto difference = (a - b).constant())
    return (*difference < 0) == wantsLess ? a : b;
  return Size::Node::makeCall({kind, a.str() < b.str() ? std::vector{a, b} : std::vector{b, a}, {}});
}

/// floor((b q + r) / b) = q + floor(r / b) where b and r are constants: no call remains.
std::optional<Size> quotientByConstant(const Size& a, int64_t b) {
  std::vector<SizeTerm> terms = Size::Node::of(a).terms;
  for (SizeTerm& term : terms) {
    if (!term.monomial.empty() && term.coefficient % b != 0)
      return std::nullopt;
    term.coefficient = floorDivide(term.coefficient, b);
  }
  return Size::Node::make(std::move(terms));
}

using Substitution = std::map<std::string, Size, std::less<>>;

Size rebuild(const SizeCall& call, const Substitution& values) {
  std::vector<Size> operands;
  for (const Size& operand : call.operands)
    operands.push_back(operand.substitute(values));
  Size::Real real = call.real;
  for (Size::Real::Factor& factor : real.factors)
    if (factor.size)
      factor.size = factor.size->substitute(values);
  switch (call.kind) {
  case SizeCall::Kind::FloorDiv:
    return Size::floorDiv(operands[0], operands[1]);
  case SizeCall::Kind::Min:
    return Size::min(operands[0], operands[1]);
  case SizeCall::Kind::Max:
    return Size::max(operands[0], operands[1]);
  case SizeCall::Kind::Ceil:
    return Size::ceil(real);
  case SizeCall::Kind::Trunc:
    break;
  }
  return Size::trunc(real);
}

int64_t evaluateCall(const SizeCall& call, const Bindings& bindings) {
  switch (call.kind) {
  case SizeCall::Kind::FloorDiv:
    return floorDivide(call.operands[0].evaluate(bindings), call.operands[1].evaluate(bindings));
  case SizeCall::Kind::Min:
    return std::min(call.operands[0].evaluate(bindings), call.operands[1].evaluate(bindings));
  case SizeCall::Kind::Max:
    return std::max(call.operands[0].evaluate(bindings), call.operands[1].evaluate(bindings));
  case SizeCall::Kind::Ceil:
  case SizeCall::Kind::Trunc:
    break;
  }
  double value = 1;
  bool first = true;
  for (const Size::Real::Factor& factor : call.real.factors) {
    double operand = factor.number ? *factor.number : static_cast<double>(factor.size->evaluate(bindings));
    value = first ? operand : factor.op == '*' ? value * operand : value / operand;
    first = false;
  }
  return roundReal(call.kind, value);
}

int64_t evaluateAtom(const SizeAtom& atom, const Bindings& bindings) {
  if (atom.call)
    return evaluateCall(*atom.call, bindings);
  auto found = bindings.find(atom.text);
  if (found == bindings.end())
    throw Error(Fault::Usage, fmt::format("size '{}' has no value", atom.text));
  return found->second;
}

void collectSymbols(const Size& size, std::set<std::string>& names) {
  for (const SizeTerm& term : Size::Node::of(size).terms)
    for (const auto& atom : term.monomial) {
      if (!atom->call) {
        names.insert(atom->text);
        continue;
      }
      for (const Size& operand : atom->call->operands)
        collectSymbols(operand, names);
      for (const Size::Real::Factor& factor : atom->call->real.factors)
        if (factor.size)
          collectSymbols(*factor.size, names);
    }
}

Size scaled(const Size& a, int64_t factor) {
  std::vector<SizeTerm> terms = Size::Node::of(a).terms;
  for (SizeTerm& term : terms)
    term.coefficient = multiplyChecked(term.coefficient, factor);
  return Size::Node::make(std::move(terms));
}

} // namespace

Size::Size(std::shared_ptr<const Node> node) : node_(std::move(node)) {}
Size::Size(int64_t value) : node_(Node::make({{value, {}}}).node_) {}

Size Size::symbol(std::string_view name) {
  if (!validName(name))
    throw Error(Fault::Internal, fmt::format("'{}' is no name of a size: a letter or _, then letters, digits, _ and .", name));
  auto atom = std::make_shared<SizeAtom>();
  atom->text = name;
  return Node::make({{1, {std::move(atom)}}});
}

Size operator+(const Size& a, const Size& b) {
  std::vector<SizeTerm> terms = Size::Node::of(a).terms;
  const auto& more = Size::Node::of(b).terms;
  terms.insert(terms.end(), more.begin(), more.end());
  return Size::Node::make(std::move(terms));
}

Size operator-(const Size& a, const Size& b) { return a + scaled(b, -1); }

Size operator*(const Size& a, const Size& b) {
  std::vector<SizeTerm> terms;
  for (const SizeTerm& x : Size::Node::of(a).terms)
    for (const SizeTerm& y : Size::Node::of(b).terms) {
      Monomial monomial = x.monomial;
      monomial.insert(monomial.end(), y.monomial.begin(), y.monomial.end());
      terms.push_back({multiplyChecked(x.coefficient, y.coefficient), std::move(monomial)});
    }
  return Size::Node::make(std::move(terms));
}

Size Size::floorDiv(const Size& a, const Size& b) {
  std::optional<int64_t> divisor = b.constant();
  if (divisor && (*divisor == 0 || a.isConstant()))
    return divisor == 0 ? throw Error(Fault::Data, fmt::format("size divides {} by zero", a.str())) : floorDivide(*a.constant(), *divisor);
  if (divisor && *divisor > 0)
    if (auto quotient = quotientByConstant(a, *divisor))
      return *quotient;
  if (auto quotient = exactQuotient(a, b))
    return *quotient;
  return Node::makeCall({SizeCall::Kind::FloorDiv, {a, b}, {}});
}

Size Size::ceilDiv(const Size& a, const Size& b) { return floorDiv(a + b - 1, b); }
Size Size::min(const Size& a, const Size& b) { return makeExtreme(SizeCall::Kind::Min, a, b); }
Size Size::max(const Size& a, const Size& b) { return makeExtreme(SizeCall::Kind::Max, a, b); }
Size Size::ceil(const Real& real) { return makeRounded(SizeCall::Kind::Ceil, real); }
Size Size::trunc(const Real& real) { return makeRounded(SizeCall::Kind::Trunc, real); }

std::optional<int64_t> Size::constant() const {
  if (node_->terms.empty())
    return 0;
  if (node_->terms.size() == 1 && node_->terms[0].monomial.empty())
    return node_->terms[0].coefficient;
  return std::nullopt;
}

std::vector<std::string> Size::symbols() const {
  std::set<std::string> names;
  collectSymbols(*this, names);
  return {names.begin(), names.end()};
}

std::optional<std::string> Size::asSymbol() const {
  std::vector<std::string> names = symbols();
  return names.size() == 1 && names[0] == str() ? std::optional(names[0]) : std::nullopt;
}

int64_t Size::evaluate(const Bindings& bindings) const {
  int64_t sum = 0;
  for (const SizeTerm& term : node_->terms) {
    int64_t product = term.coefficient;
    for (const auto& atom : term.monomial)
      product = multiplyChecked(product, evaluateAtom(*atom, bindings));
    sum = addChecked(sum, product);
  }
  return sum;
}

Size Size::substitute(const Substitution& values) const {
  Size sum = 0;
  for (const SizeTerm& term : node_->terms) {
    Size product = term.coefficient;
    for (const auto& atom : term.monomial) {
      if (atom->call) {
        product = product * rebuild(*atom->call, values);
        continue;
      }
      auto found = values.find(atom->text);
      product = product * (found == values.end() ? symbol(atom->text) : found->second);
    }
    sum = sum + product;
  }
  return sum;
}

std::string Size::str() const { return node_->text; }

} // namespace moec
