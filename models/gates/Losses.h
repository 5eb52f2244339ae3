#pragma once
// The losses that gates have in training, and what they are made of: who was chosen, who was kept. Knows no gate.

#include "models/Site.h"

namespace moec::models {

/// 1 at each token's index (T, 1), else 0: (T, E).
mlir::Value oneHot(Ops& ops, mlir::Value indices, int64_t experts, mlir::Type element);
/// The same of the first choices in indices (T, K).
mlir::Value firstChoices(Ops& ops, mlir::Value indices, int64_t experts, mlir::Type element);
/// Of indices (T, K): how often each token chose each expert, (T, E).
mlir::Value choiceCounts(Ops& ops, mlir::Value indices, int64_t experts, mlir::Type element);
/// 1 where a choice is in the routing, 0 where it was dropped: (T, K).
mlir::Value keptChoices(Ops& ops, mlir::Value routing, const Size& tokens, int64_t choices, mlir::Type element);

/// E^2 * the mean over groups and experts of (share of a group's tokens that chose e) * (mean probability of e), from
/// chosen (T, E), of zeros and ones, and probabilities (T, E). `kept` (T, 1), of zeros and ones: both are over the
/// kept tokens' count in the place of all; a group that keeps none counts as 0.
mlir::Value balanceLoss(Site& site, mlir::Value chosen, mlir::Value probabilities, const Size& groups, mlir::Value kept = {});
/// The parameter of its coefficient. Without a fallback there is no such loss unless it is given.
Parameter balanceLossParameter(std::string fallback, std::string doc, std::string source = {});

/// Adds that loss with the coefficient "balance_loss". With "loss_mask" it is of the tokens that the mask has alone; with
/// "loss_pool" of all tokens of all layers of that pool, the layers joined in each group.
void addBalanceLoss(Site& site, const Arguments& arguments, mlir::Value chosen, mlir::Value probabilities, const Size& groups, mlir::Value kept = {});
/// The same of the mean over tokens of logsumexp(logits (T, E))^2 where "z_loss" is given; logits are those before noise.
void addZLoss(Site& site, const Arguments& arguments, mlir::Value logits);
/// In training both: the balance loss of who is counted (T, E) and of probabilities (T, E), the z_loss of logits.
void addLosses(Site& site, const Arguments& arguments, mlir::Value counted, mlir::Value probabilities, mlir::Value logits, const Size& groups);
Parameter zLossParameter(std::string fallback = {}, std::string source = "transformers 5.24 (router_z_loss_func)");

Parameter lossMaskParameter();
Parameter lossPoolParameter();

/// The squared coefficient of variation of numbers (E): their unbiased variance over (mean^2 + 1e-10); 0 for one.
mlir::Value squaredVariation(Ops& ops, mlir::Value numbers);

} // namespace moec::models
