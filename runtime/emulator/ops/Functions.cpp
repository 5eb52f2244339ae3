// rcp sqrt rsqrt sin cos lg2 ex2 tanh. The approximations are computed in double and rounded once, well inside the manual's bounds; the
// same on every machine as long as its double functions are good to a few units in the last place.

#include "runtime/emulator/ops/Lanes.h"
#include "runtime/emulator/ops/SmallFloat.h"

namespace moec::emulator::MOEC_LANES {
namespace {

enum class Fn { Rcp, Sqrt, Rsqrt, Sin, Cos, Lg2, Ex2, Tanh };

template <Fn fn> double wide(double x) {
  switch (fn) {
  case Fn::Rcp:
    return 1 / x;
  case Fn::Sqrt:
    return std::sqrt(x);
  case Fn::Rsqrt:
    return 1 / std::sqrt(x);
  case Fn::Sin:
    return std::sin(x);
  case Fn::Cos:
    return std::cos(x);
  case Fn::Lg2:
    return std::log2(x);
  case Fn::Ex2:
    return std::exp2(x);
  case Fn::Tanh:
    return std::tanh(x);
  }
}
/// The argument and result are flushed with .ftz.
template <Fn fn, bool Ftz> float approximate(float x) { return out<Ftz, false>(float(wide<fn>(in<Ftz>(x)))); }
template <bool Ftz> float rcpExact(float x) { return out<Ftz, false>(1.0f / in<Ftz>(x)); }
template <bool Ftz> float sqrtExact(float x) { return out<Ftz, false>(std::sqrt(in<Ftz>(x))); }
double rcp64(double x) { return 1.0 / x; }
double sqrt64(double x) { return std::sqrt(x); }
/// rcp and rsqrt .approx.ftz.f64 keep the upper 32 bits, with a relative error of 2^-19 of a 20-bit mantissa; subnormals are flushed.
double upperHalf(double x) { return std::bit_cast<double>(std::bit_cast<uint64_t>(x) & ~0xffffffffull); }
double flush64(double x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0, x) : x; }
double rcp64Coarse(double x) { return flush64(upperHalf(1.0 / flush64(upperHalf(x)))); }
double rsqrt64(double x) { return 1.0 / std::sqrt(x); }
double rsqrt64Coarse(double x) { return flush64(upperHalf(1.0 / std::sqrt(flush64(upperHalf(x))))); }

template <Fn fn, class H, int Parts> void halfFunction(Warp& warp, const Instr& in) {
  const uint32_t* a = warp.at<uint32_t>(in.a);
  store<uint32_t>(warp, in.dst, [&](int lane) {
    uint32_t made = 0;
    for (int part = 0; part < Parts; ++part)
      made |= H::encode(wide<fn>(H::decode(a[lane] >> part * 16 & 0xffff))) << part * 16;
    return made;
  });
}
template <Fn fn> Handler pickHalf(Type type) {
  switch (type) {
  case Type::F16:
    return &halfFunction<fn, F16, 1>;
  case Type::F16x2:
    return &halfFunction<fn, F16, 2>;
  case Type::BF16:
    return &halfFunction<fn, BF16, 1>;
  case Type::BF16x2:
    return &halfFunction<fn, BF16, 2>;
  default:
    return nullptr;
  }
}

template <Fn fn> void makeFunction(Decoder& d, Instr& in) {
  Words& words = d.words();
  bool approx = words.take("approx"), ftz = words.take("ftz");
  Rounding rounding = takeRounding(words);
  Type type = words.takeType();
  d.count(Class::Special, 1);
  in.dst = d.write(0);
  in.a = d.read(1, type);
  in.variant = uint8_t(rounding);
  bool directed = rounding != Rounding::None && rounding != Rounding::Nearest;
  if (type == Type::F32) {
    if (approx)
      in.run = ftz ? each<&approximate<fn, true>> : each<&approximate<fn, false>>;
    else if (fn == Fn::Rcp)
      in.run = directed ? (ftz ? eachRounded<&rcpExact<true>> : eachRounded<&rcpExact<false>>) : (ftz ? each<&rcpExact<true>> : each<&rcpExact<false>>);
    else if (fn == Fn::Sqrt)
      in.run = directed ? (ftz ? eachRounded<&sqrtExact<true>> : eachRounded<&sqrtExact<false>>) : (ftz ? each<&sqrtExact<true>> : each<&sqrtExact<false>>);
  } else if (type == Type::F64) {
    if (fn == Fn::Rcp)
      in.run = approx ? each<&rcp64Coarse> : directed ? eachRounded<&rcp64> : each<&rcp64>;
    else if (fn == Fn::Sqrt)
      in.run = directed ? eachRounded<&sqrt64> : each<&sqrt64>;
    else if (fn == Fn::Rsqrt)
      in.run = ftz ? each<&rsqrt64Coarse> : each<&rsqrt64>;
  } else if (fn == Fn::Ex2 || fn == Fn::Tanh) {
    in.run = pickHalf<fn>(type);
  }
}

constexpr Opcode kRows[] = {
    {"rcp", ".approx/rnd{.ftz}.f32, .rnd.f64, .approx.ftz.f64", "9.7.3.13, 9.7.3.14", &makeFunction<Fn::Rcp>},
    {"sqrt", ".approx/rnd{.ftz}.f32, .rnd.f64", "9.7.3.15", &makeFunction<Fn::Sqrt>},
    {"rsqrt", ".approx{.ftz}.f32/f64", "9.7.3.16, 9.7.3.17", &makeFunction<Fn::Rsqrt>},
    {"sin", ".approx{.ftz}.f32", "9.7.3.18", &makeFunction<Fn::Sin>},
    {"cos", ".approx{.ftz}.f32", "9.7.3.19", &makeFunction<Fn::Cos>},
    {"lg2", ".approx{.ftz}.f32", "9.7.3.20", &makeFunction<Fn::Lg2>},
    {"ex2", ".approx{.ftz}.f32/f16/f16x2/bf16/bf16x2", "9.7.3.21, 9.7.4.10", &makeFunction<Fn::Ex2>},
    {"tanh", ".approx.f32/f16/f16x2/bf16/bf16x2", "9.7.3.22, 9.7.4.9", &makeFunction<Fn::Tanh>},
};

} // namespace

std::span<const Opcode> functionRows() { return kRows; }

} // namespace moec::emulator::MOEC_LANES
