#pragma once
// The kinds of losses, one file each, and what they share.

#include "models/Site.h"

namespace moec::models {

const Kind& crossEntropyLoss();
const Kind& mseLoss();

/// "f32[batch, 10]".
std::string describe(mlir::Value value);

} // namespace moec::models
