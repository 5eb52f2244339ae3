#pragma once
// How much memory a program will take on the CPU, part by part, before it runs: what a session or a training keeps, and when it keeps most. Counts only; runs
// nothing.

#include "runtime/core/Program.h"

#include <algorithm>
#include <cstdint>

namespace moec::cli {

/// Bytes of one session, or of one training, on the CPU with this many threads, and of its first call or step at these sizes.
struct MemoryForecast {
  // Kept from the weights on.
  int64_t weights = 0;    // in the form of the model, for the launches of a call
  int64_t onlyPacked = 0; // in the form of the model until the first call, for packing alone
  int64_t unread = 0;     // copies of weights that no launch reads
  int64_t states = 0;     // of training: gradients that add up, moments
  int64_t applied = 0;    // inputs and outputs of apply, which have one size
  int64_t packed = 0, constants = 0;
  int64_t packing = 0; // temporaries of packing
  int64_t packingScratch = 0;
  // Kept from the first call on.
  int64_t arena = 0, inputs = 0, outputs = 0, scratch = 0;
  int64_t results = 0; // copies of outputs that the caller gets; others it gets as they are

  int64_t loading() const { return weights + onlyPacked + unread + states + applied + packed + constants + packing + packingScratch; }
  int64_t call() const { return weights + unread + states + applied + packed + constants + packing + arena + inputs + outputs + scratch + results; }
  int64_t peak() const { return std::max(loading(), call()); }

  // Of `moec run`, beside the session; of a program that trains likewise.
  int64_t given = 0;   // the inputs as they were read
  int64_t program = 0; // kernels' images and IR
  int64_t drawing = 0; // most at once while --init draws and packs weights one by one: what is packed so far, and the one at hand twice
  int64_t reading = 0; // the same while --weights packs them one by one
  /// Without the pages of the file that weights are read from.
  int64_t peakWithWeights() const { return given + program + std::max(reading, call()); }
  int64_t peakWithInit() const { return given + program + std::max(drawing, call()); }
};

MemoryForecast forecastMemory(const Program& program, const Plan& plan, const Bindings& sizes, int threads);

} // namespace moec::cli
