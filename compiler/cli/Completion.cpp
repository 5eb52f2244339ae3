#include "compiler/cli/Completion.h"

#include "compiler/cli/CommandTree.h"
#include "compiler/cli/ValueKinds.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

namespace moec::cli {

namespace {

/// Where in the tree the words before the last have led.
struct Place {
  const CLI::App* command;
  std::optional<OptionView> awaitsValue; // the word before is an option that takes one
  size_t positionals = 0;                // given already
  bool onlyPositionals = false;          // behind "--"
};

std::optional<OptionView> findOption(const CLI::App& command, std::string_view name) {
  for (const OptionView& option : optionsOf(command))
    if (!option.positional && std::ranges::find(option.names, name) != option.names.end())
      return option;
  return {};
}

const CLI::App* findCommand(const CLI::App& command, const std::string& name) {
  for (const CLI::App* inner : commandsOf(command))
    if (inner->get_name() == name)
      return inner;
  return nullptr;
}

void step(Place& place, const std::string& word) {
  if (place.awaitsValue) {
    place.awaitsValue.reset();
  } else if (word == "--") {
    place.onlyPositionals = true;
  } else if (word.starts_with("-") && !place.onlyPositionals) {
    if (auto option = findOption(*place.command, word); option && !option->value.empty())
      place.awaitsValue = option;
  } else if (const CLI::App* inner = findCommand(*place.command, word)) {
    place = {.command = inner};
  } else {
    ++place.positionals;
  }
}

/// Values of a kind; `typed` is what stands there of the value so far, `before` what stands before it in the same word.
void addValues(const std::string& kindName, const std::string& typed, const std::string& before, Completion& result) {
  const ValueKind* kind = findValueKind(kindName);
  if (!kind)
    return;
  std::string head = before;
  if (kind->isList)
    head += typed.substr(0, typed.rfind(',') == std::string::npos ? 0 : typed.rfind(',') + 1);
  for (const std::string& word : kind->words)
    result.candidates.push_back({head + word, ""});
  // A value that is NAME=FILE has files only behind the sign; shells match what stands behind it.
  bool hasFile = kind->isFile && (!kind->isAssignment || typed.find('=') != std::string::npos);
  result.files = hasFile;
  result.folders = kind->isFolder;
  if (hasFile)
    result.endings = kind->endings;
}

void addOptions(const CLI::App& command, Completion& result) {
  for (const OptionView& option : optionsOf(command))
    if (!option.positional)
      result.candidates.push_back({option.names.back(), option.description});
}

} // namespace

Completion complete(const CLI::App& root, const std::vector<std::string>& words) {
  Completion result;
  if (words.empty())
    return result;
  Place place{.command = &root};
  for (size_t i = 0; i + 1 < words.size(); ++i)
    step(place, words[i]);
  const std::string& word = words.back();
  if (place.awaitsValue) {
    addValues(place.awaitsValue->value, word, "", result);
    return result;
  }
  if (word.starts_with("-") && !place.onlyPositionals) {
    size_t equals = word.find('=');
    if (equals == std::string::npos)
      addOptions(*place.command, result);
    else if (auto option = findOption(*place.command, word.substr(0, equals)))
      addValues(option->value, word.substr(equals + 1), word.substr(0, equals + 1), result);
    return result;
  }
  for (const CLI::App* inner : commandsOf(*place.command))
    result.candidates.push_back({inner->get_name(), inner->get_description()});
  size_t at = 0;
  for (const OptionView& option : optionsOf(*place.command))
    if (option.positional && at++ == place.positionals)
      addValues(option.value, word, "", result);
  return result;
}

std::string completionAnswer(const Completion& completion) {
  std::string text = completion.folders ? ":folders" : completion.files ? ":files" : ":none";
  for (const std::string& ending : completion.endings)
    text += " " + ending;
  text += "\n";
  for (const auto& [word, description] : completion.candidates)
    text += description.empty() ? word + "\n" : fmt::format("{}\t{}\n", word, description);
  return text;
}

} // namespace moec::cli
