#pragma once
// Shell completion: what may stand at a place of a command line, by the tree of commands. The shells' scripts ask the
// command itself (`moec __complete WORD...`) and only match what it answers against what is there.

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace moec::cli {

struct Completion {
  struct Candidate {
    std::string word, description;
  };
  std::vector<Candidate> candidates; // whole words, those that do not fit yet among them
  bool files = false, folders = false;
  std::vector<std::string> endings; // of files; empty: any
};

/// `words` stand behind "moec"; the last one is being typed, perhaps empty.
Completion complete(const CLI::App& root, const std::vector<std::string>& words);

/// What `moec __complete` prints: a line ":none", ":files ENDINGS..." or ":folders", then a candidate a line: word,
/// tab, description.
std::string completionAnswer(const Completion& completion);

/// The script for "bash", "zsh" or "fish".
std::string completionScript(const std::string& shell);

} // namespace moec::cli
