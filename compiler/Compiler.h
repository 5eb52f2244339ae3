#pragma once
// The compiler as a function; runtime/Compile.h says what it does.

#include "runtime/Compile.h"

namespace moec::compiler {

CompileResult compileFile(const std::filesystem::path& model, const CompileOptions& options);

} // namespace moec::compiler
