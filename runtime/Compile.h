#pragma once
// Compiling from a program that embeds the runtime: declared here, done by libmoec_compiler, which is opened at the first use.

#include "runtime/core/Program.h"
#include "runtime/core/Trace.h"
#include "runtime/device/Device.h"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace moec {

/// What a program for generation keeps: so many sequences at once, each of so many tokens at most. Sizes are fixed at compilation.
struct GenerationSizes {
  int64_t batch = 1, context = 0;
};

/// What was chosen for a kernel, for tuners.
struct KernelChoice {
  std::string key; // of what it computes, without its schedule: 32 hexadecimal digits; CompileOptions::schedules, TunedSchedule::kernel
  std::string target, kind, label;
  Purpose purpose = Purpose::Inference;
  std::vector<std::string> kernels; // symbols of its launches: one, but where equal products have weights in different forms
  KernelSchedule schedule;
  bool isTuned = false;
  std::vector<KernelSchedule> candidates; // what may be tried next: legal, with the same bits
};

struct CompileOptions {
  std::vector<std::string> targets; // "cpu" (this machine), "cpu:x86-64-v2" to "cpu:x86-64-v4+amx"; empty: this machine and x86-64-v3
  bool drawsAsInputs = false;       // random draws become inputs named by their path
  bool checkSizes = false;          // apply the model's "check" overrides of `let` values
  bool train = false;               // a plan for training beside that for inference, for each target
  bool accumulate = false;          // with train: gradients add up over calls until they are applied
  bool recompute = false;           // with train: what is cheap is computed again on the way back, not saved: less memory, more work
  bool inputGradients = false;      // with train: a call gives the gradients of its inputs of floats too, as "gradient.<input>"
  bool wayBackByParts = false;      // with train: no target has the way back through experts in one launch, so that plans for CPUs and for GPUs can be compared
  bool statistics = false;          // with train or evaluate: gates tell what they chose, as results "<gate>.load", "<gate>.dropped" and "<gate>.non_finite"
  bool record =
      false; // gates tell what they did: results "<gate>.choices" i32 (T, K), in front of capacity, "<gate>.weights" and "<gate>.kept"; not of generation
  bool replay = false;       // gates take their choices from inputs "<gate>.choices"; weights are the scores at them; not of generation
  bool ofStepsAlone = false; // with train: record and replay are of the plan for training, and of no other
  /// Error: a call, but for one of generation, in which a gate's logit is no finite number is Error(Data) that names the gate and how many. Gates then count
  /// them, as results "<gate>.non_finite", as they do with statistics.
  NonFiniteLogits nonFinite = NonFiniteLogits::Count;
  bool evaluate = false;     // a plan for evaluation beside that for inference, for each target
  std::optional<double> ema; // with train: the optimizer's, in the place of what the model says: averages of the parameters; 0: none
  /// "bf16", "int8" or "int8:GROUP": weights of products are kept so for inference, evaluation and generation on CPUs; routers' weights, embeddings, norms and
  /// biases stay as they are. Empty: all are as the model has them. Not with train.
  std::string weightsAs;
  std::optional<GenerationSizes> generate; // a plan for generation beside that for inference, for each target
  /// A row's results are the same bits whatever rows stand beside it (Plan::invariant); what cannot keep that, in the model or among the kernels, is
  /// Error(Usage) that names it. Of inference; with `generate` of that plan alone: a model may share out an expert's room where it infers, and have room for
  /// all where it continues texts.
  bool invariant = false;
  bool debugInfo = false;             // CPU kernels know their lines in the model, for debuggers and profilers
  std::string moefy;                  // "experts=4,top_k=2,gate=gshard"; empty: as the model says
  std::map<std::string, int64_t> let; // further overrides of `let` values
  // Phases (import grad fuse schedule plan emit pack); the words of --stop-after, --dump-phases, --from. With train, stopAfter and emit show the module for
  // training, else with evaluate that for evaluation, else with generate that for generation; a dump is for what it was made for, whatever these say.
  std::string stopAfter;            // the result is then text, see CompileResult
  std::filesystem::path dumpPhases; // a folder; one numbered file per phase
  std::string from;                 // the phase that runs first, on the dump given as the model path
  std::string emit;                 // "llvm", "asm", "cuda" or "ptx": the kernels' code as text
  /// A folder of CUDA texts, <symbol>.cu each, that take the place of moec's; each must be a kernel's of a CUDA target. With emit "cuda" they are written
  /// there, and the result's text names them.
  std::filesystem::path kernels;
  /// A file of tuned schedules (runtime/core/TuningDatabase.h); those for this CPU take the place of the cost model's. Results keep their bits. Empty: none.
  std::filesystem::path tuning;
  std::map<std::string, KernelSchedule> schedules; // of single kernels, by KernelChoice::key, before those of `tuning`; refused ones are not used
  bool listChoices = false;                        // CompileResult::choices is filled
  std::filesystem::path kernelCache;               // a folder of kernels' images by content, read and added to; empty: every kernel is compiled
  std::function<void(const std::string& phase, double seconds)> onPhase; // progress
  std::shared_ptr<Trace> trace;                                          // phases, passes and kernels are added to it; null: nothing is traced
};

struct CompileResult {
  std::optional<Program> program; // absent with stopAfter or emit
  std::string text;               // IR or code asked for
  std::map<std::string, double> phaseSeconds;
  int kernelsCompiled = 0;
  int kernelsReused = 0; // equal to another of the same target
  int kernelsFromCache = 0;
  std::vector<KernelChoice> choices; // with listChoices: of every target and purpose, each key once
  int badCacheEntries = 0;           // damaged or of something else: their kernels are among those compiled
  std::string cacheProblem;          // why compiled kernels are not in the cache now: the first failure; empty when there was none
};

/// Throws Error(Model) whose text is all diagnostics, one a line: "model.json:12:18: error: ...".
CompileResult compileFile(const std::filesystem::path& model, const CompileOptions& options);
Program compile(const std::filesystem::path& model, const CompileOptions& options = {});

/// Why nothing can be compiled for CUDA targets here: no compiler library, or no NVRTC. Empty when it can. Opens the compiler library.
std::string missingCudaCompiler();

/// What libmoec_compiler exports to the runtime of the same build, as the object `moecCompilerInterface`.
struct CompilerInterface {
  const char* buildId;
  CompileResult (*compileFile)(const std::filesystem::path& model, const CompileOptions& options);
  std::shared_ptr<Device> (*referenceDevice)();
  std::string (*missingNvrtc)();
  std::string (*describeNvrtc)(); // version and file; empty when it is missing
};
extern "C" const CompilerInterface moecCompilerInterface; // defined by libmoec_compiler alone; buildId is kBuildId of runtime/core/BuildId.h

/// Opens the library: the path given to setCompilerLibrary, or else beside the executable, in ../lib of it, beside libmoec_runtime.
/// Error(Device) that lists the places when absent, Error(Device) naming both build ids when they differ.
const CompilerInterface& compilerLibrary();
/// Where the library is, before its first use. An empty path: the usual places.
void setCompilerLibrary(const std::filesystem::path& path);
/// Why compilerLibrary() would not find a library; empty when there is one. Opens nothing.
std::string missingCompilerLibrary();

} // namespace moec
