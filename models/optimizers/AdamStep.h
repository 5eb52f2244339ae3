#pragma once
// What adam, adamw and, of the parameters, lion share.

#include "models/Arguments.h"
#include "models/optimizers/Update.h"

namespace moec::models {

/// betas, eps, and this weight_decay.
std::vector<Parameter> adamParameters(Parameter weightDecay);
bool checkBetas(const Arguments& arguments, Diagnostics& diagnostics);
/// The moments of the gradient, and what `parameter` becomes by them.
void adamStep(Update& update, mlir::Value parameter, mlir::Value gradient);

} // namespace moec::models
