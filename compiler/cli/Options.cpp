#include "compiler/cli/Options.h"

#include <CLI/CLI.hpp>

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

CLI::Option* addFlag(CLI::App& command, const std::string& names, bool& value, const std::string& description) {
  return command.add_flag(names, value, description);
}

} // namespace moec::cli
