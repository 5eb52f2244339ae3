// The one symbol that libmoec_compiler exports to the runtime of the same build.

#include "compiler/Compilation.h"
#include "compiler/Compiler.h"
#include "compiler/Targets.h"

#include <string>

extern "C" __attribute__((visibility("default"))) const moec::CompilerInterface* moecCompilerInterface() {
  static const std::string buildId = moec::compiler::compilerBuildId();
  static const moec::CompilerInterface interface{buildId.c_str(), &moec::compiler::compileFile, &moec::compiler::makeReferenceDevice};
  return &interface;
}
