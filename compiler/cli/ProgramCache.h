#pragma once
// Compiled programs by what they were made from, so that compiling the same file again only reads. An entry is a
// program.moec: its sections' digests are checked when it is read, and one that fails is a miss. Entries are written
// aside and renamed: there is no half an entry.

#include "runtime/Compile.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace moec::cli {

/// $XDG_CACHE_HOME/moec, else ~/.cache/moec; empty when neither variable is set.
std::filesystem::path userCacheFolder();

class ProgramCache {
public:
  /// In userCacheFolder(); nothing when there is none.
  static std::optional<ProgramCache> ofUser();
  explicit ProgramCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// 32 hexadecimal digits over the model's bytes, the options that change the program, the build of the compiler and
  /// this machine's CPU.
  static std::string key(std::span<const uint8_t> model, const CompileOptions& options, const std::string& sourceId,
                         const std::string& hostCpu);

  std::optional<Program> find(const std::string& key) const;
  /// Error(System) when the folder cannot be written.
  void store(const std::string& key, const Program& program) const;
  std::filesystem::path entry(const std::string& key) const { return folder_ / (key + ".moec"); }

private:
  std::filesystem::path folder_;
};

/// The instruction sets of this CPU, as CPUID and XGETBV tell them: two machines with one text get one program.
std::string hostCpu();

} // namespace moec::cli
