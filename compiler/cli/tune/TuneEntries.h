#pragma once
// What a search has to say to the database: of each kernel whether there is a better schedule, and of a known one that it is none. Writes no file.

#include "compiler/cli/tune/Tuner.h"
#include "runtime/core/TuningDatabase.h"

namespace moec::cli {

/// Entries of schedules that were shown to be better, and of the cost model's in the place of known ones that were refuted at the sizes they are known for.
/// What was not measured to its end stays as `before`, the database so far, has it.
std::vector<TunedSchedule> entriesOf(const TuneResult& result, const TuningContents& before, int threads);

} // namespace moec::cli
