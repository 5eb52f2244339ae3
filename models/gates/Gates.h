#pragma once
// The kinds of gates, one file each, and what they share.

#include "models/Layers.h"

namespace moec::models {

const Kind& dcGate();
const Kind& denseGate();
const Kind& expertChoiceGate();
const Kind& fasterGate();
const Kind& gshardGate();
const Kind& hashGate();
const Kind& hierarchicalGate();
const Kind& randomExpertGate();
const Kind& sigmoidGate();
const Kind& swipeGate();
const Kind& switchGate();
const Kind& top2Gate();
const Kind& topKGate();

/// x (T, in) through a linear layer: "weight" (out, in) and, with `bias`, "bias" (out). All in the router's dtype.
mlir::Value routerLayer(Site& site, mlir::Value x, int64_t out, bool bias, const Inits& inits = {});
/// Logits (T, E) of tokens (T, D): a routerLayer on them.
mlir::Value routerLogits(Site& site, mlir::Value tokens, int64_t experts, bool bias, const Inits& inits = {});
/// floor(ceil(rate * T) * K / E): FastMoE's capacity of one expert on one worker. Nothing after a report that it is 0,
/// where T is a number; otherwise a call may find that.
std::optional<Size> fastmoeCapacity(Site& site, Position position, double rate, const Size& tokens, int64_t choices,
                                    int64_t experts);
/// 1 at each token's index (T, 1), else 0: (T, E).
mlir::Value oneHot(Ops& ops, mlir::Value indices, int64_t experts, mlir::Type element);
/// E^2 * the mean over groups and experts of (share of a group's tokens that chose e) * (mean probability of e), from
/// chosen (T, E), of zeros and ones, and probabilities (T, E). `kept` (T, 1), of zeros and ones: both are over the
/// kept tokens' count in the place of all.
mlir::Value balanceLoss(Site& site, mlir::Value chosen, mlir::Value probabilities, const Size& groups,
                        mlir::Value kept = {});
/// The losses of a gate in training, as its parameters say: "balance_loss" of the above, and "z_loss", the mean over
/// tokens of (log of the sum of exp(logits))^2. With "loss_mask" both are of the tokens that it has alone. With
/// "loss_pool" they are of all tokens of all layers of that pool, the layers joined inside each group.
void addBalanceLoss(Site& site, const Arguments& arguments, mlir::Value chosen, mlir::Value probabilities,
                    const Size& groups, mlir::Value kept = {});
void addZLoss(Site& site, const Arguments& arguments, mlir::Value logits);
Parameter lossMaskParameter();
Parameter lossPoolParameter();
Parameter zLossParameter();
/// The parameter of the balance loss's coefficient.
Parameter balanceLossParameter(std::string fallback, std::string doc, std::string source = {});
/// Are there K experts to choose? Reports when not.
bool checkChoices(Site& site, const Arguments& arguments, int64_t experts);

} // namespace moec::models
