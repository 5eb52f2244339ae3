#include "compiler/cli/Options.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace moec::cli {

CLI::App* addSubcommand(CLI::App& parent, const std::string& name, const std::string& description) { return parent.add_subcommand(name, description); }

template <class T> CLI::Option* addOption(CLI::App& command, const std::string& names, T& value, const std::string& description) {
  return command.add_option(names, value, description);
}

template CLI::Option* addOption(CLI::App&, const std::string&, std::string&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, std::optional<std::string>&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, std::vector<std::string>&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, std::filesystem::path&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, std::optional<std::filesystem::path>&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, int&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, int64_t&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, uint64_t&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, std::optional<int64_t>&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, std::optional<uint64_t>&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, double&, const std::string&);
template CLI::Option* addOption(CLI::App&, const std::string&, std::optional<double>&, const std::string&);

CLI::Option* checkInteger(CLI::Option* option, uint64_t least, uint64_t most) {
  auto words = [](uint64_t limit) { return limit == UINT64_MAX ? "2^64-1" : limit == INT64_MAX ? "2^63-1" : std::to_string(limit); };
  auto check = [=](std::string& text) {
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool isIn = error == std::errc{} && end == text.data() + text.size() && value >= least && value <= most;
    if (isIn)
      text = std::to_string(value); // what is read next takes a leading 0 for another base
    return isIn ? std::string() : fmt::format("{} is not an integer from {} to {}", text, words(least), words(most));
  };
  return option->transform(CLI::Validator(check, ""));
}

CLI::Option* addFlag(CLI::App& command, const std::string& names, bool& value, const std::string& description) {
  return command.add_flag(names, value, description);
}

} // namespace moec::cli
