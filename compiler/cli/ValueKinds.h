#pragma once
// What may stand for an option's value, by the word that its help shows for it (CLI11's type name): the one truth
// behind help, checks, shell completion, man pages and docs/COMMANDS.md.

#include <string>
#include <string_view>
#include <vector>

namespace moec::cli {

struct ValueKind {
  std::string name;        // "MODEL"
  std::string description; // a line
  std::vector<std::string> words = {};
  std::vector<std::string> endings = {}; // of files; empty with isFile: any file
  bool isFile = false, isFolder = false;
  bool isList = false;       // words with commas between them
  bool isAssignment = false; // NAME= stands before the value
};

/// In the order of the documentation; GPUs and other devices of this machine are not among the words.
const std::vector<ValueKind>& valueKinds();
/// Null for a word that says no more than what it is, such as N.
const ValueKind* findValueKind(std::string_view name);
/// The words of a kind, for CLI::IsMember.
const std::vector<std::string>& wordsOf(std::string_view kind);

} // namespace moec::cli
