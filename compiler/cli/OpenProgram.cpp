#include "compiler/cli/OpenProgram.h"

#include "compiler/cli/ProgramCache.h"
#include "compiler/cli/Table.h"
#include "models/json/Parse.h"
#include "moec_build_id.h"
#include "runtime/core/Error.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <unistd.h>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

/// One line on the terminal, rewritten as phases end, and wiped at last.
class ProgressLine {
public:
  explicit ProgressLine(std::string file) : file_(std::move(file)) {
    fmt::print(stderr, "moec: compiling {} ...", file_);
  }
  ~ProgressLine() { fmt::print(stderr, "\r\033[K"); }
  void ended(const std::string& phase, double seconds) {
    done_ += fmt::format(" {} {}", phase, shortSeconds(seconds));
    fmt::print(stderr, "\r\033[Kmoec: compiling {}:{} ...", file_, done_);
  }

private:
  std::string file_, done_;
};

} // namespace

CompileOptions compileOptions(const CommonOptions& common, CompileOptions options) {
  if (!common.targets.empty())
    options.targets = common.targets;
  options.moefy = common.moefy;
  if (fs::path cache = userCacheFolder(); !common.noCache && !cache.empty())
    options.kernelCache = cache / "kernels";
  if (isatty(STDERR_FILENO)) {
    auto line = std::make_shared<ProgressLine>(common.file.filename().string());
    options.onPhase = [line](const std::string& phase, double seconds) { line->ended(phase, seconds); };
  }
  return options;
}

void warnOfCache(const std::string& problem) {
  if (!problem.empty())
    fmt::print(stderr, "moec: warning: what was compiled is not cached: {}\n", problem);
}

std::vector<std::string> targetsFor(const std::vector<std::shared_ptr<Device>>& devices) {
  std::vector<std::string> targets;
  for (const auto& device : devices)
    for (const std::string& target : device->targets())
      if (std::ranges::find(targets, target) == targets.end())
        targets.push_back(target);
  // The CPU alone: the targets that a compilation without any has, so that both share the cache's entry.
  return targets == std::vector<std::string>{"cpu"} ? std::vector<std::string>{} : targets;
}

bool isProgramFile(const std::filesystem::path& path) {
  MappedFile file = MappedFile::open(path);
  FileKind kind = fileKind(file.bytes());
  if (kind == FileKind::Program)
    return true;
  // A .json that does not begin like JSON is still a model: the compiler says where it goes wrong.
  if (kind == FileKind::Json || path.extension() == ".json" || path.extension() == ".mlir")
    return false;
  throw Error(Fault::Data, fmt::format("{}: expected a model (JSON) or a compiled program; found {}", path.string(),
                                       describeFirstBytes(file.bytes())));
}

OpenedProgram openProgram(const CommonOptions& common, CompileOptions options) {
  if (isProgramFile(common.file)) {
    for (auto [given, flag] :
         {std::pair(!common.targets.empty(), "--target"), std::pair(!common.moefy.empty(), "--moefy")})
      if (given)
        throw Error(Fault::Usage,
                    fmt::format("{}: {} changes how a model is compiled, but this file is compiled already",
                                common.file.string(), flag));
    return {.program = Program::load(common.file), .precompiled = true, .compiled = {}};
  }

  // A model that is too large is refused by its reader, and not digested before.
  std::error_code unknown;
  bool tooLarge = std::filesystem::file_size(common.file, unknown) > models::kLargestText && !unknown;
  auto cache = common.noCache || tooLarge ? std::nullopt : ProgramCache::ofUser();
  std::string key;
  if (cache) {
    if (!common.targets.empty())
      options.targets = common.targets;
    options.moefy = common.moefy;
    key = ProgramCache::key(MappedFile::open(common.file).bytes(), options, sourceId(), hostCpu());
    if (auto found = cache->find(key))
      return {.program = *found, .fromCache = true, .compiled = {}};
  }
  CompileResult result = compileFile(common.file, compileOptions(common, std::move(options)));
  if (!result.program)
    throw Error(Fault::Internal, fmt::format("{}: the compiler gave no program", common.file.string()));
  Program program = *result.program;
  std::string problem = result.cacheProblem;
  if (cache) {
    try {
      cache->store(key, program);
    } catch (const Error& error) {
      problem = error.what();
    }
  }
  warnOfCache(problem);
  return {.program = std::move(program), .compiled = std::move(result)};
}

} // namespace moec::cli
