#pragma once
// Compiled programs by what they were made from, so that compiling the same file again only reads. An entry holds its key, which is compared, and the
// program; every byte is checked when it is read, and a damaged entry is a miss. Entries are written aside and renamed: there is no half an entry.

#include "compiler/cli/ProgramKey.h"

#include <filesystem>
#include <optional>
#include <string>

namespace moec {
class Container;
}

namespace moec::cli {

class ProgramCache {
public:
  explicit ProgramCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  struct Lookup {
    std::optional<Program> program;
    std::string damage; // why the entry that there is cannot be used; empty without one
  };
  /// A use: what is found will be among the last to be removed.
  Lookup find(const ProgramKey& key) const;
  /// The same, but no use.
  Lookup peek(const ProgramKey& key) const;
  /// `model`: the file's path, for people. Error(System) when the folder cannot be written.
  void store(const ProgramKey& key, const std::filesystem::path& model, const Program& program) const;
  std::filesystem::path entry(const ProgramKey& key) const { return folder_ / (key.digest() + ".program"); }

private:
  std::filesystem::path folder_;
};

/// An entry without its program.
struct ProgramEntry {
  ProgramKey key;
  std::string model; // path of the file
  std::string name;  // of the model
  std::vector<std::string> targets;
};
/// Error(Data) for what is no whole entry, or one of a version that says other things.
ProgramEntry readProgramEntry(const std::filesystem::path& path);
/// The same of a file that is open; errors begin with `where`.
ProgramEntry programEntryOf(const Container& container, const std::string& where);

} // namespace moec::cli
