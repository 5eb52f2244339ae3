// Writes the table of commands as files: write_command_docs --readme FILE | --man FOLDER | --completions FOLDER.

#include "compiler/cli/CommandPages.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Completion.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace {

bool write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path().empty() ? "." : path.parent_path());
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  return stream.flush().good();
}

} // namespace

int main(int count, char** arguments) {
  std::string what = count == 3 ? arguments[1] : "";
  std::filesystem::path to = count == 3 ? arguments[2] : "";
  auto root = moec::cli::makeCommandTree();
  bool written = true;
  if (what == "--readme") {
    written = write(to, moec::cli::commandsReadme(*root));
  } else if (what == "--man") {
    for (const auto& [name, text] : moec::cli::manPages(*root))
      written = write(to / name, text) && written;
  } else if (what == "--completions") {
    for (const auto& [shell, name] : {std::pair("bash", "moec"), std::pair("zsh", "_moec"), std::pair("fish", "moec.fish")})
      written = write(to / shell / name, moec::cli::completionScript(shell)) && written;
  } else {
    std::fprintf(stderr, "usage: write_command_docs --readme FILE | --man FOLDER | --completions FOLDER\n");
    return 2;
  }
  return written ? 0 : 5;
}
