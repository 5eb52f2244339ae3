#pragma once
// A training as one page for a browser: curves, maps of expert load, numbers. The page holds all that it needs; what is from outside stands in it as text,
// never as markup.

#include "runtime/train/History.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace moec::train {

/// What a page and a summary say of a training beside its curves.
struct About {
  std::string model;                                      // its name
  std::string data;                                       // "digits (ships with moec)"
  std::string target;                                     // "cpu:x86-64-v4"
  std::string state;                                      // "finished", "stopped early", "interrupted", "failed", "under way"
  int64_t steps = 0;                                      // that are asked for; 0: not known
  std::vector<std::pair<std::string, std::string>> facts; // further lines, as names and values
};

/// HTML, less than 2 MB for any number of steps, experts and gates that a model can have.
std::string pageText(const History& history, const About& about);
/// Error(System).
void writePage(const std::filesystem::path& file, const History& history, const About& about);

/// "42 s", "4 m 12 s", "3 h 5 m": for people.
std::string durationText(double seconds);

} // namespace moec::train
