#include "models/gates/Gates.h"

namespace moec::models {

const std::vector<const Kind*>& gateKinds() {
  static const std::vector<const Kind*> kinds{&denseGate(), &gshardGate(), &randomExpertGate(), &switchGate(),
                                              &topKGate()};
  return kinds;
}

} // namespace moec::models
