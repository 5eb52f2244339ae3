#include "runtime/Compile.h"

#include "runtime/core/BuildId.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <dlfcn.h>
#include <mutex>
#include <system_error>

namespace moec {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libmoec_compiler.so";

std::mutex mutex;                                 // guards the two below
fs::path chosenPath;                              // empty: the usual places
const CompilerInterface* openedLibrary = nullptr; // never closed: MLIR keeps threads and statics

fs::path folderOfThisLibrary() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&compilerLibrary), &info) || !info.dli_fname)
    return {};
  std::error_code code;
  return fs::weakly_canonical(info.dli_fname, code).parent_path();
}

std::vector<fs::path> places() {
  if (!chosenPath.empty())
    return {chosenPath};
  std::vector<fs::path> found;
  auto add = [&](const fs::path& folder) {
    fs::path path = (folder / kLibrary).lexically_normal();
    if (!folder.empty() && std::find(found.begin(), found.end(), path) == found.end())
      found.push_back(path);
  };
  std::error_code code;
  fs::path executable = fs::read_symlink("/proc/self/exe", code).parent_path();
  add(executable);
  if (!executable.empty())
    add(executable / ".." / "lib");
  add(folderOfThisLibrary());
  return found;
}

fs::path findLibrary() {
  std::error_code code;
  for (const fs::path& path : places())
    if (fs::is_regular_file(path, code))
      return path;
  return {};
}

std::string describeAbsence() {
  std::string message = fmt::format("the compiler library {} is not installed; looked at:", kLibrary);
  for (const fs::path& path : places())
    message += "\n  " + path.string();
  return message;
}

const CompilerInterface& openLibrary() {
  fs::path path = findLibrary();
  if (path.empty())
    throw Error(Fault::Device, describeAbsence());
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw Error(Fault::Device, fmt::format("{}: cannot open: {}", path.string(), dlerror()));
  const auto* interface = static_cast<const CompilerInterface*>(dlsym(library, "moecCompilerInterface"));
  if (!interface)
    throw Error(Fault::Device, fmt::format("{}: no moec compiler library (it lacks moecCompilerInterface)", path.string()));
  if (std::string_view(interface->buildId) != kBuildId)
    throw Error(Fault::Device, fmt::format("{}: its build is {}, the runtime's {}; install both from one build", path.string(), interface->buildId, kBuildId));
  return *interface;
}

} // namespace

const CompilerInterface& compilerLibrary() {
  std::lock_guard lock(mutex);
  if (!openedLibrary)
    openedLibrary = &openLibrary();
  return *openedLibrary;
}

void setCompilerLibrary(const fs::path& path) {
  std::lock_guard lock(mutex);
  if (openedLibrary)
    throw Error(Fault::Usage, "the compiler library is already open");
  chosenPath = path;
}

std::string missingCompilerLibrary() {
  std::lock_guard lock(mutex);
  return openedLibrary || !findLibrary().empty() ? "" : describeAbsence();
}

std::string missingCudaCompiler() {
  try {
    return compilerLibrary().missingNvrtc();
  } catch (const Error& error) {
    return error.what();
  }
}

CompileResult compileFile(const fs::path& model, const CompileOptions& options) { return compilerLibrary().compileFile(model, options); }

Program compile(const fs::path& model, const CompileOptions& options) {
  CompileResult result = compileFile(model, options);
  if (!result.program)
    throw Error(Fault::Usage, "compile gives no program with stopAfter or emit: use compileFile");
  return std::move(*result.program);
}

} // namespace moec
