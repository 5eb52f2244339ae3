#pragma once
// What the kinds of soft mixtures share: slots that attend to tokens, experts on the slots, tokens that attend to slots.
// Knows not where the vectors of the slots come from.

#include "models/Layers.h"

namespace moec::models {

/// Vectors that ask, (B, Q, D), and that are asked, (B, N, D), in one softmax over N, of what is mixed, (B, N, W).
struct Mixing {
  mlir::Value asking, keys, values;
  mlir::Value asks = {}; // (B, Q, 1): 0 for one that asks nobody and gets the mean over all N
  mlir::Value keep = {}; // (B, N, 1): 0 for one that counts only where none is kept
};
/// (B, Q, W), not scaled. W is D.
mlir::Value mixed(Site& site, Mixing mixing);

/// Each expert's load, where statistics are asked for: the sum, over the tokens, of its slots' weights, which attention
/// does not tell. From products (B, N, E * S), the slots of an expert side by side.
void addLoadOfSlots(Site& site, mlir::Value products, int64_t experts, const Size& perExpert);

/// The experts on the slots (B, E * S, D), each on those of the whole batch: the same shape. Null after a report.
mlir::Value expertsOnSlots(Site& site, const Arguments& arguments, mlir::Value slots, int64_t experts, const Size& perExpert);

/// x / max(|x|, 1e-12), times sqrt(D) and a learned "weight" of the site: RMSNorm as lucidrains writes it.
mlir::Value lucidrainsRmsNorm(Site site, mlir::Value x);
/// x / max(|x|, 1e-12) alone.
mlir::Value l2Norm(Site& site, mlir::Value x);

/// The mask as (B, N, 1); null after a report.
mlir::Value keepOf(Site& site, mlir::Value mask, const ir::Sizes& tokens);

/// x as tokens (B, N, D): (B, D) is one token each, (B, D, H, W) a picture, its places the tokens. Null after a report.
mlir::Value asTokens(Site& site, mlir::Value x);
/// The inverse, for an x of this shape.
mlir::Value fromTokens(Site& site, mlir::Value tokens, const ir::Sizes& shape);

} // namespace moec::models
