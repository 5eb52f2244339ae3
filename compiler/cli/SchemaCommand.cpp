#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/Schemas.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

namespace moec::cli {

void addSchemaCommand(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = addSubcommand(app, "schema", "Print the JSON Schema of what a command prints with --json");
  addOption(*command, "command", *name, "the command")->required()->type_name("COMMAND");
  addExamples(*command, {{"for a validator, or for a program that reads moec's results", "moec schema run > run.schema.json"}});
  command->callback([name] {
    auto found = schemas().find(*name);
    if (found == schemas().end()) {
      std::vector<std::string> known;
      for (const auto& [command, text] : schemas())
        known.push_back(command);
      throw Error(Fault::Usage, fmt::format("no schema for \"{}\"{}; there is one for: {}", *name, didYouMean(*name, known), fmt::join(known, ", ")));
    }
    fmt::print("{}", found->second);
  });
}

} // namespace moec::cli
