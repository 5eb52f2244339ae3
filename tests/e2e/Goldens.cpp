#include "tests/e2e/Goldens.h"

#include "runtime/Compile.h"
#include "runtime/core/KernelAbi.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Support.h"

#include <algorithm>
#include <sstream>

namespace moec::test {

std::vector<GoldenDevice> devicesNamed(const std::string& names) {
  std::vector<GoldenDevice> devices;
  std::istringstream words(names);
  for (std::string name; words >> name;)
    devices.push_back({name, name.starts_with("ptx-emulator:") ? "cuda:" + name.substr(name.find(':') + 1) : testTarget()});
  return devices;
}

std::string missingFor(const GoldenDevice& where) {
  for (const DeviceDescription& device : listDevices())
    if (where.device.starts_with("ptx-emulator:") && device.name.starts_with("ptx-emulator") && !device.available)
      return device.reason;
  return where.target.starts_with("cuda:") ? missingCudaCompiler() : "";
}

std::vector<std::string> goldenFiles(const std::string& key) {
  std::vector<std::string> files;
  for (auto& entry : std::filesystem::directory_iterator(sourceDir() / "tests/goldens")) {
    std::map<std::string, std::string> metadata;
    if (entry.path().extension() == ".safetensors")
      readSafeTensors(entry.path(), &metadata);
    if (metadata.contains(key))
      files.push_back(entry.path().filename().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string testName(const std::string& file) {
  std::string name = file.substr(0, file.rfind('.'));
  std::ranges::replace_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

std::string testName(const std::string& file, const GoldenDevice& where) { return testName(file) + "_" + testName(where.device + "."); }

TensorMap part(const TensorMap& all, const std::string& prefix) {
  TensorMap some;
  for (auto& [name, tensor] : all)
    if (name.starts_with(prefix))
      some[name.substr(prefix.size())] = tensor;
  return some;
}

std::map<std::string, GateResults> runGates(Session& session, const TensorMap& inputs) {
  const Plan& plan = session.plan();
  Executable& executable = session.executable();
  executable.bind(session.bindings(inputs));
  for (const InputInfo& input : plan.inputs)
    if (input.buffer >= 0)
      executable.write(input.buffer, inputs.find(input.name)->second);
  std::map<std::string, GateResults> gates;
  for (size_t i = 0; i < plan.forward.size(); ++i) {
    executable.launch(LaunchList::Forward, static_cast<int>(i), {});
    if (plan.forward[i].kind != "gate")
      continue;
    GateResults& results = gates[plan.forward[i].label];
    for (int output : plan.forward[i].outputs) {
      (plan.buffers[output].isRouting ? results.routing : results.weights) = executable.read(output);
      if (plan.buffers[output].isRouting)
        results.experts = plan.buffers[output].experts;
    }
  }
  return gates;
}

std::vector<int32_t> chosenExperts(const Tensor& routing, int64_t experts) {
  auto data = routing.as<int32_t>();
  int64_t rows = (static_cast<int64_t>(data.size()) - experts - 1) / 2;
  RoutingLayout layout{experts, rows};
  std::vector<int32_t> chosen(rows, -1);
  for (int32_t expert = 0; expert < experts; ++expert)
    for (int32_t place = data[expert]; place < data[expert + 1]; ++place)
      chosen[data[layout.rowList() + place]] = expert;
  return chosen;
}

} // namespace moec::test
