#include "compiler/cli/ProgramCache.h"

#include "compiler/cli/CacheFolder.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Container.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

std::span<const uint8_t> section(const Container& container, std::string_view name, const std::string& where) {
  if (const Container::Section* found = container.find(name))
    return found->bytes;
  throw Error(Fault::Data, fmt::format("{}: section '{}' is missing", where, name));
}

} // namespace

ProgramEntry programEntryOf(const Container& container, const std::string& where) {
  auto text = section(container, "about", where);
  Json about = Json::parse(text.begin(), text.end(), nullptr, false);
  try {
    return {ProgramKey::fromJson(about.at("key"), where), about.at("model"), about.at("name"), about.at("targets")};
  } catch (const nlohmann::json::exception&) {
    throw Error(Fault::Data, where + ": not the entry of a program");
  }
}

ProgramCache::Lookup ProgramCache::find(const ProgramKey& key) const {
  Lookup found = peek(key);
  if (found.program)
    markUsed(entry(key));
  return found;
}

ProgramCache::Lookup ProgramCache::peek(const ProgramKey& key) const {
  fs::path path = entry(key);
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return {};
  try {
    MappedFile file = MappedFile::open(path);
    Container container = Container::parse(file.bytes(), path.string());
    if (!(programEntryOf(container, path.string()).key == key))
      throw Error(Fault::Data, path.string() + ": the entry of another program");
    Program program = Program::parse(section(container, "program", path.string()));
    return {std::move(program), {}};
  } catch (const Error& error) {
    if (!fs::exists(path, ignored))
      return {};                         // another process made room meanwhile
    return {std::nullopt, error.what()}; // compiled again and written over
  }
}

void ProgramCache::store(const ProgramKey& key, const fs::path& model, const Program& program) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error)
    throw Error(Fault::System, fmt::format("{}: cannot make the cache's folder: {}", folder_.string(), error.message()));
  Json about{{"key", key.toJson()}, {"model", fs::absolute(model).lexically_normal().string()}, {"name", program.name()}, {"targets", Json::array()}};
  for (const Plan& plan : program.data().plans)
    about["targets"].push_back(plan.target);
  std::string text = about.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::vector<uint8_t> bytes = program.bytes();
  writeFileAtomically(entry(key), Container::write({{"about", {reinterpret_cast<const uint8_t*>(text.data()), text.size()}}, {"program", bytes}}), Sync::No);
}

ProgramEntry readProgramEntry(const fs::path& path) {
  MappedFile file = MappedFile::open(path);
  return programEntryOf(Container::parse(file.bytes(), path.string()), path.string());
}

} // namespace moec::cli
