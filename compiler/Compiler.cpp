// The table of contents of the compiler: phases in order, one line per pass, and between them the facts that force the order.

#include "compiler/Compiler.h"
#include "compiler/CheckOptions.h"
#include "compiler/Compilation.h"
#include "compiler/Diagnostics.h"
#include "compiler/KernelFolder.h"
#include "compiler/KernelQueue.h"
#include "compiler/Targets.h"
#include "compiler/passes/Functions.h"
#include "compiler/passes/Passes.h"
#include "models/BuildModel.h"
#include "moec_build_id.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"

#include "llvm/Support/ThreadPool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <fstream>
#include <sstream>

using namespace mlir;

namespace moec::compiler {

namespace {

std::string readText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file.peek() != std::ifstream::traits_type::eof()) // << fails where there is nothing
    text << file.rdbuf();
  if (!file.is_open() || file.bad() || !text)
    throw Error(Fault::Data, path.string() + ": cannot be read");
  return text.str();
}

bool writesKernels(const CompileOptions& options) { return options.emit == "cuda" && !options.kernels.empty(); }

/// One compilation for one target and purpose, from a model or a dump to a plan.
class Pipeline {
public:
  Pipeline(const std::filesystem::path& model, const CompileOptions& options, const KnownSchedules& schedules, KernelFolder& kernels, CompileResult& result)
      : options_(options), schedules_(schedules), kernels_(kernels), result_(result), diagnostics_(context_, model, options.moefy) {
    DialectRegistry registry;
    ir::registerDialects(registry);
    context_.appendDialectRegistry(registry);
    context_.loadAllAvailableDialects();
    context_.printOpOnDiagnostic(false);
    context_.setThreadPool(caller_);
  }

  void import(const std::filesystem::path& path, const std::string& text, Purpose purpose) {
    models::ImportOptions import;
    import.let = options_.let;
    import.moefy = options_.moefy;
    import.useCheck = options_.checkSizes;
    import.drawsAsInputs = options_.drawsAsInputs;
    import.train = purpose == Purpose::Training;
    import.evaluate = purpose == Purpose::Evaluation;
    if (purpose == Purpose::Generation)
      import.generate = models::Generation{options_.generate->batch, options_.generate->context};
    import.statistics = options_.statistics && (import.train || import.evaluate);
    import.ema = options_.ema;
    import.finiteLogits = options_.nonFinite == NonFiniteLogits::Error && purpose != Purpose::Generation;
    bool isRecorded = !options_.ofStepsAlone || import.train;
    import.record = options_.record && isRecorded;
    import.replay = options_.replay && isRecorded;
    run(Phase::Import, [&] {
      compilation_.module = models::buildModel(path.string(), text, import, &context_, diagnostics_.model());
      return success(bool(compilation_.module));
    });
  }

  /// Takes up a dump of the phase before `first`; it may have been edited, so it is verified as that phase's result.
  void resume(const std::filesystem::path& path, const std::string& text, Phase first) {
    auto parsed = parseDump(text, path.string(), &context_);
    if (failed(parsed) || failed(verifyAfter(static_cast<Phase>(static_cast<int>(first) - 1), *parsed->module)))
      diagnostics_.fail(Fault::Model, "'" + path.string() + "' is not a dump that phase '" + phaseNames[static_cast<int>(first)] + "' can go on from");
    compilation_ = std::move(*parsed);
  }

