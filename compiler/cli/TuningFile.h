#pragma once
// Which tuning database a command uses: what the flag says, else the environment, else the file beside the user's caches.

#include "runtime/core/TuningDatabase.h"

#include <filesystem>
#include <string>

namespace moec::cli {

/// --tuning, else $MOEC_TUNING: a file, or "off"; else tuning.jsonl in the user's cache folder. Empty: off, or there is no such folder.
std::filesystem::path tuningFile(const std::string& flag);
/// The same to add to. Error(Usage) when somebody named a folder.
std::filesystem::path tuningToAddTo(const std::string& flag);
/// The same to read from: empty also while the usual file is not there. Error(Usage) when one that somebody named is not, or is a folder.
std::filesystem::path tuningToRead(const std::string& flag);

/// Whether it is the one in the user's cache folder, which `moec cache` lists and clears.
bool isUsualTuningFile(const std::filesystem::path& file);

/// What a database holds, in words: "12 tuned schedules, 3 of them for this CPU; 1 line is no entry and is passed over".
std::string tuningWords(const TuningContents& contents);

} // namespace moec::cli
