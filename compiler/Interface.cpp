// The one object that libmoec_compiler offers to the runtime of the same build.

#include "codegen/cuda/Nvrtc.h"
#include "compiler/Compilation.h"
#include "compiler/Compiler.h"
#include "runtime/core/BuildId.h"

namespace moec {

extern "C" const CompilerInterface moecCompilerInterface{kBuildId, &compiler::compileFile, &compiler::makeReferenceDevice, &codegen::cuda::missingNvrtc};

} // namespace moec