  /// The phases for one target up to `plan`, from `first` on; kernels that are to be emitted are in `queue` then. False when it stopped at options.stopAfter
  /// or options.emit. `last`: no target comes behind it.
  bool lower(Phase first, const std::string& target, bool last, KernelQueue& queue) {
    std::string error;
    emitter_ =
        codegen::makeEmitter(target, error, {.kernels = writesKernels(options_) ? std::filesystem::path() : options_.kernels, .debugInfo = options_.debugInfo});
    if (!emitter_)
      throw Error(Fault::Usage, error);
    ModuleOp module = *compilation_.module;
    source_.emplace(*emitter_, schedules_, options_.listChoices);
    bool trains = purposeOf(module) == Purpose::Training;
    if (options_.stopAfter == phaseNames[static_cast<int>(Phase::Grad)] && !(trains && first <= Phase::Grad))
      throw Error(Fault::Usage, "phase 'grad' is of a module for training: name --train with a model, or --from with a dump before it");

    auto pass = [&](const char* name, auto work) {
      Trace::Span span(options_.trace.get(), name, "pass");
      return llvm::all_of(calledFunctions(module), [&](func::FuncOp function) { return succeeded(work(function)); });
    };
    auto grad = [&] {
      Trace::Span span(options_.trace.get(), "make training", "pass");
      return makeTraining(module, {.accumulate = options_.accumulate, .inputGradients = options_.inputGradients, .recompute = options_.recompute});
    };
    auto fuse = [&] {
      // What is written to parameters is elementwise: products and norms would take it along. What updates share of the gradients' norm is known before them.
      return success((trains || pass("hoist slices", hoistSlices)) && // of a step, the gradients' phase has done it
                     pass("fuse totals", fuseTotals) && pass("fuse updates", fuseUpdates) &&
                     // Reshapes between a product and its residual would hide one from the other.
                     pass("sink reshapes", sinkReshapes) &&
                     // A gate's product must not become a matmul kernel of its own; weights belong to the gate, not to combine.
                     pass("fuse gates", fuseGates) && pass("fuse experts", fuseExperts) &&
                     // Attention takes its slices before loops would copy them.
                     pass("fuse attention", fuseAttention) &&
                     // An activation is cheapest behind a product, so products choose before norms.
                     pass("fuse matmuls", fuseMatmuls) && pass("fuse gradients", fuseGradients) && pass("fuse rows", fuseRows) &&
                     // From here on only changes of shape and lone elementwise ops are left.
                     pass("fuse loops", fuseLoops) &&
                     // A routing is no operand of elementwise ops: only what became of all others tells whose rows they work on.
                     pass("bound rows", boundRows));
    };
    auto passOfModule = [&](const char* name, auto work) {
      Trace::Span span(options_.trace.get(), name, "pass");
      return succeeded(work(module, *source_));
    };
    auto pack = [&](ModuleOp module, ScheduleSource& source) { return packWeights(module, source, WeightsAs::parse(options_.weightsAs)); };
    auto schedule = [&] {
      compilation_.target = target;
      // Small layers in one launch read weights as the model has them.
      bool joins = options_.weightsAs.empty(), joinsGradients = trains && !options_.wayBackByParts;
      return success((!joinsGradients || pass("join gradients", [&](func::FuncOp function) { return joinGradients(function, *emitter_); })) &&
                     // A way back in one launch reads no results of experts, which a layer in one launch then need not give.
                     (!joins || pass("join layers", [&](func::FuncOp function) { return joinLayers(function, *emitter_, joinsGradients); })) &&
                     // Of a way back in one launch the products are no kernels whose updates could stand behind them.
                     pass("move updates", [&](func::FuncOp function) { return moveUpdates(function, *emitter_); }) &&
                     // The width of packed panels is a choice of the schedule: weights are packed behind it.
                     passOfModule("choose schedules", chooseSchedules) && passOfModule("pack weights", pack));
    };
    if (trains && first <= Phase::Grad && !run(Phase::Grad, grad))
      return false;
    if (first <= Phase::Fuse && !run(Phase::Fuse, fuse))
      return false;
    if (first <= Phase::Schedule && !run(Phase::Schedule, schedule))
      return false;
    if (first <= Phase::Schedule && !options_.weightsAs.empty() && !module->hasAttr(weightsAsName))
      throw Error(Fault::Usage,
                  fmt::format("--weights-as {}: no product of the model reads f32 weights beside its gates'. Only those are converted: weights of "
                              "f64 and of bf16 stay as they are; leave --weights-as out",
                              options_.weightsAs));
    couplings_ = couplingsOf(module, *emitter_);
    // What a kernel reads is final: buffers and lifetimes can be laid.
    if (first <= Phase::Plan && !run(Phase::Plan, [&] { return assignBuffers(module); }))
      return false;
    if (!options_.kernels.empty())
      useKernels(module, *emitter_, last);
    if (!options_.emit.empty()) {
      if (!writesKernels(options_))
        printKernels(*emitter_);
      return false;
    }
    if (first <= Phase::Emit)
      queued_ = queueKernels(module, *emitter_, queue);
    return true;
  }

