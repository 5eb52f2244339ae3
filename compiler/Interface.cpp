// The one object that libmoec_compiler offers to the runtime of the same build.

#include "compiler/Compilation.h"
#include "compiler/Compiler.h"
#include "runtime/core/BuildId.h"

namespace moec {

extern "C" const CompilerInterface moecCompilerInterface{kBuildId, &compiler::compileFile, &compiler::makeReferenceDevice};

} // namespace moec
