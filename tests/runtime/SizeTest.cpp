// Owner of Size: canonical form, parsing, evaluation, division.

#include "runtime/core/Size.h"
#include "runtime/core/Error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace moec {
namespace {

Size real(char kind, std::vector<Size::Real::Factor> factors) { return kind == 'c' ? Size::ceil({std::move(factors)}) : Size::trunc({std::move(factors)}); }
Size::Real::Factor number(double value, char op = '*') { return {value, std::nullopt, op}; }
Size::Real::Factor of(Size size, char op = '*') { return {std::nullopt, std::move(size), op}; }

Fault faultOf(const std::function<void()>& call, std::string* message = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (message)
      *message = error.what();
    return error.fault();
  }
  ADD_FAILURE() << "no error";
  return Fault::Internal;
}

TEST(Size, PrintsCanonically) {
  Size t = Size::symbol("T"), k = Size::symbol("K"), a = Size::symbol("a");
  EXPECT_EQ(Size(0).str(), "0");
  EXPECT_EQ(Size(-7).str(), "-7");
  EXPECT_EQ((t * k + 3).str(), "K*T+3");
  EXPECT_EQ((3 - t * 2).str(), "-2*T+3");
  EXPECT_EQ((a + t * t - t + k * a).str(), "K*a+T*T-T+a");
  EXPECT_EQ((t - t).str(), "0");
  EXPECT_EQ(Size(INT64_MIN).str(), "-9223372036854775808");
  EXPECT_EQ(Size::parse("-9223372036854775808"), Size(INT64_MIN));
  EXPECT_EQ(Size::floorDiv(t + 1, k).str(), "floordiv(T+1,K)");
  EXPECT_EQ(Size::min(t, k).str(), "min(K,T)");
  EXPECT_EQ(real('c', {number(1.2), of(t), of(t * k + 1, '/')}).str(), "ceil(1.2*T/(K*T+1))");
}

TEST(Size, ParsesAnyOrder) {
  EXPECT_EQ(Size::parse(" 3 + T*2*K ").str(), "2*K*T+3");
  EXPECT_EQ(Size::parse("max(1, min(T,4))*T").str(), "T*max(1,min(4,T))");
  EXPECT_EQ(Size::parse("ceil((T)*1.50/2)").str(), "ceil(T*1.5/2)");
  EXPECT_EQ(Size::parse("trunc(2*1.25*T)").str(), "trunc(2.5*T)");
  EXPECT_EQ(Size::parse("ceil(1e-3*T)").str(), "ceil(0.001*T)");
}

