#pragma once
// The library libnvrtc: where it may be, and the functions of it that are called. Their prototypes are written here, so building needs no CUDA.

#include <string>

namespace moec::codegen::cuda {

struct NvrtcState;
using NvrtcProgram = NvrtcState*;

/// Functions give 0 or an nvrtcResult.
struct NvrtcLibrary {
  const char* (*errorString)(int result);
  int (*version)(int* major, int* minor);
  int (*createProgram)(NvrtcProgram* program, const char* text, const char* name, int headers, const char* const* headerTexts, const char* const* headerNames);
  int (*destroyProgram)(NvrtcProgram* program);
  int (*compileProgram)(NvrtcProgram program, int options, const char* const* optionTexts);
  int (*logSize)(NvrtcProgram program, size_t* bytes);
  int (*log)(NvrtcProgram program, char* to);
  int (*ptxSize)(NvrtcProgram program, size_t* bytes);
  int (*ptx)(NvrtcProgram program, char* to);
  int (*cubinSize)(NvrtcProgram program, size_t* bytes);
  int (*cubin)(NvrtcProgram program, char* to);
  int major = 0, minor = 0;
  std::string path;
};

inline constexpr int kNvrtcInvalidOption = 5; // also an architecture that this version does not know

/// Opened at the first call and never closed. Null when there is none: missingNvrtc() says why.
const NvrtcLibrary* nvrtcLibrary();

} // namespace moec::codegen::cuda
