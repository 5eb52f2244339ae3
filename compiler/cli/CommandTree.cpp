#include "compiler/cli/CommandTree.h"

#include "compiler/cli/CommandPages.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/ValueKinds.h"
#include "moec_build_id.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moec::cli {

namespace {

/// CLI11's help in our own order and width.
class HelpFormatter : public CLI::Formatter {
public:
  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const override { return helpText(*app); }
};

/// CLI11 puts what its checks say behind the type's name: "N:INT in [1 - 4096]".
std::string plainType(const CLI::Option& option) {
  std::string type = option.get_type_name();
  return type.substr(0, type.find(':'));
}

OptionView view(const CLI::Option& option) {
  OptionView result{.option = &option, .description = option.get_description(), .required = option.get_required()};
  for (const std::string& name : option.get_snames())
    result.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames())
    result.names.push_back("--" + name);
  result.positional = result.names.empty();
  if (result.positional)
    result.names.push_back(option.get_name(true));
  if (option.get_items_expected_max() > 0)
    result.value = plainType(option);
  return result;
}

/// An empty text names no file: what stands for a file or a folder is refused without one.
void refuseEmptyNames(CLI::App& command) {
  for (CLI::Option* option : command.get_options())
    if (const ValueKind* kind = findValueKind(plainType(*option)); kind && (kind->isFile || kind->isFolder))
      option->check([words = kind->isFile ? "a file" : "a folder"](const std::string& name) {
        return name.empty() ? fmt::format("expected the name of {}, found an empty one", words) : std::string();
      });
  for (CLI::App* inner : command.get_subcommands([](CLI::App*) { return true; }))
    refuseEmptyNames(*inner);
}

} // namespace

std::unique_ptr<CLI::App> makeCommandTree() {
  auto app = std::make_unique<CLI::App>("moec compiles Mixture-of-Experts models to machine code and runs them.", "moec");
  app->formatter(std::make_shared<HelpFormatter>()); // before the commands: they inherit it
  app->set_help_flag("-h,--help", "print this help");
  app->set_version_flag("--version", fmt::format("moec {} ({})", kVersion, sourceId()), "print the version and the build");
  app->require_subcommand(1);
  addExamples(*app,
              {{"scores of a photo, by weights drawn from the model's rules", "moec run models/zoo/vit-moe.json --init 0 --input image=examples/photo.png"},
               {"a program that runs without the compiler", "moec compile models/zoo/vit-moe.json -o vit-moe.moec"},
               {"what this machine gives moec, and what it lacks", "moec doctor"}});
  addCompileCommand(*app);
  addTrainCommand(*app);
  addGenerateCommand(*app);
  addRunCommand(*app);
  addCheckCommand(*app);
  addBenchCommand(*app);
  addTuneCommand(*app);
  addInspectCommand(*app);
  addExplainCommand(*app);
  addDevicesCommand(*app);
  addCacheCommand(*app);
  addDoctorCommand(*app);
  addSchemaCommand(*app);
  addCompletionCommand(*app);
  refuseEmptyNames(*app);
  return app;
}

void addExamples(CLI::App& command, const std::vector<Example>& examples) {
  std::string text;
  for (const Example& example : examples)
    text += fmt::format("# {}\n{}\n", example.words, example.line);
  command.footer(text);
}

std::string OptionView::heading() const {
  if (positional)
    return value.empty() ? names[0] : value;
  return fmt::format("{}{}{}", fmt::join(names, ", "), value.empty() ? "" : " ", value);
}

std::vector<OptionView> optionsOf(const CLI::App& command) {
  std::vector<OptionView> positionals, options;
  for (const CLI::Option* option : command.get_options())
    if (option != command.get_help_ptr())
      (option->nonpositional() ? options : positionals).push_back(view(*option));
  if (command.get_help_ptr())
    options.push_back(view(*command.get_help_ptr()));
  options.insert(options.begin(), positionals.begin(), positionals.end());
  return options;
}

std::vector<const CLI::App*> commandsOf(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App*) { return true; });
}

std::string fullName(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? fullName(*parent) + " " + command.get_name() : command.get_name();
}

std::string usageOf(const CLI::App& command) {
  std::string usage = fullName(command) + " [OPTIONS]";
  for (const OptionView& option : optionsOf(command))
    if (option.positional)
      usage += option.required ? " " + option.heading() : " [" + option.heading() + "]";
  return usage + (commandsOf(command).empty() ? "" : " COMMAND ...");
}

} // namespace moec::cli
