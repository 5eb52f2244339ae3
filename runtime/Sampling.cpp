#include "runtime/Sampling.h"

#include "runtime/core/Error.h"
#include "runtime/core/FixedMath.h"
#include "runtime/core/Philox.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace moec {
namespace {

constexpr uint32_t kStream = streamOf("sampling");

/// Is what two numbers stand for in this order: higher scores first, of equal ones the lower id?
template <class T> bool before(std::span<const T> scores, int64_t a, int64_t b) {
  T first = scores[static_cast<size_t>(a)], second = scores[static_cast<size_t>(b)];
  return first != second ? first > second : a < b;
}

template <class T> int64_t best(std::span<const T> scores) {
  int64_t result = -1;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i]) || scores[i] == INFINITY)
      throw Error(Fault::Data, fmt::format("the score of token {} is {}: no token can be chosen", i, scores[i]));
    if (std::isfinite(scores[i]) && (result < 0 || scores[i] > scores[static_cast<size_t>(result)]))
      result = static_cast<int64_t>(i);
  }
  if (result < 0)
    throw Error(Fault::Data, fmt::format("none of {} scores is finite: no token can be chosen", scores.size()));
  return result;
}

template <class T> int64_t sample(std::span<const T> scores, const SamplingOptions& options, int64_t sequence, int64_t position) {
  checkSampling(options);
  if (position < 0 || sequence < 0 || sequence > INT64_C(0xFFFFFFFF))
    throw Error(Fault::Usage, fmt::format("a token at position {} of sequence {}: both are 0 or more, and a sequence lies below 2^32", position, sequence));
  int64_t highest = best(scores);
  if (options.temperature == 0)
    return highest;

  std::vector<int64_t> tokens;
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isfinite(scores[i]))
      tokens.push_back(static_cast<int64_t>(i));
  auto order = [&](int64_t a, int64_t b) { return before(scores, a, b); };
  if (options.topK > 0 && static_cast<size_t>(options.topK) < tokens.size()) {
    std::ranges::nth_element(tokens, tokens.begin() + options.topK, order);
    tokens.resize(static_cast<size_t>(options.topK));
  }
  std::ranges::sort(tokens, order);

  double top = scores[static_cast<size_t>(highest)], all = 0;
  std::vector<double> ends; // of each token's share, from the front
  for (int64_t token : tokens)
    ends.push_back(all += fixedExp((scores[static_cast<size_t>(token)] - top) / options.temperature));
  size_t kept = 0;
  while (kept + 1 < tokens.size() && ends[kept] < options.topP * all)
    ++kept;
  double at = uniformDouble(draw(options.seed, kStream, static_cast<uint32_t>(sequence), static_cast<uint64_t>(position))) * ends[kept];
  auto chosen = std::ranges::upper_bound(ends.begin(), ends.begin() + static_cast<ptrdiff_t>(kept) + 1, at);
  // A share that rounding left empty, and a product that it made the whole, are the last token's.
  return tokens[std::min(static_cast<size_t>(chosen - ends.begin()), kept)];
}

} // namespace

void checkSampling(const SamplingOptions& options) {
  auto fail = [](const std::string& message) { throw Error(Fault::Usage, message); };
  if (!(options.temperature >= 0) || std::isinf(options.temperature))
    fail(fmt::format("a temperature of {}: it is 0 (always the token of the highest score) or more", options.temperature));
  if (options.topK < 0)
    fail(fmt::format("top_k of {}: it is 0 (all tokens) or more", options.topK));
  if (!(options.topP > 0 && options.topP <= 1))
    fail(fmt::format("top_p of {}: it lies above 0, and at 1 (all tokens) at most", options.topP));
}

int64_t sampleToken(std::span<const float> scores, const SamplingOptions& options, int64_t sequence, int64_t position) {
  return sample(scores, options, sequence, position);
}
int64_t sampleToken(std::span<const double> scores, const SamplingOptions& options, int64_t sequence, int64_t position) {
  return sample(scores, options, sequence, position);
}

} // namespace moec
