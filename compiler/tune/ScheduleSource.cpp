#include "compiler/tune/ScheduleSource.h"

#include "compiler/passes/BufferTable.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/core/TuningDatabase.h"

#include <algorithm>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

DictionaryAttr attributeOf(const KernelSchedule& schedule, MLIRContext* context) {
  Builder builder(context);
  SmallVector<NamedAttribute> entries;
  for (const auto& [name, value] : schedule)
    entries.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(value)));
  return builder.getDictionaryAttr(entries);
}

/// Entries that are no numbers are those of no schedule that is tuned.
KernelSchedule scheduleOf(DictionaryAttr attribute) {
  KernelSchedule schedule;
  for (NamedAttribute entry : attribute)
    if (auto number = dyn_cast<IntegerAttr>(entry.getValue()))
      schedule[entry.getName().str()] = number.getInt();
  return schedule;
}

} // namespace

KnownSchedules knownSchedules(const CompileOptions& options) {
  KnownSchedules known = options.schedules;
  if (options.tuning.empty())
    return known;
  std::error_code code;
  if (!std::filesystem::exists(options.tuning, code))
    throw Error(Fault::Data, options.tuning.string() + ": there is no such tuning database; `moec tune` makes one");
  known.merge(TuningDatabase(options.tuning).read().schedulesFor(cpuModel()));
  return known;
}

LogicalResult ScheduleSource::choose(KernelOp kernel) {
  DictionaryAttr model = emitter_.chooseSchedule(kernel);
  if (!model)
    return failure();
  kernel.setScheduleAttr(model);
  kernel->removeAttr(tunedName);
  llvm::erase_if(chosen_, [&](const Chosen& before) { return before.kernel == kernel; });
  if (known_.empty() && !listsChoices_)
    return success();
  std::string key = digestOf(emitter_.keyWithoutSchedule(kernel)).hex();
  if (auto found = known_.find(key); found != known_.end()) {
    DictionaryAttr wanted = attributeOf(found->second, kernel.getContext());
    if (wanted != model && !emitter_.refuse(kernel, wanted)) {
      kernel.setScheduleAttr(wanted);
      kernel->setAttr(tunedName, UnitAttr::get(kernel.getContext()));
    }
  }
  if (listsChoices_)
    chosen_.push_back({kernel, key, emitter_.candidates(kernel, kernel.getScheduleAttr())});
  return success();
}

void ScheduleSource::list(Purpose purpose, std::vector<KernelChoice>& choices) const {
  for (const auto& [kernel, key, candidates] : chosen_) {
    auto symbol = KernelOp(kernel)->getAttrOfType<StringAttr>(symbolName);
    auto found = std::ranges::find_if(choices, [&, wanted = &key](const KernelChoice& choice) { return choice.key == *wanted && choice.purpose == purpose; });
    if (found == choices.end()) {
      KernelChoice choice{.key = key,
                          .target = emitter_.target(),
                          .kind = KernelOp(kernel).getKind().str(),
                          .label = KernelOp(kernel).getLabel().str(),
                          .purpose = purpose,
                          .kernels = {},
                          .schedule = scheduleOf(KernelOp(kernel).getScheduleAttr()),
                          .isTuned = KernelOp(kernel)->hasAttr(tunedName),
                          .candidates = {}};
      for (DictionaryAttr candidate : candidates)
        choice.candidates.push_back(scheduleOf(candidate));
      found = choices.insert(choices.end(), std::move(choice));
    }
    if (symbol && std::ranges::find(found->kernels, symbol.str()) == found->kernels.end())
      found->kernels.push_back(symbol.str());
  }
}

} // namespace moec::compiler
