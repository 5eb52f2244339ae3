#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/Table.h"
#include "runtime/Compile.h"
#include "runtime/device/Device.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace moec::cli {

namespace {

bool runsCuda(const DeviceDescription& device) { return device.name.starts_with("cuda") || device.name.starts_with("ptx-emulator:"); }

/// A device that runs CUDA kernels is there without NVRTC too: compiled programs run on it.
void devices(bool json) {
  std::string missing = missingCudaCompiler();
  if (json) {
    auto list = nlohmann::ordered_json::array();
    for (const DeviceDescription& device : listDevices()) {
      list.push_back({{"name", device.name}, {"description", device.description}, {"available", device.available}});
      if (!device.available)
        list.back()["reason"] = device.reason;
      if (runsCuda(device)) {
        list.back()["compiles"] = missing.empty();
        if (!missing.empty())
          list.back()["compiles_reason"] = missing;
      }
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
  if (!missing.empty())
    fmt::print("\ncuda:N and ptx-emulator run compiled programs only: nothing can be compiled for them here\n{}\n", missing);
}

} // namespace

void addDevicesCommand(CLI::App& app) {
  auto flags = std::make_shared<CommonOptions>();
  CLI::App* command = addSubcommand(app, "devices", "List where programs can run, and why not elsewhere");
  addJsonFlag(*command, *flags);
  addExamples(*command, {{"what --device takes here", "moec devices"}});
  command->callback([flags] { devices(flags->json); });
}

} // namespace moec::cli
