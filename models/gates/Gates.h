#pragma once
// The kinds of gates, one file each, and what they share.

#include "models/Layers.h"
#include "models/gates/Capacity.h"
#include "models/gates/Losses.h"

namespace moec::models {

const Kind& cosineGate();
const Kind& dcGate();
const Kind& deepspeedGate();
const Kind& denseGate();
const Kind& expertChoiceGate();
const Kind& fasterGate();
const Kind& gshardGate();
const Kind& hashGate();
const Kind& hierarchicalGate();
const Kind& noisyTopKGate();
const Kind& randomExpertGate();
const Kind& sigmoidGate();
const Kind& swipeGate();
const Kind& switchGate();
const Kind& top2Gate();
const Kind& topKGate();
const Kind& topNGate();
const Kind& zeroGate();

/// x (T, in) through a linear layer: "weight" (out, in) and, with `bias`, "bias" (out). All in the router's dtype.
mlir::Value routerLayer(Site& site, mlir::Value x, int64_t out, bool bias, const Inits& inits = {});
/// Logits (T, E) of tokens (T, D): a routerLayer on them.
mlir::Value routerLogits(Site& site, mlir::Value tokens, int64_t experts, bool bias, const Inits& inits = {});
/// The sum over the columns of x (T, n), from the first to the last: (T, 1). Few are added within the gate's kernel.
mlir::Value sumOfColumns(Ops& ops, mlir::Value x);
/// The weights (T, K) of each token over their sum.
mlir::Value sharesOf(Ops& ops, mlir::Value weights);
/// "top_k", and whether the router has a bias.
Parameter choicesParameter(std::string fallback);
Parameter routerBiasParameter(std::string fallback = "true");
/// How the router begins.
Parameter routerInitParameter();
/// Are there K experts to choose? Reports when not.
bool checkChoices(Site& site, const Arguments& arguments, int64_t experts);

} // namespace moec::models
