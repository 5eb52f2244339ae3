#pragma once
// A model compiled with given schedules and ready to be called, and the time that each kernel takes in its calls. Decides nothing.

#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/bench/BenchSubject.h"
#include "runtime/Compile.h"
#include "runtime/device/cpu/CpuDevice.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace moec::cli {

using Schedules = std::map<std::string, KernelSchedule>; // by KernelChoice::key

/// What all contenders share.
struct TunedModel {
  const CommonOptions& options;
  CompileOptions compile; // without schedules
  std::shared_ptr<CpuDevice> device;
  Purpose purpose = Purpose::Inference;
  TensorMap weights; // drawn or read once

  /// Compiles; choices of other purposes are left out.
  CompileResult compiled(const Schedules& schedules) const;
};

/// Seconds of a call by KernelChoice::key.
using KernelTimes = std::map<std::string, double>;

class Contender {
public:
  Contender(const TunedModel& model, CompileResult result);

  const std::vector<KernelChoice>& choices() const { return choices_; }
  const Plan& plan() const { return subject_.plan(); }
  BenchSubject& subject() { return subject_; }

  /// Launches of a call that are this kernel's.
  int launches(const std::string& key) const;
  /// Values of the symbols that its launches depend on, of these: "batch=8"; empty when they depend on none.
  std::string sizesOf(const std::string& key, const Bindings& sizes) const;
  /// Whether others read weights that are packed for it: then its width is theirs too.
  bool sharesWeights(const std::string& key) const;

  /// So many calls one after the other, each launch timed: the median of a call, which a process that comes between does not move. A kernel's time has that of
  /// the kernels that pack its weights in every call.
  KernelTimes time(int64_t calls);

private:
  void findLaunches();

  std::vector<KernelChoice> choices_;
  BenchSubject subject_;
  bool isAlone_; // one thread does all: while others have its CPU, its own clock stands still, and the lesser of the two times counts
  std::map<std::string, std::vector<size_t>> own_, packs_; // places of launches, those of apply behind those of forward
  std::map<std::string, bool> shares_;
};

} // namespace moec::cli
