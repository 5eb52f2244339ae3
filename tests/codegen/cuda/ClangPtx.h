#pragma once
// PTX of a kernel's CUDA text by clang: a compiler that shares nothing with NVRTC. Knows text and a process; knows no kernel.

#include <string>

namespace moec::testing {

/// Ends a test that needs clang where there is none.
#define MOEC_SKIP_WITHOUT_CLANG()                                              \
  if (std::string missing = ::moec::testing::missingClang(); !missing.empty()) \
  GTEST_SKIP() << "[SKIP] " << missing
std::string missingClang();

/// PTX for "sm_90a", with line information and without contraction, as NVRTC is asked for. Throws std::runtime_error with clang's log when it refuses the text.
std::string clangPtx(const std::string& text, const std::string& arch);

} // namespace moec::testing
