#include "runtime/core/WeightsAs.h"

#include <charconv>

namespace moec {

namespace {
constexpr int64_t kUsualGroup = 32, kLeastGroup = 8, kLargestGroup = 4096;
constexpr std::string_view kInt8 = "int8";
} // namespace

std::string WeightsAs::str() const { return kind == Kind::BF16 ? "bf16" : "int8:" + std::to_string(group); }

std::optional<WeightsAs> WeightsAs::parse(std::string_view words) {
  if (words == "bf16")
    return WeightsAs{};
  if (!words.starts_with(kInt8))
    return std::nullopt;
  words.remove_prefix(kInt8.size());
  WeightsAs result{Kind::Int8, kUsualGroup};
  if (words.empty())
    return result;
  if (words[0] != ':')
    return std::nullopt;
  words.remove_prefix(1);
  auto [end, error] = std::from_chars(words.data(), words.data() + words.size(), result.group);
  if (error != std::errc() || end != words.data() + words.size() || result.group < kLeastGroup || result.group > kLargestGroup)
    return std::nullopt;
  return result;
}

} // namespace moec
