#pragma once
// Uniform noise around 1 in training: on what the router takes, on the tokens, or on its result. Knows no gate.

#include "models/Site.h"

namespace moec::models {

/// "jitter" and "jitter_on".
std::vector<Parameter> jitterParameters(std::string jitter);

/// What a gate's router takes for tokens (T, D), in the router's dtype: with the jitter where it is on that.
mlir::Value jitteredInput(Site& site, const Arguments& arguments, mlir::Value tokens);
/// Logits (T, E) of it: with the jitter added where it is on them.
mlir::Value jitteredLogits(Site& site, const Arguments& arguments, mlir::Value logits);
/// What the experts take where the jitter is on the tokens, from jitteredInput; else null: the tokens as they are.
mlir::Value jitteredTokens(Site& site, const Arguments& arguments, mlir::Value input);
/// x times draws from [1 - jitter, 1 + jitter), called "jitter".
mlir::Value timesJitter(Site& site, mlir::Value x, double jitter);

} // namespace moec::models
