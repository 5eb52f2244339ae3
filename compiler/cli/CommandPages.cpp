#include "compiler/cli/CommandPages.h"

#include "compiler/cli/CommandTree.h"
#include "compiler/cli/ExitCode.h"
#include "compiler/cli/ValueKinds.h"
#include "moec_build_id.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace moec::cli {

namespace {

constexpr size_t kWidth = 100, kColumn = 28;

/// Words of `text` in lines of kWidth, all but the first after `indent` blanks; the first begins at `indent` already.
std::string wrapped(const std::string& text, size_t indent) {
  std::string result, word;
  size_t column = indent;
  std::istringstream words(text);
  bool atStart = true;
  while (words >> word) {
    if (!atStart && column + 1 + word.size() > kWidth) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
      atStart = true;
    }
    result += (atStart ? "" : " ") + word;
    column += word.size() + (atStart ? 0 : 1);
    atStart = false;
  }
  return result + "\n";
}

std::string row(const std::string& heading, const std::string& description) {
  std::string text = "  " + heading;
  text += text.size() + 2 <= kColumn ? std::string(kColumn - text.size(), ' ') : "\n" + std::string(kColumn, ' ');
  return text + wrapped(description, kColumn);
}

std::string indented(const std::string& text, const std::string& by) {
  std::string result, line;
  std::istringstream lines(text);
  while (std::getline(lines, line))
    result += by + line + "\n";
  return result;
}

/// What an option's words say, and then the values that it takes.
std::string fullDescription(const OptionView& option) {
  const ValueKind* kind = findValueKind(option.value);
  if (!kind || kind->words.empty())
    return option.description;
  return fmt::format("{}: {}", option.description, fmt::join(kind->words, " "));
}

/// Kinds of values that the commands use, in the table's order.
std::vector<const ValueKind*> usedKinds(const std::vector<const CLI::App*>& commands) {
  std::set<std::string> names;
  for (const CLI::App* command : commands)
    for (const OptionView& option : optionsOf(*command))
      names.insert(option.value);
  std::vector<const ValueKind*> used;
  for (const ValueKind& kind : valueKinds())
    if (names.contains(kind.name))
      used.push_back(&kind);
  return used;
}

/// A command and those inside it.
std::vector<const CLI::App*> family(const CLI::App& command) {
  std::vector<const CLI::App*> all{&command};
  for (const CLI::App* inner : commandsOf(command)) {
    auto more = family(*inner);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

constexpr std::pair<int, const char*> kExitCodes[] = {
    {0, "well"},
    {1, "the model, a file or data is wrong"},
    {2, "the call is wrong"},
    {3, "the device is missing or lacks something"},
    {4, "a check found a difference, or a kernel is at fault"},
    {5, "the system: disk, memory"},
    {70, "a mistake of moec's"},
    {kInterrupted, "interrupted, with the state saved"},
};

constexpr std::pair<const char*, const char*> kEnvironment[] = {
    {"XDG_CACHE_HOME", "caches of programs and kernels lie in its folder moec (else ~/.cache/moec)"},
    {"MOEC_CACHE_LIMIT", "what the caches may take, as --cache-limit has it"},
    {"MOEC_TUNING", "the database of tuned schedules, as --tuning has it; off: none"},
    {"MOEC_COMPILER", "the compiler library, when it is not beside the command"},
    {"MOEC_NVRTC_DIR", "the folder of libnvrtc.so; then the only place looked at"},
    {"NO_COLOR", "when set and not empty, messages have no colour on a terminal either"},
};

// ---- Markdown

/// Text of a table's cell: what Markdown would take as its own, or as HTML, is escaped.
std::string cell(std::string text) {
  for (size_t at = 0; (at = text.find('<', at)) != std::string::npos; at += 4)
    text.replace(at, 1, "&lt;");
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  return text;
}

std::string section(const CLI::App& command) {
  std::string text = fmt::format("## {}\n\n{}.\n\n```\n{}\n```\n\n", fullName(command), command.get_description(), usageOf(command));
  text += "| | |\n|---|---|\n";
  for (const OptionView& option : optionsOf(command))
    text += fmt::format("| `{}` | {} |\n", option.heading(), cell(option.description));
  if (!command.get_footer().empty())
    text += "\n```sh\n" + command.get_footer() + "```\n";
  return text + "\n";
}

// ---- roff

/// Text of a man page: no backslash, dash or leading dot that roff would take as its own.
std::string roff(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else if ((c == '.' || c == '\'') && (result.empty() || result.back() == '\n'))
      result += std::string("\\&") + c;
    else
      result += c;
  }
  return result;
}

std::string tagged(const std::string& tag, const std::string& text) { return fmt::format(".TP\n.B {}\n{}\n", roff(tag), roff(text)); }

std::string preformatted(const std::string& text) { return fmt::format(".nf\n{}.fi\n", roff(text)); }

std::string fileName(const CLI::App& command) {
  std::string name = fullName(command);
  std::ranges::replace(name, ' ', '-');
  return name;
}

std::string optionList(const CLI::App& command) {
  std::string text;
  for (const OptionView& option : optionsOf(command))
    text += tagged(option.heading(), fullDescription(option));
  return text;
}

std::string manPage(const CLI::App& command, bool isRoot) {
  std::string name = fileName(command), upper = name;
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string description = command.get_description();
  std::string text = fmt::format(".TH {} 1 \"\" \"moec {}\" \"moec\"\n", roff(upper), kVersion);
  text += fmt::format(".SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n", roff(name), roff(description), roff(usageOf(command)));
  if (isRoot) {
    text += ".SH COMMANDS\n";
    for (const CLI::App* inner : commandsOf(command))
      text += tagged(inner->get_name(), inner->get_description() + fmt::format("; see {}(1)", fileName(*inner)));
  }
  text += ".SH OPTIONS\n" + optionList(command);
  if (!isRoot)
    for (const CLI::App* inner : family(command))
      if (inner != &command)
        text += fmt::format(".SS {}\n{}\n{}", roff(usageOf(*inner)), roff(inner->get_description()), optionList(*inner));
  if (!command.get_footer().empty())
    text += ".SH EXAMPLES\n" + preformatted(command.get_footer());
  if (isRoot) {
    text += ".SH EXIT STATUS\n";
    for (auto [code, words] : kExitCodes)
      text += tagged(std::to_string(code), words);
    text += ".SH ENVIRONMENT\n";
    for (auto [variable, words] : kEnvironment)
      text += tagged(variable, words);
  } else {
    text += ".SH SEE ALSO\n.BR moec (1)\n";
  }
  return text;
}

} // namespace