  /// The phases behind lower(), with the same arguments. False when it stopped at options.stopAfter.
  bool finish(Phase first, KernelQueue& queue, Plan& plan) {
    ModuleOp module = *compilation_.module;
    if (first <= Phase::Emit && !run(Phase::Emit, [&] { return emitKernels(compilation_, queued_, queue, result_); }))
      return false;
    if (options_.listChoices)
      source_->list(purposeOf(module), result_.choices);
    return run(Phase::Pack, [&] {
      auto made = makePlan(compilation_);
      if (failed(made))
        return failure();
      plan = std::move(*made);
      plan.invariant = promisesRows(module) && couplings_.empty();
      plan.couplings = std::move(couplings_);
      try {
        checkPlan(plan); // what no device would take is not written
      } catch (const Error& error) {
        throw Error(Fault::Internal, std::string("internal: ") + error.what());
      }
      return success();
    });
  }

  Compilation& compilation() { return compilation_; }

private:
  /// Runs a phase, verifies what it left, dumps it where asked. False when the user asked to stop behind it.
  template <class Body> bool run(Phase phase, Body body) {
    auto start = std::chrono::steady_clock::now();
    std::string name = phaseNames[static_cast<int>(phase)];
    Trace::Span span(options_.trace.get(), name, "phase");
    if (!compilation_.target.empty())
      span.add("target", compilation_.target);
    if (failed(body()) || (phase != Phase::Pack && failed(verifyAfter(phase, *compilation_.module))))
      diagnostics_.fail(phase <= Phase::Grad ? Fault::Model : Fault::Internal, "phase '" + name + "' failed");
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result_.phaseSeconds[name] += seconds;
    if (options_.onPhase)
      options_.onPhase(name, seconds);
    if (phase != Phase::Pack && !options_.dumpPhases.empty())
      dump(phase, name);
    if (options_.stopAfter == name) {
      result_.text = dumpText(compilation_);
      return false;
    }
    return true;
  }

  void dump(Phase phase, const std::string& name) {
    std::error_code code;
    std::filesystem::create_directories(options_.dumpPhases, code);
    if (code)
      throw Error(Fault::System, fmt::format("{}: cannot make the folder: {}", options_.dumpPhases.string(), code.message()));
    Purpose purpose = purposeOf(*compilation_.module);
    std::string level = purpose == Purpose::Inference ? "" : std::string(".") + moec::name(purpose);
    if (!compilation_.target.empty())
      level += "." + compilation_.target.substr(compilation_.target.find(':') + 1);
    auto path = options_.dumpPhases / (std::to_string(static_cast<int>(phase) + 1) + "-" + name + level + ".mlir");
    writeFileAtomically(path, dumpText(compilation_));
  }

  static bool promisesRows(ModuleOp module) {
    Purpose purpose = purposeOf(module);
    return purpose == Purpose::Inference || purpose == Purpose::Generation;
  }

  /// Of a module whose kernels are complete. With options.invariant there may be none: of a model that is compiled for generation, in that plan alone.
  std::vector<RowCoupling> couplingsOf(ModuleOp module, codegen::KernelEmitter& emitter) {
    std::vector<RowCoupling> couplings;
    if (!promisesRows(module)) {
      if (options_.invariant) // of a model it is refused before
        throw Error(Fault::Usage,
                    fmt::format("--invariant is for inference and generation, and this is a dump for {}: leave it out", moec::name(purposeOf(module))));
      return couplings;
    }
    bool isDemanded = options_.invariant && (!options_.generate || !options_.from.empty() || purposeOf(module) == Purpose::Generation);
    for (const FoundCoupling& found : findCouplings(module, emitter)) {
      if (isDemanded)
        emitError(found.place) << "--invariant: a row's bits depend on its neighbours" << (found.coupling.label.empty() ? "" : " in ") << found.coupling.label
                               << ": " << found.coupling.why;
      couplings.push_back(found.coupling);
    }
    if (isDemanded && !couplings.empty())
      diagnostics_.fail(Fault::Usage, "");
    return couplings;
  }

