#pragma once
// The one source of random numbers: Philox 4x32-10 (Salmon et al., SC'11), keyed so that every device draws the same numbers.
// key = seed (64 bits); counter = {element index low, element index high, stream, step}, one draw per counter: word 0 (and 1 for doubles).
// `stream` is streamOf(path): 32 bits of FNV-1a over the path of the draw in the model, so that layers differ.
// Generated kernels implement exactly these functions.

#include <array>
#include <cstdint>
#include <string_view>

namespace moec {

constexpr uint32_t streamOf(std::string_view path) {
  uint32_t hash = 2166136261u;
  for (char c : path) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 16777619u;
  }
  return hash;
}

constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t{0xD2511F53u} * counter[0], p1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1), static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1,
               static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

constexpr std::array<uint32_t, 4> draw(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element) {
  return philox({static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32), stream, step}, seed);
}

/// Uniform in [0, 1): 24 bits for float, 53 for double, both from the same draw.
constexpr float uniformFloat(const std::array<uint32_t, 4>& words) { return static_cast<float>(words[0] >> 8) * 0x1p-24f; }
constexpr double uniformDouble(const std::array<uint32_t, 4>& words) { return static_cast<double>((uint64_t{words[0]} << 32 | words[1]) >> 11) * 0x1p-53; }

/// Standard normal by Box-Muller from the words of one draw, computed in double: sqrt(-2 ln(1-u)) cos(2 pi v),
/// u from words 0,1 and v from words 2,3.
double normal(const std::array<uint32_t, 4>& words);

} // namespace moec
