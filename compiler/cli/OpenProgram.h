#pragma once
// From the file a user names to a program: a program.moec is read, a model is taken from the cache or compiled. Shows
// progress on a terminal.

#include "compiler/cli/CommonOptions.h"
#include "runtime/Compile.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace moec::cli {

struct OpenedProgram {
  Program program;
  bool precompiled = false; // the file was a program.moec
  bool fromCache = false;
  std::string damagedEntry; // what was wrong with the cache's entry, which is written anew; empty when nothing was
  CompileResult compiled;   // times and counts; its program is moved out
};

/// What the common flags say of the program that a model becomes.
void addModelOptions(const CommonOptions& common, CompileOptions& options);

/// `options` beyond what the common flags say: drawsAsInputs, checkSizes, the targets when no flag names one. Error(Usage) when the flags ask for another
/// compilation of a program that is compiled already.
OpenedProgram openProgram(const CommonOptions& common, CompileOptions options = {});

/// For commands that show one plan: a program's --target chooses among what is compiled.
Program openForView(const CommonOptions& common);
/// What the one plan is for that --train or --evaluate names. Error(Usage) for both.
Purpose purposeOf(const CommonOptions& common);
/// The plan of that purpose, of the first target that --target names, else of the first: targets stand best first. "cpu" is the best for a CPU. Error(Usage)
/// lists what there is; so does checkInvariant().
const Plan& choosePlan(const Program& program, const CommonOptions& common);
/// Where --invariant is given: Error(Usage) for a plan that does not promise it (Plan::invariant), with what couples its rows. Whoever uses a plan that it did
/// not choose asks this of it: a program's other plans may couple what they want.
void checkInvariant(const Plan& plan, const CommonOptions& common);
/// What --target means for those commands, in its help.
void describeTargetOfView(CLI::App& command);
std::vector<std::string> targetsOf(const Program& program);

/// What to compile a model for that is to run on all of these devices, when the user names no target; empty: the usual targets.
std::vector<std::string> targetsFor(const std::vector<std::shared_ptr<Device>>& devices);

/// Compile options that the common flags give, with the user's cache of kernels, and progress shown on a terminal.
CompileOptions compileOptions(const CommonOptions& common, CompileOptions options);
/// CompileResult::cacheProblem as a warning, when there is one.
void warnOfCache(const std::string& problem);
/// Keeps the user's caches at their size, after something was added.
void limitCache(const CommonOptions& common);

/// True for a program.moec, false for a model. Error(Data) for what is neither, saying what it looks like.
bool isProgramFile(const std::filesystem::path& path);

} // namespace moec::cli
