// moec: the command. Results go to stdout, everything else to stderr; the exit code says whose fault a failure is
// (runtime/core/Error.h).

#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Completion.h"
#include "compiler/cli/ExitCode.h"
#include "compiler/cli/Terminal.h"
#include "runtime/Compile.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"
#include "runtime/core/Printable.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <system_error>
#include <unistd.h>

namespace {

/// Diagnostics of a model carry their own file:line:column, all other messages the command's name.
int report(moec::Fault fault, std::string_view message) {
  bool located = fault == moec::Fault::Model && message.find(": error: ") != std::string_view::npos;
  while (message.ends_with('\n'))
    message.remove_suffix(1);
  std::string text = fmt::format("{}{}", located ? "" : "moec: error: ", moec::printable(message));
  fmt::print(stderr, "{}\n", moec::cli::colouredSeverities(STDERR_FILENO, text));
  return moec::exitCode(fault);
}

/// What the call has and its command does not take, the first of it.
std::string unexpected(const CLI::App& app) {
  const CLI::App* command = &app;
  for (auto inner = command->get_subcommands(); !inner.empty(); inner = command->get_subcommands())
    command = inner.front();
  std::vector<std::string> left = app.remaining(true), known;
  auto option = std::ranges::find_if(left, [](const std::string& word) { return word.size() > 1 && word[0] == '-'; });
  std::string name = moec::cli::fullName(*command);
  if (option == left.end())
    return fmt::format("\"{}\" is one argument too many for `{}`", left.empty() ? "" : left.front(), name);
  std::string written = option->substr(0, option->find('='));
  for (const moec::cli::OptionView& view : moec::cli::optionsOf(*command))
    for (const std::string& one : view.names)
      if (one.starts_with("--"))
        known.push_back(one);
  return fmt::format("`{}` has no option {}{}", name, written, written.size() > 2 ? moec::didYouMean(written, known) : ""); // any letter is near any other
}

int run(int argc, char** argv) {
  std::unique_ptr<CLI::App> tree = moec::cli::makeCommandTree();
  CLI::App& app = *tree;
  if (argc > 1 && std::string_view(argv[1]) == "__complete") { // by a shell's completion; never an error
    fmt::print("{}", moec::cli::completionAnswer(moec::cli::complete(app, {argv + 2, argv + argc})));
    return 0;
  }
  std::vector<std::string> known;
  for (const CLI::App* command : moec::cli::commandsOf(app))
    known.push_back(command->get_name());
  if (argc > 1 && std::string_view(argv[1]) == "help") // the same as --help, which stands behind its command
    return run(argc == 2 ? 2 : 3, std::array{argv[0], argc == 2 ? const_cast<char*>("--help") : argv[2], const_cast<char*>("--help")}.data());
  if (argc > 1 && argv[1][0] != '-' && std::ranges::find(known, argv[1]) == known.end())
    return report(moec::Fault::Usage, fmt::format("unknown command \"{}\"{}; known: {}", argv[1], moec::didYouMean(argv[1], known), fmt::join(known, ", ")));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0)
      return app.exit(error, std::cout, std::cerr); // --help, --version
    std::string command = app.get_subcommands().empty() ? "" : " " + app.get_subcommands()[0]->get_name();
    bool isUnexpected = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    std::string words = isUnexpected ? unexpected(app) : error.what();
    return report(moec::Fault::Usage, fmt::format("{}{} see `moec{} --help`", words, words.ends_with('?') ? "" : ";", command));
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  int code = 0;
  try {
    if (const char* library = std::getenv("MOEC_COMPILER"))
      moec::setCompilerLibrary(library);
    code = run(argc, argv);
  } catch (const moec::cli::ExitCode& exit) {
    code = exit.code;
  } catch (const moec::Error& error) {
    code = report(error.fault(), error.what());
  } catch (const std::bad_alloc&) {
    code = report(moec::Fault::System, "out of memory");
  } catch (const std::system_error& error) {
    code = report(moec::Fault::System, std::ferror(stdout) ? fmt::format("cannot write the results to stdout: {}", error.code().message()) : error.what());
  } catch (const std::exception& error) {
    code = report(moec::Fault::Internal, error.what());
  }
  bool written = std::cout.flush().good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (!written && code == 0)
    code = report(moec::Fault::System, "cannot write the results to stdout");
  return code;
}
