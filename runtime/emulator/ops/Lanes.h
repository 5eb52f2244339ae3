#pragma once
// Applies a function of scalars to the 32 lanes of a warp. Compiled twice, portable and for AVX2: everything is in a namespace of its
// variant, so that the linker never mixes the two. Includes of the opcode files, nobody else's.

#include "runtime/emulator/Opcodes.h"
#include "runtime/emulator/machine/Warp.h"

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <tuple>
#include <type_traits>

#ifndef MOEC_EMULATOR_VARIANT
#define MOEC_EMULATOR_VARIANT 0
#endif
#if MOEC_EMULATOR_VARIANT == 0
#define MOEC_LANES portable
#else
#define MOEC_LANES avx2
#endif

// Destination and source may be the same register; never partly the same.
#ifdef __clang__
#define MOEC_EACH_LANE _Pragma("clang loop vectorize(assume_safety)") for (int lane = 0; lane < kLanes; ++lane)
#else
#define MOEC_EACH_LANE _Pragma("GCC ivdep") for (int lane = 0; lane < kLanes; ++lane)
#endif

namespace moec::emulator::MOEC_LANES {

/// How a value stands in a register: in 4 or 8 bytes.
template <class T> using Box = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T> inline T open(Box<T> box) {
  if constexpr (std::is_floating_point_v<T>)
    return std::bit_cast<T>(box);
  else
    return T(box);
}
template <class T> inline Box<T> close(T value) {
  if constexpr (std::is_floating_point_v<T>)
    return std::bit_cast<Box<T>>(value);
  else
    return Box<T>(std::make_unsigned_t<T>(value));
}

template <class F> struct Signature;
template <class D, class... A> struct Signature<D (*)(A...)> {
  using Result = D;
  template <auto F> static void run(Warp& warp, const Instr& in) { apply<F>(warp, in, std::index_sequence_for<A...>()); }
  template <auto F, size_t... I> static void apply(Warp& warp, const Instr& in, std::index_sequence<I...>) {
    const uint32_t places[] = {in.a, in.b, in.c};
    const std::tuple<const Box<A>*...> from{warp.at<const Box<A>>(places[I])...};
    Box<D>* to = warp.at<Box<D>>(in.dst);
    uint32_t mask = warp.mask;
    if (mask == ~0u) {
      MOEC_EACH_LANE to[lane] = close<D>(F(open<A>(std::get<I>(from)[lane])...));
    } else {
      MOEC_EACH_LANE {
        Box<D> made = close<D>(F(open<A>(std::get<I>(from)[lane])...));
        to[lane] = (mask >> lane & 1) ? made : to[lane];
      }
    }
  }
};

/// Handler of `dst = F(a, b, c)` with as many sources as F has parameters.
template <auto F> constexpr Handler each = &Signature<decltype(+F)>::template run<+F>;

/// The same with the rounding mode that in.variant names.
enum class Rounding : uint8_t { Nearest, Zero, Down, Up, None };
inline void enterRounding(Rounding mode) {
  constexpr int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD, FE_TONEAREST};
  std::fesetround(modes[int(mode)]);
}
template <auto F> void runRounded(Warp& warp, const Instr& in) {
  enterRounding(Rounding(in.variant));
  Signature<decltype(+F)>::template run<+F>(warp, in);
  std::fesetround(FE_TONEAREST);
}
template <auto F> constexpr Handler eachRounded = &runRounded<F>;

/// Keeps the compiler from turning "is any bit set" after a loop over lanes into 32 comparisons within it.
template <class T> inline T settled(T bits) {
  asm("" : "+r"(bits));
  return bits;
}

/// Writes a value per lane under the mask.
template <class T, class G> inline void store(Warp& warp, uint32_t place, G&& value) {
  Box<T>* to = warp.at<Box<T>>(place);
  uint32_t mask = warp.mask;
  for (int lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1)
      to[lane] = close<T>(value(lane));
}

inline void setPredicate(Warp& warp, uint32_t place, uint32_t bits) {
  if (place != kNowhere)
    warp.predicates[place] = (warp.predicates[place] & ~warp.mask) | (bits & warp.mask);
}

inline Rounding takeRounding(Words& words) {
  int found = words.takeOneOf({"rn", "rz", "rm", "rp"});
  return found < 0 ? Rounding::None : Rounding(found);
}

/// NVIDIA's results that are no number have one pattern.
inline float canonical(float x) { return x != x ? std::bit_cast<float>(0x7fffffffu) : x; }
inline double canonical(double x) { return x; }
inline float flush(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits & 0x7f800000) ? bits : bits & 0x80000000);
}
inline double flush(double x) { return x; }
template <class T> inline T saturate(T x) { return x > T(0) ? (x < T(1) ? x : T(1)) : T(0); }

template <bool Ftz, class T> inline T in(T x) { return Ftz ? flush(x) : x; }
template <bool Ftz, bool Sat, class T> inline T out(T x) {
  x = canonical(x);
  if (Ftz)
    x = flush(x);
  return Sat ? saturate(x) : x;
}

/// Writes what a store instruction stores, 16 bytes per lane; asked for only where two writes meet.
using StoredValues = void (*)(Warp& warp, const Instr& in, uint8_t* values);
/// Checks one access of a warp under warp.mask, counts it, notes written bytes. `stored` for stores.
void resolve(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, StoredValues stored = nullptr);
/// The addresses of an instruction's memory operand.
void computeAddresses(Warp& warp, const Instr& in, uint32_t place, int64_t displacement, Access& access);

// The rows of each file of opcodes.
std::span<const Opcode> arithmeticRows();
std::span<const Opcode> bitRows();
std::span<const Opcode> selectRows();
std::span<const Opcode> functionRows();
std::span<const Opcode> convertRows();
std::span<const Opcode> memoryRows();
std::span<const Opcode> warpRows();
std::span<const Opcode> matrixRows();

} // namespace moec::emulator::MOEC_LANES
