#include "tests/codegen/OrderCases.h"

#include "runtime/core/Philox.h"

#include <fmt/format.h>

#include <cmath>

namespace moec::testing {

namespace {

uint32_t drawn(uint32_t seed, int64_t i) { return moec::draw(seed, 1, 0, static_cast<uint64_t>(i))[0]; }

/// 0 .. experts - 1, and -1 for every eleventh.
Tensor indicesOf(const OrderCase& c) {
  std::vector<int32_t> numbers;
  for (int64_t i = 0; i < c.tokens * c.choices; ++i) {
    uint32_t number = drawn(7, i);
    int64_t expert = c.isCrowded ? c.experts / 2 : number % static_cast<uint32_t>(c.experts);
    numbers.push_back(number % 11 == 0 ? -1 : static_cast<int32_t>(expert));
  }
  return Tensor::of(std::move(numbers), {c.tokens, c.choices});
}

Tensor scoresOf(const OrderCase& c) {
  std::vector<double> numbers;
  for (int64_t i = 0; i < c.tokens * c.choices; ++i) {
    uint32_t number = drawn(8, i);
    const double few[] = {0.0, -0.0, 1.5, -2.5, NAN, -INFINITY};
    numbers.push_back(c.isTied ? few[number % 6] : number / 4294967296.0 - 0.5);
  }
  DType type = std::string_view(c.scores) == "f64" ? DType::F64 : std::string_view(c.scores) == "bf16" ? DType::BF16 : DType::F32;
  return Tensor::of(std::move(numbers), {c.tokens, c.choices}).cast(type);
}

/// Two of three are true.
Tensor maskOf(const OrderCase& c) {
  Tensor mask(DType::Bool, {c.tokens, c.choices});
  for (int64_t i = 0; i < mask.elements(); ++i)
    mask.as<uint8_t>()[static_cast<size_t>(i)] = drawn(9, i) % 3 != 0;
  return mask;
}

} // namespace

void PrintTo(const OrderCase& c, std::ostream* out) { *out << c.name; }

std::vector<OrderCase> orderCases() {
  return {
      {"places", "places", 300, 2, 6},
      {"placesOfChoices", "places", 300, 3, 6, "choice_major"},
      {"placesOfOneToken", "places", 1, 1, 4},
      {"placesWithoutTokens", "places", 0, 2, 4},
      {"placesOfEveryExpert", "places", 77, 5, 5},
      {"placesOfOneExpert", "places", 1000, 1, 3, "token_major", 0, 1, "f32", false, true},
      {"placesOfChoicesOfOneExpert", "places", 700, 2, 3, "choice_major", 0, 1, "f64", false, true},
      {"placesTied", "places", 260, 2, 4, "token_major", 0, 1, "f32", false, false, true},
      {"placesTiedOfF64", "places", 260, 2, 4, "choice_major", 0, 1, "f64", false, false, true},
      {"placesOfBfloat16", "places", 300, 2, 6, "token_major", 0, 1, "bf16"},
      {"placesMasked", "places", 300, 2, 6, "choice_major", 0, 1, "f32", true},
      {"placesInGroups", "places", 300, 2, 6, "token_major", 5},
      {"placesOfChoicesInGroups", "places", 96, 2, 3, "choice_major", 4, 1, "f64", true},
      {"placesInGroupsOfOne", "places", 12, 3, 5, "choice_major", 12},
      {"placesPastOneChunk", "places", 5000, 1, 2},
      {"swipe", "swipe", 120, 2, 8, "", 0, 4},
      {"swipeCrowded", "swipe", 120, 3, 8, "", 0, 4, "", false, true},
      {"swipeOfOneExpertEach", "swipe", 60, 2, 5, "", 0, 5, "", false, true},
      {"swipeOfOneWorker", "swipe", 31, 2, 5, "", 0, 1},
      {"swipeOfOneTokenEach", "swipe", 6, 2, 12, "", 0, 6},
  };
}

ParsedKernel parseOrder(const OrderCase& c) {
  auto matrix = [&](const char* element) { return fmt::format("tensor<?x{}x{}, #moe.sizes<\"t\", \"{}\">>", c.choices, element, c.choices); };
  std::string indices = matrix("i32"), arguments = "%i: " + indices, yield = "moe.yield %y : " + indices;
  if (std::string_view(c.kind) == "swipe")
    return parseKernel("swipe", arguments, indices, fmt::format("%y = moe.swipe %i experts {} workers {} : {}\n{}", c.experts, c.workers, indices, yield));
  arguments += ", %s: " + matrix(c.scores);
  std::string keep;
  if (c.isMasked) {
    arguments += ", %k: " + matrix("i1");
    keep = " keep %k : " + matrix("i1");
  }
  return parseKernel("places", arguments, indices,
                     fmt::format("%y = moe.places %i, %s{} experts {} {}{} : {}, {}\n{}", keep, c.experts, c.priority, c.groups ? " groups \"g\"" : "", indices,
                                 matrix(c.scores), yield));
}

CheckOptions optionsOf(const OrderCase& c) {
  CheckOptions options;
  options.bindings = {{"t", c.tokens}, {"g", std::max<int64_t>(c.groups, 1)}};
  options.exact = true;
  options.inputs.push_back(indicesOf(c));
  if (std::string_view(c.kind) == "places")
    options.inputs.push_back(scoresOf(c));
  if (c.isMasked)
    options.inputs.push_back(maskOf(c));
  return options;
}

} // namespace moec::testing
