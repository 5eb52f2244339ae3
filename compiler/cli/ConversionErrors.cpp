#include "compiler/cli/ConversionErrors.h"

#include "compiler/cli/OpenProgram.h"
#include "runtime/device/check/CheckDevice.h"

#include <algorithm>

namespace moec::cli {

std::vector<ConversionError> conversionErrors(const Program& program, const CommonOptions& common, const CompileOptions& compile, Device& device,
                                              const TensorMap& weights, const TensorMap& inputs, Purpose purpose) {
  bool converts = std::ranges::any_of(program.data().plans, [&](const Plan& plan) { return plan.purpose == purpose && !plan.weightsAs.empty(); });
  if (!converts || isProgramFile(common.file))
    return {};
  CommonOptions own = common;
  own.weightsAs.clear();
  Program plain = openProgram(own, compile).program;
  TensorMap with = resultsOf(program, device, weights, inputs, {.seed = common.seed}, purpose);
  TensorMap without = resultsOf(plain, device, weights, inputs, {.seed = common.seed}, purpose);
  std::vector<ConversionError> errors;
  for (const auto& [name, expected] : without)
    if (isFloat(expected.dtype()))
      errors.push_back({name, relativeError(with.at(name), expected, expected.elements())});
  return errors;
}

} // namespace moec::cli
