#pragma once
// How a target runs what may refuse its input.

#include "runtime/core/Error.h"

#include <stdexcept>
#include <string>

namespace moec::fuzz {

/// Runs what may refuse the input: it says so with words. False where it does.
template <class Work> bool refusable(Work work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    if (error.fault() == Fault::Internal || !*error.what())
      throw std::logic_error(std::string("a stranger's bytes are called moec's own mistake: ") + error.what());
    return false;
  }
}

} // namespace moec::fuzz
