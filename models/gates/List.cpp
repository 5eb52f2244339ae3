#include "models/gates/Gates.h"

namespace moec::models {

const std::vector<const Kind*>& gateKinds() {
  static const std::vector<const Kind*> kinds{&gshardGate(), &topKGate()};
  return kinds;
}

} // namespace moec::models
