// The one object that libmoec_compiler offers to the runtime of the same build.

#include "codegen/cuda/Nvrtc.h"
#include "codegen/cuda/NvrtcLibrary.h"
#include "compiler/Compilation.h"
#include "compiler/Compiler.h"
#include "runtime/core/BuildId.h"

#include <fmt/format.h>

namespace moec {

namespace {

std::string describeNvrtc() {
  const codegen::cuda::NvrtcLibrary* library = codegen::cuda::nvrtcLibrary();
  return library ? fmt::format("NVRTC {}.{}, {}", library->major, library->minor, library->path) : std::string();
}

} // namespace

extern "C" const CompilerInterface moecCompilerInterface{kBuildId, &compiler::compileFile, &compiler::makeReferenceDevice, &codegen::cuda::missingNvrtc,
                                                         &describeNvrtc};

} // namespace moec
