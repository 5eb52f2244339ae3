#pragma once
// What a training is of, as texts to compare and to show.

#include "runtime/core/Plan.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Config.h"

namespace moec::train {

/// `plan`: for training. The model's file, where the configuration has one, counts as JSON: neither the order of its keys nor its spaces. Reads the data whole.
Identity identityOf(const Plan& plan, const std::string& name, const Config& config, const data::OpenedData& data);

/// Error(Data) that names both where the checkpoint's differs from this training's.
void checkSame(const std::filesystem::path& folder, const Identity& checkpoint, const Identity& training);

} // namespace moec::train