std::string helpText(const CLI::App& command) {
  std::string text = wrapped(command.get_description(), 0) + "\nusage: " + usageOf(command) + "\n";
  if (!commandsOf(command).empty()) {
    text += "\ncommands:\n";
    for (const CLI::App* inner : commandsOf(command))
      text += row(inner->get_name(), inner->get_description());
  }
  text += "\noptions:\n";
  for (const OptionView& option : optionsOf(command))
    text += row(option.heading(), fullDescription(option));
  if (!command.get_footer().empty())
    text += "\nexamples:\n" + indented(command.get_footer(), "  ");
  return text;
}

std::string commandsReadme(const CLI::App& root) {
  std::string text = "# The command\n\nMade from the table of options by `write_command_docs`; `moec COMMAND --help` "
                     "and the man pages say the same.\n\n"
                     "Results go to stdout, everything else to stderr.\n\n| | |\n|---|---|\n";
  for (const CLI::App* command : commandsOf(root)) {
    std::string anchor = fileName(*command);
    text += fmt::format("| [{}](#{}) | {} |\n", fullName(*command), anchor, cell(command->get_description()));
  }
  text += "\n";
  for (const CLI::App* command : family(root))
    if (command != &root)
      text += section(*command);
  text += "## Values\n\n| | |\n|---|---|\n";
  for (const ValueKind* kind : usedKinds(family(root)))
    text +=
        fmt::format("| `{}` | {}{} |\n", kind->name, cell(kind->description), kind->words.empty() ? "" : fmt::format(": `{}`", fmt::join(kind->words, "` `")));
  text += "\n## Exit codes\n\n| | |\n|---|---|\n";
  for (auto [code, words] : kExitCodes)
    text += fmt::format("| {} | {} |\n", code, words);
  text += "\n## Environment\n\n| | |\n|---|---|\n";
  for (auto [variable, words] : kEnvironment)
    text += fmt::format("| `{}` | {} |\n", variable, words);
  return text;
}

std::map<std::string, std::string> manPages(const CLI::App& root) {
  std::map<std::string, std::string> pages{{"moec.1", manPage(root, true)}};
  for (const CLI::App* command : commandsOf(root))
    pages.emplace(fileName(*command) + ".1", manPage(*command, false));
  return pages;
}

} // namespace moec::cli
