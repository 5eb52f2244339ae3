#include "models/gates/Gates.h"

namespace moec::models {

const std::vector<const Kind*>& gateKinds() {
  static const std::vector<const Kind*> kinds{
      &cosineGate(), &dcGate(),     &deepspeedGate(),    &denseGate(),     &expertChoiceGate(), &fasterGate(),
      &gshardGate(), &hashGate(),   &hierarchicalGate(), &noisyTopKGate(), &randomExpertGate(), &sigmoidGate(),
      &swipeGate(),  &switchGate(), &top2Gate(),         &topKGate(),      &topNGate(),         &zeroGate(),
  };
  return kinds;
}

} // namespace moec::models
