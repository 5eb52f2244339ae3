#pragma once
// How a token is drawn from the scores of all. The same on every machine: exponentials by fixed polynomials, draws by Philox.

#include <cstdint>
#include <span>

namespace moec {

/// How the next token is chosen from the scores of all.
struct SamplingOptions {
  double temperature = 0; // 0: the token of the highest score, the first of equals
  int64_t topK = 0;       // only the k highest; 0: all
  double topP = 1;        // only the fewest whose probabilities add up to p at least
  uint64_t seed = 0;      // the draw of a token is keyed by it, the sequence and the token's position
};

/// Tokens in the order of their scores, of equal ones the lower id first; the first top_k of them; their probabilities, softmax(scores / temperature) of these
/// alone; the fewest from the front whose probabilities add up to top_p; one of them by its probability. A score of -infinity is never drawn. `sequence` is its
/// number in the batch, `position` that of the token that is drawn. Error(Usage) for a temperature below 0 or not finite, top_k below 0, top_p outside (0, 1],
/// a negative position, a sequence outside [0, 2^32); Error(Data) for scores without a finite one, with NaN or with +infinity.
int64_t sampleToken(std::span<const float> scores, const SamplingOptions& options, int64_t sequence, int64_t position);
int64_t sampleToken(std::span<const double> scores, const SamplingOptions& options, int64_t sequence, int64_t position);

/// Error(Usage) as above for options that are out of range.
void checkSampling(const SamplingOptions& options);

} // namespace moec
