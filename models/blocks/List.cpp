#include "models/blocks/Blocks.h"

namespace moec::models {

const std::vector<const Kind*>& blockKinds() {
  static const std::vector<const Kind*> kinds{
      &activationBlock(),   &attentionBlock(),
      &blendBlock(),        &classTokenBlock(),
      &denseExpertsBlock(), &dropoutBlock(),
      &embeddingBlock(),    &gatedMlpBlock(),
      &layerNormBlock(),
      &linearBlock(),       &mlpBlock(),
      &moeBlock(),          &patchEmbeddingBlock(),
      &poolBlock(),         &positionEmbeddingBlock(),
      &repeatBlock(),       &residualBlock(),
      &sequenceBlock(),     &softMoeBlock(),
      &softmaxBlock(),      &transposeBlock(),
      &varianceBlock(),
  };
  return kinds;
}

} // namespace moec::models
