#pragma once
// All that a compiled program depends on, in words: two compilations with equal keys give the same bytes, and where two keys differ a person can be told.

#include "runtime/Compile.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace moec::cli {

struct ProgramKey {
  std::string model;                          // digest of the file's bytes
  std::string file;                           // the file's name: programs name it where they speak of its lines
  std::map<std::string, std::string> options; // those that change the program, by flag; what is left out is not there
  std::string build;                          // digest of the compiler's sources
  std::string cpu;                            // hostCpu()

  bool operator==(const ProgramKey&) const = default;

  /// Tuned schedules are those of options.schedules: options.tuning is not read.
  static ProgramKey of(std::span<const uint8_t> model, const std::string& file, const CompileOptions& options, const std::string& build,
                       const std::string& cpu);
  nlohmann::ordered_json toJson() const;
  /// Error(Data) that begins with `where`.
  static ProgramKey fromJson(const nlohmann::ordered_json& json, const std::string& where);
  /// 32 hexadecimal digits.
  std::string digest() const;
};

/// How `now` differs from an entry's key, a line each; empty when the keys are equal.
std::vector<std::string> differences(const ProgramKey& entry, const ProgramKey& now);

/// The instruction sets of this CPU, as CPUID and XGETBV tell them: two machines with one text get one program.
std::string hostCpu();

} // namespace moec::cli
