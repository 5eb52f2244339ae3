#pragma once
// How a program for inference keeps the weights of products where not as its model has them: the words of --weights-as. Plain data.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moec {

struct WeightsAs {
  enum class Kind { BF16, Int8 } kind = Kind::BF16;
  int64_t group = 0; // Int8: so many weights along the depth share a scale

  /// "bf16", "int8:32".
  std::string str() const;
  /// "bf16", "int8" (groups of 32) or "int8:GROUP" with a number from 8 to 4096; nothing for other words.
  static std::optional<WeightsAs> parse(std::string_view words);
};

inline constexpr const char* kWeightsAsWords = "bf16, int8 or int8:GROUP with a group from 8 to 4096 weights";

} // namespace moec
