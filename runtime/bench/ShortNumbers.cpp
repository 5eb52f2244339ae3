#include "runtime/bench/ShortNumbers.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace moec::bench {

std::string digits(double value) {
  double size = std::fabs(value);
  return fmt::format("{:.{}f}", value, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

std::string shortCount(double value, const char* unit) {
  constexpr const char* steps[] = {"", "k", "M", "G", "T"};
  size_t step = 0;
  while (std::fabs(value) >= 999.5 && step + 1 < std::size(steps)) {
    value /= 1000;
    ++step;
  }
  std::string words = fmt::format("{}{}", steps[step], unit);
  return (step == 0 ? fmt::format("{:.0f}", value) : digits(value)) + (words.empty() ? "" : " " + words);
}

std::string shortTime(double seconds) {
  if (seconds < 999.5e-9)
    return digits(seconds * 1e9) + " ns";
  if (seconds < 999.5e-6)
    return digits(seconds * 1e6) + " us";
  return seconds < 0.9995 ? digits(seconds * 1e3) + " ms" : digits(seconds) + " s";
}

} // namespace moec::bench
