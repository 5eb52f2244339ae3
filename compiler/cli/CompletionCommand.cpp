#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/Completion.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/ValueKinds.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

namespace moec::cli {

void addCompletionCommand(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = addSubcommand(app, "completion", "Print a script that teaches a shell to complete moec's commands, options and values");
  addOption(*command, "shell", *shell, "for this shell")->required()->type_name("SHELL")->check(CLI::IsMember(wordsOf("SHELL")));
  addExamples(*command, {{"for this bash, and for each one from now on",
                          "source <(moec completion bash)\nmoec completion bash > ~/.local/share/bash-completion/completions/moec"},
                         {"zsh: a folder of $fpath", "moec completion zsh > ~/.zfunc/_moec"},
                         {"fish", "moec completion fish > ~/.config/fish/completions/moec.fish"}});
  command->callback([shell] { fmt::print("{}", completionScript(*shell)); });
}

} // namespace moec::cli
