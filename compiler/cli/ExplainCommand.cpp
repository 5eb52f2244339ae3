#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/ProgramSummary.h"
#include "compiler/cli/Table.h"
#include "runtime/core/Error.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

namespace moec::cli {

namespace {

constexpr LaunchList kLists[] = {LaunchList::Prepare, LaunchList::Forward, LaunchList::Apply};

void printJson(const Plan& plan) {
  for (LaunchList list : kLists)
    for (size_t i = 0; i < plan.launches(list).size(); ++i) {
      const LaunchInfo& launch = plan.launches(list)[i];
      nlohmann::ordered_json line{{"list", name(list)},
                                  {"launch", i},
                                  {"layer", launch.label},
                                  {"kind", launch.kind},
                                  {"kernel", launch.kernel},
                                  {"ops", launch.ops},
                                  {"ends_because", launch.reason},
                                  {"schedule", launch.schedule},
                                  {"chosen_by", chooserOf(launch)}};
      fmt::print("{}\n", line.dump());
    }
}

const char* titleOf(const Plan& plan, LaunchList list) {
  if (list == LaunchList::Prepare)
    return "once";
  if (list == LaunchList::Apply)
    return "each step, with the gradients that have added up";
  return plan.purpose != Purpose::Training ? "each call" : plan.apply.empty() ? "each step" : "each accumulation of gradients";
}

/// In order; of a launch that does the same with many tensors, each op once with how often it stands there.
std::string opsOf(const LaunchInfo& launch) {
  constexpr size_t kMostOps = 48;
  if (launch.ops.size() <= kMostOps)
    return fmt::format("{}", fmt::join(launch.ops, " + "));
  std::vector<std::pair<std::string, size_t>> counts;
  for (const std::string& op : launch.ops) {
    auto known = std::find_if(counts.begin(), counts.end(), [&](const auto& entry) { return entry.first == op; });
    known == counts.end() ? void(counts.emplace_back(op, 1)) : void(++known->second);
  }
  std::string text;
  for (const auto& [op, count] : counts)
    text += fmt::format("{}{} {}", text.empty() ? "" : " + ", count, op);
  return text;
}

void printLaunch(const LaunchInfo& launch) {
  fmt::print("  {:<12} {}\n", launch.kind, opsOf(launch));
  if (!launch.schedule.empty())
    fmt::print("  {:<12} schedule: {} ({})\n", "", launch.schedule, chooserOf(launch));
  if (!launch.reason.empty())
    fmt::print("  {:<12} ends here: {}\n", "", launch.reason);
  fmt::print("  {:<12} kernel: {}\n", "", launch.kernel);
}

/// Launches stand in the order they run; a heading wherever the layer changes.
void printText(const Program& program, const Plan& plan) {
  bool trains = plan.purpose == Purpose::Training;
  fmt::print("{} for {}{}: {} a{}", program.name(), plan.target, purposeSuffix(plan),
             counted(std::ssize(plan.forward) + std::ssize(plan.apply), "launch", "launches"), trains ? " step" : " call");
  fmt::print("{}\n", plan.prepare.empty() ? "" : fmt::format(", {} once when weights are given", plan.prepare.size()));
  for (LaunchList list : kLists) {
    const auto& launches = plan.launches(list);
    if (launches.empty())
      continue;
    fmt::print("\n-- {}\n", titleOf(plan, list));
    const std::string* layer = nullptr;
    for (const LaunchInfo& launch : launches) {
      if (!layer || *layer != launch.label)
        fmt::print("{}\n", launch.label.empty() ? "(model)" : launch.label);
      layer = &launch.label;
      printLaunch(launch);
    }
  }
}

} // namespace

void addExplainCommand(CLI::App& app) {
  auto flags = std::make_shared<CommonOptions>();
  CLI::App* command = addSubcommand(app, "explain", "Show per layer which ops went into which kernel, and why each kernel ends where it does");
  addModelFlags(*command, *flags);
  addWeightsAsFlag(*command, *flags);
  describeTargetOfView(*command);
  addTrainFlags(*command, *flags, "the plan for training, not that for inference");
  addEvaluateFlags(*command, *flags, "the plan for evaluation, not that for inference");
  addGenerateFlags(*command, *flags);
  addJsonFlag(*command, *flags);
  addExamples(*command, {{"which ops went into which kernel, for this CPU and for a GPU",
                          "moec explain models/zoo/vit-moe.json\nmoec explain models/zoo/vit-moe.json --target cuda:sm_90a"},
                         {"the launches of a step of training", "moec explain models/zoo/vit-moe.json --train"}});
  command->callback([flags] {
    Program program = openForView(*flags);
    const Plan& plan = choosePlan(program, *flags);
    flags->json ? printJson(plan) : printText(program, plan);
  });
}

} // namespace moec::cli
