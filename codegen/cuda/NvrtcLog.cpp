#include "codegen/cuda/NvrtcLog.h"

#include <algorithm>
#include <regex>
#include <sstream>

namespace moec::codegen::cuda {

// An entry function's report, from ptxas 12 and 13:
//   ptxas info    : Compiling entry function 'k' for 'sm_90a'
//   ptxas info    : Function properties for k
//       1200 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
//   ptxas info    : Used 10 registers, used 1 barriers, 1200 bytes cumulative stack size, 1024 bytes smem
// Functions that were not inlined have properties of their own; their stack is in the entry's cumulative size.
std::vector<FunctionUsage> usageFrom(const std::string& log) {
  static const std::regex entry("Compiling entry function '([^']*)'"), properties("Function properties for (\\S+)"),
      frame("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads"), used("Used (\\d+) registers"),
      stack("(\\d+) bytes cumulative stack size"), shared("(\\d+) bytes smem");
  std::vector<FunctionUsage> functions;
  std::istringstream lines(log);
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, match, entry)) {
      functions.push_back({match[1]});
      continue;
    }
    if (functions.empty())
      continue;
    FunctionUsage& usage = functions.back();
    if (std::regex_search(line, match, frame)) {
      usage.stackBytes = std::max<int64_t>(usage.stackBytes, std::stoll(match[1]));
      usage.spillBytes += std::stoll(match[2]) + std::stoll(match[3]);
    }
    if (std::regex_search(line, match, used))
      usage.registers = std::stoi(match[1]);
    if (std::regex_search(line, match, stack))
      usage.stackBytes = std::stoll(match[1]);
    if (std::regex_search(line, match, shared))
      usage.sharedBytes = std::stoll(match[1]);
  }
  return functions;
}

std::string messagesFrom(const std::string& log, std::string_view folder) {
  static const std::regex place("^(.*)\\((\\d+)\\): ((catastrophic )?error|warning|remark)"), report("^ptxas info|^ +\\d+ bytes stack frame");
  std::string messages;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);)
    if (!std::regex_search(line, report) && (!line.empty() || !messages.empty()))
      messages += std::regex_replace(line.starts_with(folder) ? line.substr(folder.size()) : line, place, "$1:$2: $3") + "\n";
  while (messages.ends_with('\n'))
    messages.pop_back();
  return messages;
}

} // namespace moec::codegen::cuda
