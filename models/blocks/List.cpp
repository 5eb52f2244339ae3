#include "models/blocks/Blocks.h"

namespace moec::models {

const std::vector<const Kind*>& blockKinds() {
  static const std::vector<const Kind*> kinds{
      &activationBlock(),   &attentionBlock(),
      &blendBlock(),        &classTokenBlock(),
      &concatBlock(),       &denseExpertsBlock(),
      &dropoutBlock(),      &dynamicSoftMoeBlock(),
      &embeddingBlock(),    &gatedMlpBlock(),
      &layerNormBlock(),    &linearBlock(),
      &mixedLinearBlock(),  &mlpBlock(),
      &moeBlock(),          &patchEmbeddingBlock(),
      &poolBlock(),         &positionEmbeddingBlock(),
      &relativeBiasBlock(), &repeatBlock(),
      &reshapeBlock(),      &residualBlock(),
      &rmsNormBlock(),      &scaleBlock(),
      &sequenceBlock(),     &shiftBlock(),
      &sliceBlock(),        &softMoeBlock(),
      &softmaxBlock(),      &transposeBlock(),
      &varianceBlock(),
  };
  return kinds;
}

} // namespace moec::models