  /// Kernels have their names from here on.
  void useKernels(ModuleOp module, codegen::KernelEmitter& emitter, bool last) {
    if (emitter.target().starts_with("cuda:") && failed(kernels_.add(module, emitter, writesKernels(options_))))
      diagnostics_.fail(Fault::Internal, "a kernel could not be printed");
    if (last && writesKernels(options_))
      result_.text = kernels_.write();
    else if (last)
      kernels_.checkNames();
  }

  void printKernels(codegen::KernelEmitter& emitter) {
    auto form = *formOf(options_.emit);
    bool isCuda = form == codegen::CodeText::Cuda || form == codegen::CodeText::Ptx;
    if (isCuda != emitter.target().starts_with("cuda:"))
      throw Error(Fault::Usage, "--emit " + options_.emit + ": kernels of " + emitter.target() + " have the forms " +
                                    (isCuda ? "llvm and asm; name a target with --target cuda:sm_90a" : "cuda and ptx"));
    std::map<std::string, bool> seen;
    compilation_.module->walk([&](ir::KernelOp kernel) {
      if (!std::exchange(seen[emitter.key(kernel)], true)) {
        auto text = emitter.print(kernel, form);
        if (failed(text))
          diagnostics_.fail(Fault::Internal, "a kernel could not be printed");
        result_.text += *text + "\n";
      }
    });
  }

  const CompileOptions& options_;
  const KnownSchedules& schedules_;
  KernelFolder& kernels_;
  CompileResult& result_;
  // Each pipeline keeps its context and its module until the end: kernels are emitted beside the phases of others, and read them. So threading is on; the
  // phases themselves stay on their thread, since the others have kernels to emit.
  llvm::SingleThreadExecutor caller_{llvm::hardware_concurrency(1)};
  MLIRContext context_{MLIRContext::Threading::DISABLED};
  ContextDiagnostics diagnostics_;
  Compilation compilation_;
  // From lower() on:
  std::unique_ptr<codegen::KernelEmitter> emitter_;
  std::optional<ScheduleSource> source_;
  std::vector<RowCoupling> couplings_;
  KernelsOfModule queued_;
};

/// Places in the model name its file alone: a program's bytes do not depend on where the model lay.
void leaveFoldersOut(ModuleOp module) {
  AttrTypeReplacer replacer;
  replacer.addReplacement([](FileLineColLoc place) -> std::optional<Attribute> {
    auto file = std::filesystem::path(place.getFilename().str()).filename().string();
    return FileLineColLoc::get(place.getContext(), file, place.getLine(), place.getColumn());
  });
  replacer.recursivelyReplaceElementsIn(module, /*replaceAttrs=*/false, /*replaceLocs=*/true);
}

/// What is compiled, in order. What is to be shown is one module, the first that is asked for besides that for inference; a dump is one module, and says
/// itself what it is for.
std::vector<Purpose> purposesOf(const CompileOptions& options) {
  std::vector<Purpose> purposes{Purpose::Inference};
  for (auto [asked, purpose] : {std::pair(options.train, Purpose::Training), std::pair(options.evaluate, Purpose::Evaluation),
                                std::pair(options.generate.has_value(), Purpose::Generation)})
    if (asked && options.from.empty())
      purposes.push_back(purpose);
  bool shows = !options.stopAfter.empty() || !options.emit.empty();
  return shows && purposes.size() > 1 ? std::vector{purposes[1]} : purposes;
}

void addTo(ProgramData& program, Compilation& compilation, Plan plan) {
  if (auto name = (*compilation.module)->getAttrOfType<StringAttr>("moe.name"))
    program.name = name.str();
  for (auto& [symbol, image] : compilation.images)
    program.kernels[plan.target + "/" + symbol] = image.image;
  Compilation planned;
  planned.module = std::move(compilation.module);
  planned.target = plan.target;
  leaveFoldersOut(*planned.module);
  program.ir[irKey(plan.target, plan.purpose)] = dumpText(planned);
  program.plans.push_back(std::move(plan));
}

