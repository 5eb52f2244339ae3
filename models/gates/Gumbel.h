#pragma once
// Gumbel noise on logits, by which the best of them is a sample of their softmax. Knows no gate.

#include "models/Site.h"

namespace moec::models {

/// x + scale * -log(-log(u)), the logarithms being of at least 1e-20. u are uniform draws, the part `name` of the site.
mlir::Value withGumbel(Site& site, std::string_view name, mlir::Value x, double scale);

} // namespace moec::models
