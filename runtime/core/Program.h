#pragma once
// A compiled model: plans and kernel images for one or several targets, and the IR they came from. Immutable and shared; a handle is cheap.
// On disk it is `program.moec`, a container of named sections (runtime/core/Container.h):
//   "manifest"                  JSON: format version, name, compiler build id, the model's name, targets with their plans
//   "kernel/<target>/<symbol>"  ELF shared object that exports <symbol>; plans of one target share kernels
//   "ir/<target>"               MLIR text of the planned module, whose kernel regions are the launches' decompositions (strippable)
//   "ir/<target>/<purpose>"     that of a plan for training, evaluation or generation

#include "runtime/core/Plan.h"

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace moec {

struct ProgramData {
  std::string name;                                    // of the model
  std::string buildId;                                 // of the compiler that made it
  std::vector<Plan> plans;                             // by target, best first; of one target, for inference first
  std::map<std::string, std::vector<uint8_t>> kernels; // "<target>/<symbol>" -> image
  std::map<std::string, std::string> ir;               // irKey() -> text
};

/// Where a plan's module stands in ProgramData::ir: "cpu:x86-64-v3", "cpu:x86-64-v3/training".
std::string irKey(std::string_view target, Purpose purpose);
/// Error(Usage) that names the option to compile with, when a program has no plan for that purpose on any target.
void requirePlans(const ProgramData& program, Purpose purpose);

class Program {
public:
  explicit Program(ProgramData data);
  /// Throws Error(Data) for a damaged, truncated or newer file, Error(System) when it cannot be read.
  static Program load(const std::filesystem::path& path);
  static Program parse(std::span<const uint8_t> bytes);
  /// Written aside, synced, renamed: an old file stays whole until the new one is complete. Error(System).
  void save(const std::filesystem::path& path) const;
  std::vector<uint8_t> bytes() const;

  const std::string& name() const;
  const ProgramData& data() const;
  /// The plan for a target name and purpose, or null.
  const Plan* plan(std::string_view target, Purpose purpose = Purpose::Inference) const;
  /// The image of a kernel. Error(Data) that names kernel and target when the program lacks it.
  std::span<const uint8_t> kernel(std::string_view target, std::string_view symbol) const;

private:
  std::shared_ptr<const ProgramData> data_;
};

} // namespace moec
