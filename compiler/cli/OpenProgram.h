#pragma once
// From the file a user names to a program: a program.moec is read, a model is taken from the cache or compiled. Shows
// progress on a terminal.

#include "compiler/cli/CommonOptions.h"
#include "runtime/Compile.h"

#include <map>
#include <string>

namespace moec::cli {

struct OpenedProgram {
  Program program;
  bool precompiled = false; // the file was a program.moec
  bool fromCache = false;
  CompileResult compiled; // times and counts; its program is moved out
};

/// `options` beyond what the common flags say: drawsAsInputs, checkSizes. Error(Usage) when the flags ask for another
/// compilation of a program that is compiled already.
OpenedProgram openProgram(const CommonOptions& common, CompileOptions options = {});

/// Compile options that the common flags give, with progress shown on a terminal.
CompileOptions compileOptions(const CommonOptions& common, CompileOptions options);

/// True for a program.moec, false for a model. Error(Data) for what is neither, saying what it looks like.
bool isProgramFile(const std::filesystem::path& path);

} // namespace moec::cli
