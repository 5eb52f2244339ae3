#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/Doctor.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/Terminal.h"
#include "runtime/core/Error.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <unistd.h>

namespace moec::cli {

namespace {

using Status = Diagnosis::Status;

const char* nameOf(Status status) { return status == Status::Ok ? "ok" : status == Status::Warn ? "warn" : "fail"; }

void printJson(const std::vector<Diagnosis>& list) {
  nlohmann::ordered_json json{{"checks", nlohmann::ordered_json::array()}};
  for (const Diagnosis& diagnosis : list)
    json["checks"].push_back({{"name", diagnosis.name}, {"status", nameOf(diagnosis.status)}, {"found", diagnosis.found}, {"remedy", diagnosis.remedy}});
  fmt::print("{}\n", json.dump(-1, ' ', false,
                               nlohmann::ordered_json::error_handler_t::replace)); // names of folders may be no UTF-8
}

void printText(const std::vector<Diagnosis>& list) {
  for (const Diagnosis& diagnosis : list) {
    Colour colour = diagnosis.status == Status::Ok ? Colour::Green : diagnosis.status == Status::Warn ? Colour::Yellow : Colour::Red;
    fmt::print("{}  {:<14} {}\n", coloured(STDOUT_FILENO, colour, fmt::format("{:<4}", nameOf(diagnosis.status))), diagnosis.name, diagnosis.found);
    if (!diagnosis.remedy.empty())
      fmt::print("      {:<14} to do: {}\n", "", diagnosis.remedy);
  }
}

} // namespace

void addDoctorCommand(CLI::App& app) {
  auto flags = std::make_shared<CommonOptions>();
  CLI::App* command = addSubcommand(app, "doctor", "Look at what this machine and this installation give moec, and say what to do about what is missing");
  addJsonFlag(*command, *flags);
  addExamples(*command, {{"each line is ok, warn (moec works without it) or fail; only a fail is an error", "moec doctor"}});
  command->callback([flags] {
    std::vector<Diagnosis> list = diagnose();
    flags->json ? printJson(list) : printText(list);
    std::vector<std::string> failed;
    for (const Diagnosis& diagnosis : list)
      if (diagnosis.status == Status::Fail)
        failed.push_back(diagnosis.name);
    if (!failed.empty())
      throw Error(Fault::Device, fmt::format("moec does not work here: {}", fmt::join(failed, ", ")));
  });
}

} // namespace moec::cli
