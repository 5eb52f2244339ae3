#pragma once
// multiplyPanels (Product.h) by tiles.

#include "codegen/cpu/Product.h"

namespace moec::codegen::cpu {

/// For a schedule with tiles: rows of bf16 that are copied, panels of bf16 in pairs, a constant depth of whole tiles. Each sum takes the terms of 32 of the
/// depth at a time, in increasing depth, as Tiles::multiply adds them: its bits depend neither on the number of rows nor on how the depth is cut.
void multiplyPanelsByTiles(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block, FinishedRows finished);

} // namespace moec::codegen::cpu
