#include "models/optimizers/Optimizers.h"

namespace moec::models {

const std::vector<const Kind*>& optimizerKinds() {
  static const std::vector<const Kind*> kinds{&adafactorOptimizer(), &adamOptimizer(), &adamwOptimizer(), &lionOptimizer(), &sgdOptimizer()};
  return kinds;
}

} // namespace moec::models
