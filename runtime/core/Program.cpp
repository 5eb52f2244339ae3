#include "runtime/core/Program.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Container.h"
#include "runtime/core/Error.h"
#include "runtime/core/PlanJson.h"
#include "runtime/core/Printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

namespace moec {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr std::string_view kKernelPrefix = "kernel/", kIrPrefix = "ir/";
constexpr int kManifestVersion = 3; // what this moec reads: all up to it

/// Plans for inference alone are what version 1 knows, those for training are of version 2.
int versionOf(const ProgramData& data) {
  int version = 1;
  for (const Plan& plan : data.plans)
    version = std::max(version, plan.purpose == Purpose::Inference ? 1 : plan.purpose == Purpose::Training ? 2 : 3);
  return version;
}

Bytes bytesOf(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

std::string writeManifest(const ProgramData& data) {
  nlohmann::ordered_json manifest = {{"version", versionOf(data)}, {"name", data.name}, {"build_id", data.buildId}};
  manifest["plans"] = nlohmann::ordered_json::array();
  for (const Plan& plan : data.plans)
    manifest["plans"].push_back(planToJson(plan));
  try {
    return manifest.dump(1);
  } catch (const nlohmann::json::exception& error) {
    throw Error(Fault::Internal, fmt::format("manifest of {}: {}", data.name, error.what()));
  }
}

void readManifest(Bytes section, ProgramData& data, const std::string& where) {
  auto fail = [&](const std::string& what) -> void { throw Error(Fault::Data, fmt::format("{}: section 'manifest': {}", where, what)); };
  // Names in it are printed: none steers a terminal. What is deeper than any manifest is not kept, so that memory stays in proportion to the file.
  constexpr int kDeepest = 32;
  bool tooDeep = false, controls = false;
  auto check = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json& value) {
    tooDeep |= depth > kDeepest;
    controls |= value.is_string() && hasControls(value.get_ref<const std::string&>());
    return depth <= kDeepest;
  };
  nlohmann::json manifest = nlohmann::json::parse(section.begin(), section.end(), check, false);
  if (tooDeep || controls)
    fail(tooDeep ? fmt::format("objects and lists are more than {} levels deep", kDeepest) : "a text has control characters");
  if (!manifest.is_object())
    fail("not a JSON object");
  if (!manifest.contains("version") || !manifest["version"].is_number_integer())
    fail("it has no version");
  if (manifest["version"] > kManifestVersion)
    fail(fmt::format("version {} is newer than this moec reads ({}); use a newer moec or compile again", manifest["version"].dump(), kManifestVersion));
  for (const char* key : {"name", "build_id"})
    if (!manifest.contains(key) || !manifest[key].is_string())
      fail(fmt::format("'{}' is missing", key));
  data.name = manifest["name"];
  data.buildId = manifest["build_id"];
  if (!manifest.contains("plans") || !manifest["plans"].is_array())
    fail("'plans' is missing");
  for (size_t i = 0; i < manifest["plans"].size(); ++i) {
    try {
      data.plans.push_back(planFromJson(manifest["plans"][i], fmt::format("plans[{}]", i)));
      checkPlan(data.plans.back());
    } catch (const Error& error) {
      fail(error.what());
    }
  }
}

Program parseBytes(Bytes bytes, const std::string& where) {
  Container container = Container::parse(bytes, where);
  const Container::Section* manifest = container.find("manifest");
  if (!manifest)
    throw Error(Fault::Data, where + ": section 'manifest' is missing");
  ProgramData data;
  readManifest(manifest->bytes, data, where);
  for (const Container::Section& section : container.sections()) {
    if (section.name.starts_with(kKernelPrefix))
      data.kernels[section.name.substr(kKernelPrefix.size())].assign(section.bytes.begin(), section.bytes.end());
    else if (section.name.starts_with(kIrPrefix))
      data.ir[section.name.substr(kIrPrefix.size())].assign(section.bytes.begin(), section.bytes.end());
  }
  return Program(std::move(data));
}

} // namespace

Program::Program(ProgramData data) : data_(std::make_shared<const ProgramData>(std::move(data))) {}

Program Program::parse(Bytes bytes) { return parseBytes(bytes, "program"); }

Program Program::load(const std::filesystem::path& path) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(path, code))
    throw Error(code && code.value() != ENOENT ? Fault::System : Fault::Data, fmt::format("{}: {}", path.string(),
                                                                                          code                            ? code.message()
                                                                                          : std::filesystem::exists(path) ? "not a file"
                                                                                                                          : "no such file"));
  auto size = std::filesystem::file_size(path, code);
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes(code ? 0 : size);
  if (code || !file || !file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
    throw Error(Fault::System, fmt::format("{}: cannot read: {}", path.string(), std::generic_category().message(errno)));
  return parseBytes(bytes, path.string());
}

std::vector<uint8_t> Program::bytes() const {
  std::string manifest = writeManifest(*data_);
  std::vector<Container::Section> sections{{"manifest", bytesOf(manifest)}};
  for (const auto& [key, image] : data_->kernels)
    sections.push_back({std::string(kKernelPrefix) + key, image});
  for (const auto& [target, text] : data_->ir)
    sections.push_back({std::string(kIrPrefix) + target, bytesOf(text)});
  return Container::write(sections);
}

void Program::save(const std::filesystem::path& path) const { writeFileAtomically(path, bytes()); }

const std::string& Program::name() const { return data_->name; }
const ProgramData& Program::data() const { return *data_; }

std::string irKey(std::string_view target, Purpose purpose) {
  return purpose == Purpose::Inference ? std::string(target) : fmt::format("{}/{}", target, moec::name(purpose));
}

void requirePlans(const ProgramData& program, Purpose purpose) {
  constexpr const char* kFlags[] = {"without --stop-after and --emit", "with --train", "with --evaluate", "with --context"};
  if (purpose != Purpose::Inference && std::ranges::none_of(program.plans, [&](const Plan& plan) { return plan.purpose == purpose; }))
    throw Error(Fault::Usage,
                fmt::format("program {} has no plan for {}: compile it {}", program.name, moec::name(purpose), kFlags[static_cast<size_t>(purpose)]));
}

const Plan* Program::plan(std::string_view target, Purpose purpose) const {
  for (const Plan& plan : data_->plans)
    if (plan.target == target && plan.purpose == purpose)
      return &plan;
  return nullptr;
}

Bytes Program::kernel(std::string_view target, std::string_view symbol) const {
  auto found = data_->kernels.find(fmt::format("{}/{}", target, symbol));
  if (found == data_->kernels.end())
    throw Error(Fault::Data, fmt::format("program {} has no kernel '{}' for target '{}'; compile it again", name(), symbol, target));
  return found->second;
}

} // namespace moec
