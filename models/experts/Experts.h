#pragma once
// The kinds of experts, one file each.

#include "models/Kind.h"

namespace moec::models {

const Kind& gatedMlpExpert();
const Kind& linearExpert();
const Kind& mlpExpert();

} // namespace moec::models
