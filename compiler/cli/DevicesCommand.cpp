#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/Table.h"
#include "runtime/device/Device.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace moec::cli {

namespace {

void devices(bool json) {
  if (json) {
    auto list = nlohmann::ordered_json::array();
    for (const DeviceDescription& device : listDevices()) {
      list.push_back({{"name", device.name}, {"description", device.description}, {"available", device.available}});
      if (!device.available)
        list.back()["reason"] = device.reason;
    }
    fmt::print("{}\n", list.dump());
    return;
  }
  Table table({"device", ""});
  for (const DeviceDescription& device : listDevices()) {
    table.add({device.name, device.description});
    if (!device.available)
      table.add({"", "not available: " + device.reason});
  }
  fmt::print("{}", table.str());
}

} // namespace

void addDevicesCommand(CLI::App& app) {
  auto flags = std::make_shared<CommonOptions>();
  CLI::App* command = app.add_subcommand("devices", "List where programs can run, and why not elsewhere");
  addJsonFlag(*command, *flags);
  command->callback([flags] { devices(flags->json); });
}

} // namespace moec::cli
