#pragma once
// Files that a command is to write, looked at before any work: a result must not be lost for a wrong name, nor take the place of what it is made from.

#include "compiler/cli/CommonOptions.h"

namespace moec::cli {

struct OutputFile {
  std::string flag;                          // "--output"
  std::optional<std::filesystem::path> path; // empty: not given either
  bool isFolder = false;                     // which is made where it is not there
  bool isAddedTo = false;                    // not replaced: where it is there, its folder may be closed
};

/// Of `outputs`, of --trace and of --save-weights. Error(Usage) for a file that the command reads, or that two flags name, for a folder in the
/// place of a file, and for a file in the place of a folder; Error(System) for a folder that is not there, or that nothing can be written into.
void checkOutputFiles(const CommonOptions& options, std::vector<OutputFile> outputs);

} // namespace moec::cli
