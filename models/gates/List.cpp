#include "models/gates/Gates.h"

namespace moec::models {

const std::vector<const Kind*>& gateKinds() {
  static const std::vector<const Kind*> kinds{
      &cosineGate(), &deepspeedGate(), &denseGate(), &gshardGate(), &hierarchicalGate(), &randomExpertGate(),
      &switchGate(), &top2Gate(),      &topKGate(),  &topNGate(),   &zeroGate(),
  };
  return kinds;
}

} // namespace moec::models
