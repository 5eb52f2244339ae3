#pragma once
// Which options of a compilation go together; Compiler.cpp asks before its first phase.

#include "codegen/KernelEmitter.h"
#include "runtime/Compile.h"

namespace moec::compiler {

/// Of CompileOptions::emit. Nothing for a word that names none.
std::optional<codegen::CodeText> formOf(std::string_view word);

/// Error (usage) where two options contradict each other, or one has a value that it cannot have.
void checkOptions(const CompileOptions& options);

/// The same of an option and a target that does not have it. `targets`: those that are compiled for.
void checkTargets(const CompileOptions& options, const std::vector<std::string>& targets);

} // namespace moec::compiler
