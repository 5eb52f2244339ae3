#include "compiler/cli/ProgramCache.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cpuid.h>
#include <cstdlib>

namespace moec::cli {

namespace fs = std::filesystem;

fs::path userCacheFolder() {
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder == '/')
    return fs::path(folder) / "moec";
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return fs::path(home) / ".cache" / "moec";
  return {};
}

std::optional<ProgramCache> ProgramCache::ofUser() {
  fs::path folder = userCacheFolder();
  return folder.empty() ? std::nullopt : std::optional(ProgramCache(folder));
}

namespace {

/// A hash over fields, each led by its length: two different lists of fields never hash the same bytes.
class FieldHash {
public:
  FieldHash() { XXH3_128bits_reset(&state_); }
  FieldHash& add(const void* data, uint64_t size) {
    XXH3_128bits_update(&state_, &size, sizeof size);
    XXH3_128bits_update(&state_, data, size);
    return *this;
  }
  FieldHash& add(std::string_view text) { return add(text.data(), text.size()); }
  FieldHash& add(uint64_t number) { return add(&number, sizeof number); }
  std::string digits() {
    XXH128_hash_t hash = XXH3_128bits_digest(&state_);
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  }

private:
  XXH3_state_t state_;
};

} // namespace

std::string ProgramCache::key(std::span<const uint8_t> model, const CompileOptions& options,
                              const std::string& sourceId, const std::string& hostCpu) {
  FieldHash hash;
  hash.add("moec program").add(sourceId).add(hostCpu).add(model.data(), model.size());
  hash.add(options.targets.size());
  for (const std::string& target : options.targets)
    hash.add(target);
  hash.add(options.drawsAsInputs).add(options.checkSizes).add(options.moefy).add(options.let.size());
  for (const auto& [name, value] : options.let)
    hash.add(name).add(static_cast<uint64_t>(value));
  return hash.digits();
}

std::optional<Program> ProgramCache::find(const std::string& key) const {
  std::error_code ignored;
  if (!fs::exists(entry(key), ignored))
    return {};
  try {
    return Program::load(entry(key));
  } catch (const Error&) {
    return {}; // damaged: compiled again and written over
  }
}

void ProgramCache::store(const std::string& key, const Program& program) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error)
    throw Error(Fault::System,
                fmt::format("{}: cannot make the cache's folder: {}", folder_.string(), error.message()));
  program.save(entry(key));
}

std::string hostCpu() {
  std::string result;
  unsigned a = 0, b = 0, c = 0, d = 0;
  auto leaf = [&](unsigned number, unsigned sub) {
    a = b = c = d = 0;
    __get_cpuid_count(number, sub, &a, &b, &c, &d);
  };
  leaf(0, 0);
  result += fmt::format("{:08x}{:08x}{:08x}", b, d, c); // the maker
  leaf(1, 0);
  result += fmt::format(".{:08x}.{:08x}{:08x}", a, c, d); // family and model; b holds the number of the core
  bool hasXgetbv = (c >> 27 & 1) != 0;
  leaf(7, 0);
  unsigned subleaves = a;
  result += fmt::format(".{:08x}{:08x}{:08x}", b, c, d);
  if (subleaves >= 1) {
    leaf(7, 1);
    result += fmt::format(".{:08x}{:08x}", a, d);
  }
  if (hasXgetbv) { // which registers the system saves
    unsigned low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    result += fmt::format(".{:08x}{:08x}", high, low);
  }
  return result;
}

} // namespace moec::cli
