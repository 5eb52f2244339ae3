#pragma once
// Checks every word of a model before anything is built: kinds, keys, types, ranges, definitions that go in circles.
// Shapes are checked by the build functions.

#include "models/Vocabulary.h"

namespace moec::models {

/// More blocks than this, repeats counted, is an error: an endless definition would otherwise fill the memory.
constexpr int64_t kMostBlocks = 20000;
/// Blocks inside each other, own blocks' bodies counted.
constexpr int kDeepestBlocks = 256;

/// Reports all that it finds.
void checkWords(const ModelFile& file, Vocabulary& vocabulary, Diagnostics& diagnostics);

} // namespace moec::models
