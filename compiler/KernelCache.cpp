#include "compiler/KernelCache.h"

#include "moec_build_id.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Container.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/core/PlanJson.h"

#include "llvm-c/Core.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sys/stat.h>

namespace moec::compiler {

namespace fs = std::filesystem;

namespace {

using Bytes = std::span<const uint8_t>;

Bytes bytesOf(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

/// The loaded LLVM may be newer than the one that moec was built with.
std::string llvmVersion() {
  unsigned major = 0, minor = 0, patch = 0;
  LLVMGetVersion(&major, &minor, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

/// The emitter's key and what every kernel depends on, each field led by its length. The digest of the sources covers the emitters, the launch ABI and the
/// form of entries.
std::string wholeKey(const std::string& key) {
  std::string whole;
  for (const std::string& field : {std::string("moec kernel"), std::string(sourceId()), llvmVersion(), key})
    whole += fmt::format("{}:{}\n", field.size(), field);
  return whole;
}

fs::path entryOf(const fs::path& folder, const std::string& wholeKey) { return folder / (digestOf(wholeKey).hex() + ".kernel"); }

/// Error(Data) for anything but the entry of this key. The key is compared, not its digest: no collision brings a wrong kernel.
codegen::KernelImage parseEntry(Bytes bytes, const std::string& wholeKey, const std::string& where) {
  Container container = Container::parse(bytes, where);
  auto section = [&](std::string_view name) {
    const Container::Section* found = container.find(name);
    if (!found)
      throw Error(Fault::Data, fmt::format("{}: section '{}' is missing", where, name));
    return found->bytes;
  };
  if (!std::ranges::equal(section("key"), bytesOf(wholeKey)))
    throw Error(Fault::Data, where + ": the entry of another kernel");
  Bytes text = section("launch"), image = section("image");
  nlohmann::json launch = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  for (const char* field : {"symbol", "sizes", "stages", "workspaces"})
    if (!launch.is_object() || !launch.contains(field))
      throw Error(Fault::Data, fmt::format("{}: '{}' is missing", where, field));
  if (!launch["symbol"].is_string())
    throw Error(Fault::Data, where + ": 'symbol' is no text");
  return {launch["symbol"].get<std::string>(),
          {image.begin(), image.end()},
          sizesFromJson(launch["sizes"], where + ": sizes"),
          stagesFromJson(launch["stages"], where + ": stages"),
          sizesFromJson(launch["workspaces"], where + ": workspaces")};
}

} // namespace

KernelCache::Lookup KernelCache::find(const std::string& key) const {
  std::string whole = wholeKey(key);
  fs::path path = entryOf(folder_, whole);
  std::error_code code;
  if (!fs::exists(path, code))
    return {};
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  try {
    codegen::KernelImage image = parseEntry(bytes, whole, path.string());
    utimensat(AT_FDCWD, path.c_str(), nullptr, 0); // an entry's time is its last use; a folder that cannot be written stays as it is
    return {std::move(image), false};
  } catch (const Error&) {
    return {std::nullopt, fs::exists(path, code)}; // or another process removed it meanwhile
  }
}

void KernelCache::store(const std::string& key, const codegen::KernelImage& image, const std::string& target) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error)
    throw Error(Fault::System, fmt::format("{}: cannot make the cache's folder: {}", folder_.string(), error.message()));
  std::string whole = wholeKey(key);
  nlohmann::ordered_json launch{{"symbol", image.symbol},
                                {"target", target},
                                {"sizes", sizesToJson(image.sizes)},
                                {"stages", stagesToJson(image.stages)},
                                {"workspaces", sizesToJson(image.workspaces)}};
  std::string text = launch.dump();
  writeFileAtomically(entryOf(folder_, whole), Container::write({{"key", bytesOf(whole)}, {"launch", bytesOf(text)}, {"image", image.image}}), Sync::No);
}

} // namespace moec::compiler
