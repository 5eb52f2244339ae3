#pragma once
// The commands of `moec`, one file each. A function adds its subcommand with flags and a callback that does the work;
// failures leave as moec::Error. To add a command: a file, a line here, a line in CommandTree.cpp; then
// `write_command_docs --readme docs/COMMANDS.md`.

namespace CLI {
class App;
}

namespace moec::cli {

void addCompileCommand(CLI::App& app);
void addTrainCommand(CLI::App& app);
void addGenerateCommand(CLI::App& app);
void addRunCommand(CLI::App& app);
void addCheckCommand(CLI::App& app);
void addBenchCommand(CLI::App& app);
void addTuneCommand(CLI::App& app);
void addInspectCommand(CLI::App& app);
void addExplainCommand(CLI::App& app);
void addDevicesCommand(CLI::App& app);
void addCacheCommand(CLI::App& app);
void addDoctorCommand(CLI::App& app);
void addSchemaCommand(CLI::App& app);
void addCompletionCommand(CLI::App& app);

} // namespace moec::cli
