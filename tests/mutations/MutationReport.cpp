// Prints, as Markdown, what came of all mutants of our CUDA kernels. Arguments: a target ("cuda:sm_90a" when there is none), then kernels (all when there are
// none). With --ptx in front of them, the PTX of the kernels instead.
#include "tests/mutations/Survivors.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <map>

using namespace moec::testing;
namespace mutations = moec::mutations;

namespace {

void printRow(const std::string& kernel, const std::string& kind, const std::array<size_t, 5>& counts) {
  size_t all = 0;
  for (size_t count : counts)
    all += count;
  fmt::print("| {} | {} | {} | {} | {} | {} | {} | {} |\n", kernel, kind, all, counts[0], counts[1], counts[2], counts[3], counts[4]);
}

std::string cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2)
    text.replace(at, 1, "\\|");
  return text;
}

} // namespace

int main(int argc, char** argv) {
  bool ptx = argc > 1 && std::string_view(argv[1]) == "--ptx";
  argv += ptx;
  argc -= ptx;
  std::string target = argc > 1 ? argv[1] : "cuda:sm_90a";
  std::vector<KernelResult> results;
  try {
    for (const Subject& subject : subjects())
      if (argc < 3 || std::any_of(argv + 2, argv + argc, [&](const char* name) { return subject.name == name; })) {
        if (ptx) {
          fmt::print("{}\n", Trial(subject, target).ptx());
          continue;
        }
        fmt::print(stderr, "{}\n", subject.name);
        results.push_back(runMutants(subject, target));
      }
    if (ptx)
      return 0;
    Accepted accepted = Accepted::read(MOEC_SURVIVORS);
    fmt::print(
        "| kernel | class | mutants | killed by a finding | by an error | by a result | by other bits | survivors |\n|---|---|---|---|---|---|---|---|\n");
    std::array<std::array<size_t, 5>, 4> sums{};
    for (const KernelResult& result : results)
      for (mutations::Class kind : mutations::kClasses)
        if (result.all(kind)) {
          const auto& counts = result.counts[static_cast<size_t>(kind)];
          printRow(result.kernel, nameOf(kind), counts);
          for (size_t i = 0; i < 5; ++i)
            sums[static_cast<size_t>(kind)][i] += counts[i];
        }
    std::array<size_t, 5> all{};
    for (mutations::Class kind : mutations::kClasses) {
      printRow("all", nameOf(kind), sums[static_cast<size_t>(kind)]);
      for (size_t i = 0; i < 5; ++i)
        all[i] += sums[static_cast<size_t>(kind)][i];
    }
    printRow("all", "all", all);
    // By kernel, class, change and line of CUDA: how many, and why.
    std::map<std::vector<std::string>, std::pair<size_t, std::string>> groups;
    size_t unexplained = 0;
    for (const KernelResult& result : results)
      for (const Survivor& survivor : result.survivors) {
        const Accepted::Entry* entry = accepted.claim(survivor);
        unexplained += !entry;
        auto& [count, why] = groups[{survivor.kernel, nameOf(survivor.kind), survivor.change, survivor.source}];
        ++count;
        why = entry ? entry->why : fmt::format("NOT EXPLAINED (line {}: {})", survivor.line, survivor.instruction);
      }
    fmt::print("\n| kernel | class | change | survivors | line of CUDA | why |\n|---|---|---|---|---|---|\n");
    for (const auto& [key, group] : groups)
      fmt::print("| {} | {} | {} | {} | `{}` | {} |\n", key[0], key[1], cell(key[2]), group.first, cell(key[3]), cell(group.second));
    if (unexplained)
      fmt::print(stderr, "{} survivors are not explained\n", unexplained);
    return unexplained != 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "mutation_report: {}\n", error.what());
    return 1;
  }
}
