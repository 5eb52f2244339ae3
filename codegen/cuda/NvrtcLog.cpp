#include "codegen/cuda/NvrtcLog.h"

#include "codegen/cuda/NvrtcNames.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
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

namespace {

/// The line of the source that a line of PTX was made from; 0 when `.loc` does not say.
int sourceLineOf(const std::string& ptx, int ptxLine, const CudaSource& source) {
  static const std::regex loc("^\\s*\\.loc\\s+(\\d+)\\s+(\\d+)"), file("^\\s*\\.file\\s+(\\d+)\\s+\"(.*)\"");
  std::istringstream lines(ptx);
  std::smatch match;
  std::string last, own;
  int sourceLine = 0, number = 0;
  for (std::string line; std::getline(lines, line);) {
    if (++number <= ptxLine && std::regex_search(line, match, loc)) {
      last = match[1];
      sourceLine = std::stoi(match[2]);
    }
    if (std::regex_search(line, match, file) && match[2] == nvrtcName(source))
      own = match[1];
  }
  return last == own ? sourceLine : 0;
}

/// The first line of the text that names the function; 0 when none does.
int lineOfFunction(const std::string& text, const std::string& function) {
  auto inWord = [&](size_t at) { return at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_'); };
  for (size_t at = 0; (at = text.find(function, at)) != std::string::npos; ++at)
    if (!inWord(at - 1) && !inWord(at + function.size()))
      return static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n')) + 1;
  return 0;
}

std::string place(const CudaSource& source, int line) { return line ? fmt::format("{}:{}", source.fileName, line) : source.fileName; }

/// What is wrong where the text's definition of a function meets the declaration at a line of CudaSource::declarations.
std::string declarationMessage(const CudaSource& source, int line, const std::string& message) {
  std::istringstream lines(source.declarations);
  std::string declaration;
  for (int i = 0; i < line && std::getline(lines, declaration);)
    ++i;
  size_t end = declaration.find('('), begin = declaration.rfind(' ', end) + 1;
  return fmt::format("{}: error: this function must keep its parameters: {}\n  expected: {}\n",
                     place(source, lineOfFunction(source.text, declaration.substr(begin, end - begin))), message, declaration);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

} // namespace

std::string messagesFrom(const std::string& log, const CudaSource& source, const std::string& ptx) {
  static const std::regex located("^(.*)\\((\\d+)\\): ((?:catastrophic )?error|warning|remark)(.*)$"),
      assembler("^ptxas application ptx input, line (\\d+); (error|fatal|warning) *: (.*)$"), assemblerOfFunction("^ptxas (error|fatal|warning) *: (.*)$"),
      quoted("'([^']+)'"),
      report("^ptxas (info|fatal   : Ptx assembly aborted)|^(ptxas +\\.)? +\\d+ bytes stack frame|^Remark: The warnings can be suppressed|^$");
  std::string given = nvrtcName(source), errors, others;
  std::string* messages = &errors; // what a message's further lines belong to
  std::string ignored;
  std::istringstream lines(log);
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, report))
      continue;
    if (std::regex_match(line, match, located)) {
      std::string name = match[1], number = match[2], kind = match[3], message = match[4];
      messages = kind.ends_with("error") ? &errors : &others;
      line = fmt::format("{}:{}: {}{}", name, number, kind, message);
      if (name == kDeclarationsName) {
        if (messages == &errors)
          errors += replaced(declarationMessage(source, std::stoi(number), message.substr(2)), given, source.fileName);
        messages = &ignored; // it would show the declaration
        continue;
      }
    } else if (std::regex_match(line, match, assembler)) {
      int ptxLine = std::stoi(match[1]);
      messages = match[2] == "warning" ? &others : &errors;
      line = fmt::format("{}: {}: ptxas: {} (PTX line {})", place(source, sourceLineOf(ptx, ptxLine, source)), match[2] == "fatal" ? "error" : match[2].str(),
                         match[3].str(), ptxLine);
    } else if (std::regex_match(line, match, assemblerOfFunction)) {
      std::string kind = match[1], message = match[2];
      messages = kind == "warning" ? &others : &errors;
      std::string function = std::regex_search(message, match, quoted) ? match[1].str() : std::string();
      line = fmt::format("{}: {}: ptxas: {}", place(source, function.empty() ? 0 : lineOfFunction(source.text, function)), kind == "fatal" ? "error" : kind,
                         message);
    } else if (!line.starts_with(' ')) {
      messages = &others; // how many there are
    }
    *messages += replaced(line, given, source.fileName) + "\n";
  }
  std::string all = errors + others;
  while (all.ends_with('\n'))
    all.pop_back();
  return all;
}

} // namespace moec::codegen::cuda
