#include "models/gates/Gates.h"

namespace moec::models {

const std::vector<const Kind*>& gateKinds() {
  static const std::vector<const Kind*> kinds{&dcGate(),     &denseGate(),        &expertChoiceGate(), &fasterGate(),
                                              &gshardGate(), &hashGate(),         &hierarchicalGate(), &randomExpertGate(),
                                              &sigmoidGate(), &swipeGate(),       &switchGate(),       &top2Gate(),
                                              &topKGate()};
  return kinds;
}

} // namespace moec::models
