#pragma once
// The table of commands as pages: help for a terminal, docs/COMMANDS.md, man pages. Pure text.

#include <map>
#include <string>

namespace CLI {
class App;
}

namespace moec::cli {

/// What --help prints.
std::string helpText(const CLI::App& command);
/// docs/COMMANDS.md: all commands.
std::string commandsReadme(const CLI::App& root);
/// Man pages by file name: moec.1, moec-run.1 ...
std::map<std::string, std::string> manPages(const CLI::App& root);

} // namespace moec::cli
