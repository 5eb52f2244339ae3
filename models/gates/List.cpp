#include "models/gates/Gates.h"

namespace moec::models {

const std::vector<const Kind*>& gateKinds() {
  static const std::vector<const Kind*> kinds{&denseGate(),  &gshardGate(), &hierarchicalGate(), &randomExpertGate(),
                                              &switchGate(), &top2Gate(),   &topKGate()};
  return kinds;
}

} // namespace moec::models
