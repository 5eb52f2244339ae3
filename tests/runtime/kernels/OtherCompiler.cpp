// A compiler library of another build, which the runtime must refuse.

#include "runtime/Compile.h"

namespace moec {

extern "C" const CompilerInterface moecCompilerInterface = {"other-build", nullptr, nullptr, nullptr, nullptr};

} // namespace moec
