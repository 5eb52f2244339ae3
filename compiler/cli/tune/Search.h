#pragma once
// What is known of a kernel while it is searched for, and which candidates are next. Measures nothing.

#include "compiler/cli/tune/Contender.h"

#include <optional>
#include <set>

namespace moec::cli {

struct Search {
  KernelChoice choice; // as the best program has it
  KernelSchedule model;
  std::optional<KernelSchedule> start; // known from before, where it is not the cost model's
  bool keepsWidth = false;             // others read the weights that are packed for it
  bool isSmall = false;                // it waits for the larger ones
  std::set<KernelSchedule> tried;

  std::optional<KernelSchedule> next() const;
};

/// Of the kernels of a call those that are worth the first rounds: of 20 microseconds at least, and of a hundredth of the call.
std::set<std::string> largeOnes(const KernelTimes& times);

/// The next candidate of each kernel: of small ones only when no larger one has any.
Schedules nextCandidates(const std::map<std::string, Search>& searches);

} // namespace moec::cli
