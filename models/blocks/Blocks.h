#pragma once
// The kinds of blocks, one file each.

#include "models/Kind.h"

namespace moec::models {

const Kind& activationBlock();
const Kind& attentionBlock();
const Kind& blendBlock();
const Kind& classTokenBlock();
const Kind& concatBlock();
const Kind& denseExpertsBlock();
const Kind& dropoutBlock();
const Kind& dynamicSoftMoeBlock();
const Kind& embeddingBlock();
const Kind& gatedMlpBlock();
const Kind& layerNormBlock();
const Kind& linearBlock();
const Kind& mixedLinearBlock();
const Kind& mlpBlock();
const Kind& moeBlock();
const Kind& patchEmbeddingBlock();
const Kind& poolBlock();
const Kind& positionEmbeddingBlock();
const Kind& relativeBiasBlock();
const Kind& repeatBlock();
const Kind& reshapeBlock();
const Kind& residualBlock();
const Kind& rmsNormBlock();
const Kind& scaleBlock();
const Kind& sequenceBlock();
const Kind& shiftBlock();
const Kind& sliceBlock();
const Kind& softMoeBlock();
const Kind& softmaxBlock();
const Kind& transposeBlock();
const Kind& varianceBlock();

} // namespace moec::models
