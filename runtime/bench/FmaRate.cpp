#include "runtime/bench/FmaRate.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moec::bench {
namespace {

// 12 sums: more than the latency times the units of every CPU that there is.
constexpr int kSums = 12;

// Each function is compiled for its own instructions, whatever the rest of the build is for; the sums stay in registers, for the empty statements may change
// them there.
#define MOEC_STEP(i, multiplyAdd, registers) \
  sum[i] = multiplyAdd(sum[i], a, b);        \
  asm volatile("" : "+" registers(sum[i]));
#define MOEC_FMA_ROUNDS(name, attributes, Vector, Element, multiplyAdd, registers) \
  attributes __attribute__((noinline)) double name(int64_t rounds) {               \
    constexpr int lanes = sizeof(Vector) / sizeof(Element);                        \
    Vector sum[kSums], a = {}, b = {};                                             \
    for (int lane = 0; lane < lanes; ++lane) {                                     \
      a[lane] = static_cast<Element>(0.999 + 1e-5 * lane);                         \
      b[lane] = static_cast<Element>(1e-3 * lane);                                 \
    }                                                                              \
    for (int i = 0; i < kSums; ++i)                                                \
      sum[i] = b * static_cast<Element>(i);                                        \
    for (int64_t round = 0; round < rounds; ++round) {                             \
      MOEC_STEP(0, multiplyAdd, registers)                                         \
      MOEC_STEP(1, multiplyAdd, registers)                                         \
      MOEC_STEP(2, multiplyAdd, registers)                                         \
      MOEC_STEP(3, multiplyAdd, registers)                                         \
      MOEC_STEP(4, multiplyAdd, registers)                                         \
      MOEC_STEP(5, multiplyAdd, registers)                                         \
      MOEC_STEP(6, multiplyAdd, registers)                                         \
      MOEC_STEP(7, multiplyAdd, registers)                                         \
      MOEC_STEP(8, multiplyAdd, registers)                                         \
      MOEC_STEP(9, multiplyAdd, registers)                                         \
      MOEC_STEP(10, multiplyAdd, registers)                                        \
      MOEC_STEP(11, multiplyAdd, registers)                                        \
    }                                                                              \
    return 2.0 * kSums * lanes * static_cast<double>(rounds);                      \
  }

#define MOEC_IN_TWO(x, a, b) (x) * (a) + (b)

#if defined(__x86_64__)
MOEC_FMA_ROUNDS(floatWide, __attribute__((target("avx512f"))), __m512, float, _mm512_fmadd_ps, "v")
MOEC_FMA_ROUNDS(doubleWide, __attribute__((target("avx512f"))), __m512d, double, _mm512_fmadd_pd, "v")
MOEC_FMA_ROUNDS(floatMiddle, __attribute__((target("avx2,fma"))), __m256, float, _mm256_fmadd_ps, "x")
MOEC_FMA_ROUNDS(doubleMiddle, __attribute__((target("avx2,fma"))), __m256d, double, _mm256_fmadd_pd, "x")
MOEC_FMA_ROUNDS(floatPlain, , __m128, float, MOEC_IN_TWO, "x")
MOEC_FMA_ROUNDS(doublePlain, , __m128d, double, MOEC_IN_TWO, "x")

bool hasWide() { return __builtin_cpu_supports("avx512f"); }
bool hasMiddle() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
constexpr const char* kPlainVectors = "sse2";
#else
typedef float FloatVector __attribute__((vector_size(16)));
typedef double DoubleVector __attribute__((vector_size(16)));
MOEC_FMA_ROUNDS(floatPlain, , FloatVector, float, MOEC_IN_TWO, "m")
MOEC_FMA_ROUNDS(doublePlain, , DoubleVector, double, MOEC_IN_TWO, "m")

bool hasWide() { return false; }
bool hasMiddle() { return false; }
constexpr auto floatWide = floatPlain, floatMiddle = floatPlain;
constexpr auto doubleWide = doublePlain, doubleMiddle = doublePlain;
constexpr const char* kPlainVectors = "plain";
#endif

} // namespace

double fmaRoundsFloat(int64_t rounds) { return hasWide() ? floatWide(rounds) : hasMiddle() ? floatMiddle(rounds) : floatPlain(rounds); }
double fmaRoundsDouble(int64_t rounds) { return hasWide() ? doubleWide(rounds) : hasMiddle() ? doubleMiddle(rounds) : doublePlain(rounds); }
const char* fmaVectors() { return hasWide() ? "avx512" : hasMiddle() ? "avx2" : kPlainVectors; }

} // namespace moec::bench