TEST(Size, RefusesWhatIsNoSize) {
  for (const char* text : {"", "T+", "*T", "2T", "T K", "floordiv(T)", "floordiv(T,2", "foo(T)", "ceil()", "ceil(-inf*T)", "ceil(T+1)", "(T)", "--T",
                           "9223372036854775808", "99999999999999999999", "ceil(1e999*T)", "T,", "T$"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(faultOf([&] { Size::parse(text); }), Fault::Internal);
  }
  std::string message;
  faultOf([] { Size::parse("T+?"); }, &message);
  EXPECT_EQ(message, "size \"T+?\", character 3: expected a name, a call or an integer");
  std::string deep;
  for (int i = 0; i < 5000; ++i)
    deep += "max(T,";
  EXPECT_EQ(faultOf([&] { Size::parse(deep); }), Fault::Internal);
  EXPECT_EQ(faultOf([] { Size::symbol("2T"); }), Fault::Internal);
}

TEST(Size, CapacitiesRoundInDouble) {
  Size t = Size::symbol("T");
  Size train = Size::floorDiv(real('c', {number(1.2), of(t)}) * 2, 4);
  EXPECT_EQ(train.evaluate({{"T", 16}}), 10); // ceil(19.2) = 20; 20*2/4
  Size eval = Size::floorDiv(real('c', {number(2.4), of(t)}) * 2, 4);
  EXPECT_EQ(eval.evaluate({{"T", 16}}), 19); // ceil(38.4) = 39; 78/4
  EXPECT_EQ(eval.substitute({{"T", 16}}), Size(19));
  // From left to right in double: (0.1*3)*10 is 3.0000000000000004, 0.1*(3*10) would be 3.
  EXPECT_EQ(real('c', {number(0.1), of(t), number(10)}).evaluate({{"T", 3}}), 4);
  EXPECT_EQ(real('t', {of(t), number(-2, '/')}).evaluate({{"T", 5}}), -2);
}

TEST(Size, FloorDivIsExactWherePolynomial) {
  Size a = Size::symbol("a"), b = Size::symbol("b"), c = Size::symbol("c");
  EXPECT_EQ(Size::floorDiv((a + b) * (b - c * 2), a + b), b - c * 2);
  EXPECT_EQ(Size::floorDiv(a * a - b * b, a - b), a + b);
  EXPECT_EQ(Size::floorDiv(a * b * 6, a * 3), b * 2);
  EXPECT_EQ(Size::floorDiv(a * 4 + 3, 4), a);
  EXPECT_EQ(Size::ceilDiv(a * 4, 4), a);
  EXPECT_EQ(Size::ceilDiv(a, 4).substitute({{"a", b * 4}}), b);
  EXPECT_EQ(Size::floorDiv(a * (a + 1), 2).str(), "floordiv(a*a+a,2)");
  EXPECT_EQ(Size::floorDiv(a * 3, a * 2).str(), "floordiv(3*a,2*a)");
  Size opaque = Size::floorDiv(a, 8);
  EXPECT_EQ(Size::floorDiv(opaque * b, opaque), b);
  EXPECT_EQ(Size::floorDiv(-7, 2), Size(-4));
  EXPECT_EQ(Size::floorDiv(7, -2), Size(-4));
  EXPECT_EQ(faultOf([&] { Size::floorDiv(a, 0); }), Fault::Data);
}

TEST(Size, MinAndMaxFold) {
  Size a = Size::symbol("a"), b = Size::symbol("b");
  EXPECT_EQ(Size::min(a, a + 1), a);
  EXPECT_EQ(Size::max(a, a + 1), a + 1);
  EXPECT_EQ(Size::min(a, b), Size::min(b, a));
  EXPECT_EQ(Size::max(3, 5), Size(5));
}

TEST(Size, EvaluatesChecked) {
  Size a = Size::symbol("a"), b = Size::symbol("b");
  EXPECT_EQ((a * b).evaluate({{"a", 6}, {"b", 7}}), 42);
  std::string message;
  EXPECT_EQ(faultOf([&] { (a * b).evaluate({{"a", 6}}); }, &message), Fault::Usage);
  EXPECT_NE(message.find("'b'"), std::string::npos);
  EXPECT_EQ(faultOf([&] { (a * b).evaluate({{"a", INT64_MAX}, {"b", 2}}); }), Fault::Data);
  EXPECT_EQ(faultOf([&] { (a + b).evaluate({{"a", INT64_MAX}, {"b", 1}}); }), Fault::Data);
  EXPECT_EQ(faultOf([&] { Size::floorDiv(a, b).evaluate({{"a", 1}, {"b", 0}}); }), Fault::Data);
  EXPECT_EQ(faultOf([&] { real('c', {of(a), of(b, '/')}).evaluate({{"a", 1}, {"b", 0}}); }), Fault::Data);
  EXPECT_EQ(faultOf([&] { Size::floorDiv(a, b).evaluate({{"a", INT64_MIN}, {"b", -1}}); }), Fault::Data);
  EXPECT_EQ(faultOf([] { Size(INT64_MAX) + 1; }), Fault::Data);
  EXPECT_EQ(faultOf([] { Size(INT64_MIN) * -1; }), Fault::Data);
}

TEST(Size, NamesItsSymbols) {
  Size size = Size::parse("floordiv(z,2)*b+ceil(1.5*(q+1))+b");
  EXPECT_EQ(size.symbols(), (std::vector<std::string>{"b", "q", "z"}));
  EXPECT_TRUE(Size(4).symbols().empty());
}

TEST(Size, IsASymbolWhereItIsNothingElse) {
  EXPECT_EQ(Size::symbol("b").asSymbol(), "b");
  EXPECT_EQ(Size::parse("2*b-b").asSymbol(), "b");
  for (const char* other : {"2*b", "b*b", "b+1", "a+b", "min(b,4)", "4"})
    EXPECT_EQ(Size::parse(other).asSymbol(), std::nullopt) << other;
}

TEST(Size, SubstitutesAtOnce) {
  Size a = Size::symbol("a"), b = Size::symbol("b");
  EXPECT_EQ((a - b).substitute({{"a", b}, {"b", a}}), b - a);
  EXPECT_EQ(Size::parse("min(a,b)*a").substitute({{"a", 4}, {"b", 3}}), Size(12));
}

/// A size and, independently of it, the function that it stands for.
struct Sample {
  Size size;
  std::function<int64_t(const Bindings&)> value;
};

int64_t floorOf(int64_t a, int64_t b) { return static_cast<int64_t>(std::floor(static_cast<long double>(a) / static_cast<long double>(b))); }

Sample randomSample(std::mt19937& rng, int depth) {
  static const char* const names[] = {"T", "K", "batch", "E"};
  auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  if (depth == 0) {
    if (pick(3) == 0) {
      int64_t value = pick(13) - 6;
      return {value, [value](const Bindings&) { return value; }};
    }
    std::string name = names[pick(4)];
    return {Size::symbol(name), [name](const Bindings& b) { return b.at(name); }};
  }
  Sample a = randomSample(rng, pick(depth)), b = randomSample(rng, pick(depth));
  switch (pick(8)) {
  case 0:
    return {a.size + b.size, [=](const Bindings& x) { return a.value(x) + b.value(x); }};
  case 1:
    return {a.size - b.size, [=](const Bindings& x) { return a.value(x) - b.value(x); }};
  case 2:
  case 3:
    return {a.size * b.size, [=](const Bindings& x) { return a.value(x) * b.value(x); }};
  case 4: { // a divisor that is never zero
    int64_t d = pick(7) + 1;
    Size divisor = Size::symbol("T") * d;
    if (pick(2))
      return {Size::floorDiv(a.size, d), [=](const Bindings& x) { return floorOf(a.value(x), d); }};
    return {Size::floorDiv(a.size, divisor), [=](const Bindings& x) { return floorOf(a.value(x), d * x.at("T")); }};
  }
  case 5:
    return {Size::min(a.size, b.size), [=](const Bindings& x) { return std::min(a.value(x), b.value(x)); }};
  case 6:
    return {Size::max(a.size, b.size), [=](const Bindings& x) { return std::max(a.value(x), b.value(x)); }};
  default: {
    double factor = (pick(40) + 1) / 10.0;
    return {real('c', {number(factor), of(a.size), number(4, '/')}),
            [=](const Bindings& x) { return static_cast<int64_t>(std::ceil(factor * static_cast<double>(a.value(x)) / 4)); }};
  }
  }
}

TEST(Size, RandomSizesKeepTheirMeaning) {
  std::mt19937 rng(20240607);
  int tried = 0;
  for (int i = 0; i < 3000; ++i) {
    SCOPED_TRACE(i);
    Sample sample = randomSample(rng, 5);
    std::string text = sample.size.str();
    Size parsed = Size::parse(text);
    ASSERT_EQ(parsed.str(), text);
    Bindings bindings{{"T", 1 + rng() % 9}, {"K", 1 + rng() % 4}, {"batch", rng() % 5}, {"E", 1 + rng() % 6}};
    ASSERT_EQ(parsed.evaluate(bindings), sample.value(bindings)) << text;
    std::map<std::string, Size, std::less<>> constants(bindings.begin(), bindings.end());
    ASSERT_EQ(sample.size.substitute(constants).constant(), sample.value(bindings)) << text;
    tried += !sample.size.isConstant();
  }
  EXPECT_GT(tried, 1000);
}

TEST(Size, RingLawsHoldInCanonicalForm) {
  std::mt19937 rng(7);
  for (int i = 0; i < 1000; ++i) {
    Size a = randomSample(rng, 3).size, b = randomSample(rng, 3).size, c = randomSample(rng, 3).size;
    ASSERT_EQ(a * (b + c), a * b + a * c);
    ASSERT_EQ(a * b, b * a);
    ASSERT_EQ((a + b) + c, a + (b + c));
    ASSERT_EQ(a - a, Size(0));
    if (b.constant() != 0)
      ASSERT_EQ(Size::floorDiv(a * b, b), a);
  }
}

TEST(Size, RandomTextNeverCrashes) {
  static const char* const pieces[] = {"T", "K", "+", "-", "*", "/", "(", ")", ",", "2", "1.5", "floordiv(", "min(", "max(", "ceil(", "trunc(", " ", "0", "e9"};
  std::mt19937 rng(99);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (unsigned n = rng() % 10; n > 0; --n)
      text += pieces[rng() % std::size(pieces)];
    try {
      Size size = Size::parse(text);
      ++accepted;
      ASSERT_EQ(Size::parse(size.str()), size) << text;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 100);
}

} // namespace
} // namespace moec
