#pragma once
// What the backward part of a step reads of the forward part: saved values, or clones of the ops that made them. Knows no kernel and no buffer.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

/// Values of the forward part (all in front of `firstBackward` in its block) that ops from it on use are saved where they are inputs, state, or results of
/// products, attention, combine, choices and other ops that are dear or small; what is cheap to have from those (elementwise ops, norms, softmax of short rows,
/// shapes, draws, dispatch, expert_rows, row_weights; a symbol counts as a usual size) is computed again: its ops are cloned in front of the first user, once
/// for each run of backward ops of one place in the model, so that fusion finds them beside their users. A cheap value is saved all the same where computing it
/// again would read more than two values of its size, as along a chain of residuals. Clones compute the same bits. Without a call everything is saved.
void chooseRecompute(mlir::Operation* firstBackward);

} // namespace moec::compiler
