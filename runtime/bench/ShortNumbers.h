#pragma once
// Numbers for people, with three digits that matter.

#include <string>

namespace moec::bench {

/// "1.23", "45.6", "789"
std::string digits(double value);
/// "1.23 M", "45.6 kB", "789"
std::string shortCount(double value, const char* unit = "");
/// "1.23 ms", "45.6 us", "789 ns"
std::string shortTime(double seconds);

} // namespace moec::bench
