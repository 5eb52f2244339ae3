#include "models/experts/Experts.h"

namespace moec::models {

const std::vector<const Kind*>& expertKinds() {
  static const std::vector<const Kind*> kinds{&gatedMlpExpert(), &linearExpert(), &mlpExpert()};
  return kinds;
}

} // namespace moec::models