/// A compilation of all targets and purposes: first the phases up to `plan` of each, then what waits for kernels.
class Plans {
public:
  Plans(const std::filesystem::path& model, const CompileOptions& options, CompileResult& result)
      : model_(model), options_(options), result_(result), text_(readText(model)), targets_(resolveTargets(options.targets)), purposes_(purposesOf(options)),
        first_(options.from.empty() ? Phase::Import : *parsePhase(options.from)), schedules_(knownSchedules(options)), kernels_(options.kernels) {
    if (!options.kernelCache.empty())
      cache_.emplace(options.kernelCache);
    queue_.emplace(cache_ ? &*cache_ : nullptr, options.trace.get());
  }

  /// A plan's kernels are emitted beside the phases of the plans behind it. What is wrong with them is thrown before what is wrong with a plan behind. False
  /// when it stopped at options.stopAfter or options.emit.
  bool lower() {
    try {
      return lowerAll();
    } catch (...) {
      finish();
      throw;
    }
  }

  /// The lowered plans, in their order. None when it stopped at options.stopAfter.
  std::optional<ProgramData> finish() {
    ProgramData program;
    program.buildId = sourceId();
    program.name = model_.stem().string();
    for (Pipeline* pipeline : lowered_) {
      Plan plan;
      if (!pipeline->finish(first_, *queue_, plan))
        return std::nullopt;
      addTo(program, pipeline->compilation(), std::move(plan));
    }
    return program;
  }

private:
  bool lowerAll() {
    for (const std::string& target : targets_)
      for (Purpose purpose : purposes_) {
        Pipeline& pipeline = pipelines_.emplace_back(model_, options_, schedules_, kernels_, result_);
        if (first_ == Phase::Import)
          pipeline.import(model_, text_, purpose);
        else
          pipeline.resume(model_, text_, first_);
        if (options_.stopAfter == "import")
          return false;
        std::string fixed = pipeline.compilation().target; // a dump from schedule on is of one target
        checkTarget(fixed);
        bool onlyThis = !fixed.empty() || !options_.stopAfter.empty(), isLastPurpose = purpose == purposes_.back();
        bool last = (onlyThis || target == targets_.back()) && isLastPurpose;
        if (pipeline.lower(first_, fixed.empty() ? target : fixed, last, *queue_))
          lowered_.push_back(&pipeline);
        else if (options_.emit.empty() || last) // else the code for every target
          return false;
        if (onlyThis && isLastPurpose)
          return true;
      }
    return true;
  }

  void checkTarget(const std::string& fixed) const {
    if (!fixed.empty() && !options_.targets.empty() && std::find(targets_.begin(), targets_.end(), fixed) == targets_.end())
      throw Error(Fault::Usage, "'" + model_.string() + "' is a dump for " + fixed +
                                    ", which is not among the targets asked for: leave --target out, or compile the model for them");
    std::vector<std::string> targets = fixed.empty() ? targets_ : std::vector{fixed};
    checkTargets(options_, targets);
  }

  const std::filesystem::path& model_;
  const CompileOptions& options_;
  CompileResult& result_;
  std::string text_;
  std::vector<std::string> targets_;
  std::vector<Purpose> purposes_;
  Phase first_;
  KnownSchedules schedules_;
  KernelFolder kernels_;
  std::deque<Pipeline> pipelines_;
  std::vector<Pipeline*> lowered_;
  std::optional<KernelCache> cache_;
  std::optional<KernelQueue> queue_; // its threads end before what they read
};

} // namespace

CompileResult compileFile(const std::filesystem::path& model, const CompileOptions& options) {
  checkOptions(options);
  Trace::Span span(options.trace.get(), "compile " + model.filename().string(), "compile");
  CompileResult result;
  Plans plans(model, options, result);
  if (plans.lower())
    if (auto program = plans.finish())
      result.program = Program(std::move(*program));
  return result;
}

} // namespace moec::compiler
