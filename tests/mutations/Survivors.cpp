#include "tests/mutations/Survivors.h"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>

namespace moec::testing {
namespace {

bool matches(const std::string& pattern, const std::string& text) {
  return pattern.ends_with('*') ? text.starts_with(pattern.substr(0, pattern.size() - 1)) : pattern == text;
}
bool matchesAny(const std::vector<std::string>& patterns, const std::string& text) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return matches(pattern, text); });
}

std::vector<std::string> split(const std::string& line, const std::string& separator) {
  std::vector<std::string> fields;
  size_t start = 0;
  for (size_t at; (at = line.find(separator, start)) != std::string::npos; start = at + separator.size())
    fields.push_back(line.substr(start, at - start));
  fields.push_back(line.substr(start));
  return fields;
}

/// "CL-36424714" of a comment at the head of the PTX.
std::string compilerOf(const std::string& ptx) {
  constexpr std::string_view word = "Compiler Build ID: ";
  size_t at = ptx.find(word);
  return at == std::string::npos ? "unknown" : ptx.substr(at + word.size(), ptx.find('\n', at) - at - word.size());
}

} // namespace

size_t KernelResult::all(mutations::Class kind) const {
  size_t all = 0;
  for (size_t count : counts[static_cast<size_t>(kind)])
    all += count;
  return all;
}

KernelResult runMutants(const Subject& subject, const std::string& target) {
  Trial trial(subject, target);
  KernelResult result{subject.name, compilerOf(trial.ptx()), {}, {}};
  for (const mutations::Mutant& mutant : trial.mutants()) {
    Verdict verdict = trial.judge(mutant);
    ++result.counts[static_cast<size_t>(mutant.kind)][static_cast<size_t>(verdict.kind)];
    if (verdict.kind == Verdict::Kind::Survives)
      result.survivors.push_back({subject.name, mutant.kind, mutant.change + (trial.matters(mutant) ? "" : " (never asked)"), trial.source(mutant.sourceLine),
                                  mutant.instruction, mutant.line});
  }
  return result;
}

Accepted Accepted::read(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    throw std::runtime_error("cannot read " + path);
  Accepted accepted;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.starts_with("compiler "))
      accepted.compiler_ = line.substr(9);
    else if (!line.empty() && !line.starts_with('#')) {
      std::vector<std::string> fields = split(line, " | ");
      if (fields.size() != 6 || fields[5].empty())
        throw std::runtime_error(
            fmt::format("{}:{}: has {} fields, expected 'kernels | class | change | how many | line of CUDA | why'", path, number, fields.size()));
      accepted.entries_.push_back({split(fields[0], ","), fields[1], fields[2], fields[4], fields[5], std::stoul(fields[3]), 0, number});
    }
  }
  return accepted;
}

const Accepted::Entry* Accepted::claim(const Survivor& survivor) {
  for (Entry& entry : entries_)
    if (matchesAny(entry.kernels, survivor.kernel) && entry.kind == nameOf(survivor.kind) && matches(entry.change, survivor.change) &&
        matches(entry.source, survivor.source)) {
      ++entry.found;
      return &entry;
    }
  return nullptr;
}

std::vector<std::string> Accepted::stale(const std::vector<std::string>& kernels) const {
  std::vector<std::string> texts;
  for (const Entry& entry : entries_) {
    bool all = std::ranges::all_of(subjects(), [&](const Subject& subject) {
      return !matchesAny(entry.kernels, subject.name) || std::ranges::find(kernels, subject.name) != kernels.end();
    });
    if (all && entry.found != entry.count)
      texts.push_back(fmt::format("line {} accepts {} survivors and {} survived: {} | {} | {}", entry.line, entry.count, entry.found, entry.kind, entry.change,
                                  entry.source));
  }
  return texts;
}

} // namespace moec::testing
