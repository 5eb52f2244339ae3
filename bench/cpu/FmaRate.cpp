#include "bench/cpu/FmaRate.h"

#include <cstring>

namespace moec::bench {
namespace {

// 12 sums: more than the latency times the units of every CPU that there is.
constexpr int sums = 12;

#define MOEC_FMA_ROUNDS(name, features, element, bytes)                          \
  __attribute__((target(features), noinline)) double name(int64_t rounds) {      \
    typedef element Vector __attribute__((vector_size(bytes)));                  \
    Vector sum[sums], a, b;                                                      \
    for (unsigned lane = 0; lane < bytes / sizeof(element); ++lane) {            \
      a[lane] = static_cast<element>(0.999 + 1e-5 * lane);                       \
      b[lane] = static_cast<element>(1e-3 * lane);                               \
    }                                                                            \
    for (int i = 0; i < sums; ++i)                                               \
      sum[i] = b * static_cast<element>(i);                                      \
    for (int64_t round = 0; round < rounds; ++round)                             \
      for (int i = 0; i < sums; ++i) {                                           \
        sum[i] = __builtin_elementwise_fma(sum[i], a, b);                        \
        asm volatile("" : "+v"(sum[i]));                                         \
      }                                                                          \
    for (int i = 0; i < sums; ++i)                                               \
      asm volatile("" ::"v"(sum[i]));                                            \
    return 2.0 * sums * (bytes / sizeof(element)) * static_cast<double>(rounds); \
  }

MOEC_FMA_ROUNDS(floatV3, "avx2,fma", float, 32)
MOEC_FMA_ROUNDS(doubleV3, "avx2,fma", double, 32)
MOEC_FMA_ROUNDS(floatV4, "avx512f,avx512vl", float, 64)
MOEC_FMA_ROUNDS(doubleV4, "avx512f,avx512vl", double, 64)

bool wide() { return __builtin_cpu_supports("avx512f"); }

} // namespace

double fmaRoundsFloat(int64_t rounds) { return wide() ? floatV4(rounds) : floatV3(rounds); }
double fmaRoundsDouble(int64_t rounds) { return wide() ? doubleV4(rounds) : doubleV3(rounds); }

} // namespace moec::bench
