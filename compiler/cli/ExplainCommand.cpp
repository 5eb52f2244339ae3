#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "runtime/core/Error.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace moec::cli {

namespace {

void printJson(const Plan& plan) {
  for (const auto& [phase, launches] : {std::pair("prepare", &plan.prepare), std::pair("forward", &plan.forward)})
    for (size_t i = 0; i < launches->size(); ++i) {
      const LaunchInfo& launch = (*launches)[i];
      nlohmann::ordered_json line{{"list", phase},
                                  {"launch", i},
                                  {"layer", launch.label},
                                  {"kind", launch.kind},
                                  {"kernel", launch.kernel},
                                  {"ops", launch.ops},
                                  {"ends_because", launch.reason},
                                  {"schedule", launch.schedule}};
      fmt::print("{}\n", line.dump());
    }
}

void printLaunch(const LaunchInfo& launch) {
  fmt::print("  {:<12} {}\n", launch.kind, fmt::join(launch.ops, " + "));
  if (!launch.schedule.empty())
    fmt::print("  {:<12} schedule: {}\n", "", launch.schedule);
  if (!launch.reason.empty())
    fmt::print("  {:<12} ends here: {}\n", "", launch.reason);
  fmt::print("  {:<12} kernel: {}\n", "", launch.kernel);
}

/// Launches stand in the order they run; a heading wherever the layer changes.
void printText(const Program& program, const Plan& plan) {
  fmt::print("{} for {}: {} launches a call", program.name(), plan.target, plan.forward.size());
  fmt::print("{}\n", plan.prepare.empty() ? "" : fmt::format(", {} once when weights are given", plan.prepare.size()));
  for (const auto& [title, launches] : {std::pair("once", &plan.prepare), std::pair("each call", &plan.forward)}) {
    if (launches->empty())
      continue;
    fmt::print("\n-- {}\n", title);
    const std::string* layer = nullptr;
    for (const LaunchInfo& launch : *launches) {
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
  CLI::App* command = app.add_subcommand(
      "explain", "Show per layer which ops went into which kernel, and why each kernel ends where it does");
  addModelFlags(*command, *flags);
  describeTargetOfView(*command);
  addJsonFlag(*command, *flags);
  addExamples(*command,
              {{"which ops went into which kernel, for this CPU and for a GPU",
                "moec explain models/zoo/vit-moe.json\nmoec explain models/zoo/vit-moe.json --target cuda:sm_90a"}});
  command->callback([flags] {
    Program program = openForView(*flags);
    const Plan& plan = choosePlan(program, *flags);
    flags->json ? printJson(plan) : printText(program, plan);
  });
}

} // namespace moec::cli
