#include "runtime/core/Error.h"

namespace moec {

int exitCode(Fault fault) {
  switch (fault) {
  case Fault::Model:
  case Fault::Data:
    return 1;
  case Fault::Usage:
    return 2;
  case Fault::Device:
    return 3;
  case Fault::Mismatch:
    return 4;
  case Fault::System:
    return 5;
  case Fault::Internal:
    return 70;
  }
  return 70;
}

} // namespace moec
