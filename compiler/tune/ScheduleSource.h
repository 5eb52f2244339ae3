#pragma once
// Where the kernels' schedules come from: those that the caller names, the tuning database, the cost model. Keeps what was chosen for whom. Measures nothing.

#include "codegen/KernelEmitter.h"
#include "runtime/Compile.h"

namespace moec::compiler {

/// Schedules by KernelEmitter::keyWithoutSchedule(), as digests.
using KnownSchedules = std::map<std::string, KernelSchedule>;

/// Of options.tuning those for this CPU, and options.schedules before them. Error(Data) when the file is missing, Error(System) when it cannot be read.
KnownSchedules knownSchedules(const CompileOptions& options);

class ScheduleSource {
public:
  /// `listsChoices`: list() is to be called; without, candidates are not asked for.
  ScheduleSource(codegen::KernelEmitter& emitter, const KnownSchedules& known, bool listsChoices)
      : emitter_(emitter), known_(known), listsChoices_(listsChoices) {}

  /// Gives the kernel a complete schedule, in the place of one that it was given before; failure with a diagnostic when there is none. A known one that the emitter refuses is passed over. Kernels whose
  /// schedule is a known one, and not what the cost model would choose, bear the attribute `tunedName`.
  mlir::LogicalResult choose(ir::KernelOp kernel);

  /// Adds what was chosen to `choices`; to be called when kernels have their symbols.
  void list(Purpose purpose, std::vector<KernelChoice>& choices) const;

private:
  struct Chosen {
    ir::KernelOp kernel;
    std::string key;
    std::vector<mlir::DictionaryAttr> candidates; // of the kernel before weights are packed for it
  };

  codegen::KernelEmitter& emitter_;
  const KnownSchedules& known_;
  bool listsChoices_;
  std::vector<Chosen> chosen_;
};

inline constexpr const char* tunedName = "moe.tuned";

} // namespace moec::compiler
