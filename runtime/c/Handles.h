#pragma once
// What the files of the C interface share: handles that are the C++ values, and the way of an exception into a state and words.

#include "runtime/c/c_api.h"
#include "runtime/core/Error.h"
#include "runtime/core/Program.h"
#include "runtime/core/Tensor.h"

#include <fmt/format.h>

#include <string>
#include <vector>

struct moec_program {
  moec::Program program;
};

struct moec_tensor {
  moec::Tensor tensor;
};

namespace moec::c {

/// Of the exception being handled, whose words moec_last_error() then has.
moec_status statusOfException() noexcept;

template <class Work> moec_status guarded(Work work) noexcept {
  try {
    work();
    return MOEC_OK;
  } catch (...) {
    return statusOfException();
  }
}

/// Arguments that must not be null: (name, pointer) pairs.
template <class Pointer, class... More> void need(const char* name, Pointer* pointer, More... more) {
  if (!pointer)
    throw Error(Fault::Usage, fmt::format("{} is null", name));
  if constexpr (sizeof...(more) > 0)
    need(more...);
}

TensorMap mapOf(const char* const* names, const moec_tensor* const* tensors, size_t count);
/// "cpu,cuda:sm_90a" in its parts; null: none.
std::vector<std::string> targetsOf(const char* targets);
/// Results in the plan's order, each the caller's to free.
void giveAll(const TensorMap& results, const std::vector<OutputInfo>& order, moec_tensor** outputs);

} // namespace moec::c
