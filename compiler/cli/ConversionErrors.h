#pragma once
// What converting weights (--weights-as) costs: a program's results beside those of the model with its own weights. Knows no layout of reports.

#include "compiler/cli/CommonOptions.h"
#include "runtime/Compile.h"
#include "runtime/core/Program.h"
#include "runtime/device/Device.h"

namespace moec::cli {

struct ConversionError {
  std::string output;
  double error = 0; // max |a - b| / max |b|, b by the model's own weights
};

/// Of each result of floats; nothing where the program converts nothing, or was compiled before, so that its model is not at hand. Both calls run on `device`
/// alone; a choice of experts that the conversion flips is part of the error.
std::vector<ConversionError> conversionErrors(const Program& program, const CommonOptions& common, const CompileOptions& compile, Device& device,
                                              const TensorMap& weights, const TensorMap& inputs, Purpose purpose);

} // namespace moec::cli
