#include "models/optimizers/Optimizers.h"

namespace moec::models {

const std::vector<const Kind*>& optimizerKinds() {
  static const std::vector<const Kind*> kinds{&adamOptimizer(), &adamwOptimizer(), &sgdOptimizer()};
  return kinds;
}

} // namespace moec::models
