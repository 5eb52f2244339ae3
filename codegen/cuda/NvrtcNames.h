#pragma once
// What NVRTC is told a text is called, and the way back to the name that users know. NVRTC puts the current folder before a relative name, and ptxas refuses
// some characters: images would depend on the working folder, and a folder's name could break a kernel. Knows text alone.

#include "codegen/cuda/Nvrtc.h"

namespace moec::codegen::cuda {

/// The name of CudaSource::declarations in NVRTC's messages.
inline constexpr const char* kDeclarationsName = "/moec/declarations";

/// The last component of the source's name in a folder that is no one's: "/moec/gate_4f...e1.cu".
std::string nvrtcName(const CudaSource& source);
/// The text with the declarations behind it. Lines of the text keep their numbers.
std::string nvrtcText(const CudaSource& source);
/// PTX whose line information names the source as CudaSource::fileName does, in the escapes of PTX.
std::string withFileName(const std::string& ptx, const CudaSource& source);

} // namespace moec::codegen::cuda
