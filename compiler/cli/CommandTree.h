#pragma once
// All commands of `moec` as one tree of CLI11, and plain views of it. The tree is the one table of options: parsing,
// help, completion, man pages and docs/COMMANDS.md are walks over it.

#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace moec::cli {

/// Every command with its flags and examples. Parsing runs the command that is named.
std::unique_ptr<CLI::App> makeCommandTree();

/// Lines behind a command's help: "# what it does", then the command itself, as for a shell.
struct Example {
  std::string words, line;
};
void addExamples(CLI::App& command, const std::vector<Example>& examples);

/// An option or a positional in plain words.
struct OptionView {
  const CLI::Option* option = nullptr;
  std::vector<std::string> names; // "-o", "--output"; of a positional its one name
  std::string value;              // "FILE"; empty for a flag
  std::string description;
  bool positional = false, required = false;

  /// "-o, --output FILE"; of a positional "MODEL".
  std::string heading() const;
};

/// In the order in which they are declared, positionals first, --help last.
std::vector<OptionView> optionsOf(const CLI::App& command);
std::vector<const CLI::App*> commandsOf(const CLI::App& command);
/// "moec run [OPTIONS] MODEL".
std::string usageOf(const CLI::App& command);
/// "moec cache clear".
std::string fullName(const CLI::App& command);

} // namespace moec::cli
