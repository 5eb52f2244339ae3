#pragma once
// Declares commands, options and flags in CLI11's tree. The library is templates and inline functions alone: Options.cpp has the machine code of what stands
// here, where every command would take seconds to compile its own.

#include <cstdint>
#include <string>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace moec::cli {

CLI::App* addSubcommand(CLI::App& parent, const std::string& name, const std::string& description);
/// `names` as CLI11 writes them: "-o,--output"; without dashes a positional. Options.cpp lists the types of values.
template <class T> CLI::Option* addOption(CLI::App& command, const std::string& names, T& value, const std::string& description);
/// Refuses what is no integer of these; the option. CLI11 reads "-1" as 2^64-1, and what is larger as that, too,
/// and "010" as 8: here it is 10.
CLI::Option* checkInteger(CLI::Option* option, uint64_t least, uint64_t most);
CLI::Option* addFlag(CLI::App& command, const std::string& names, bool& value, const std::string& description);

} // namespace moec::cli
