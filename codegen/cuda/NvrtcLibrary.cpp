#include "codegen/cuda/NvrtcLibrary.h"

#include "codegen/cuda/Nvrtc.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>

namespace moec::codegen::cuda {

namespace {

namespace fs = std::filesystem;

constexpr int kOldestMajor = 12, kNewestMajor = 19;

fs::path environmentPath(const char* name) {
  const char* value = std::getenv(name);
  return value ? fs::path(value) : fs::path();
}

fs::path thisLibrary() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&nvrtcLibrary), &info) || !info.dli_fname)
    return {};
  std::error_code ignored;
  return fs::weakly_canonical(info.dli_fname, ignored);
}

/// Entries of a folder whose names begin with `prefix`, the last name first: newer versions before older ones.
std::vector<fs::path> entries(const fs::path& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
    if (at->path().filename().string().starts_with(prefix))
      found.push_back(at->path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

/// The folders of Python's packages in which a wheel may have put the library.
std::vector<fs::path> packageFolders() {
  std::vector<fs::path> folders;
  for (fs::path at = thisLibrary(); at.has_relative_path(); at = at.parent_path())
    if (at.filename() == "site-packages" || at.filename() == "dist-packages")
      folders.push_back(at);
  fs::path home = environmentPath("HOME");
  for (const fs::path& root :
       {environmentPath("VIRTUAL_ENV"), environmentPath("CONDA_PREFIX"), home.empty() ? home : home / ".local", fs::path("/usr/local"), fs::path("/usr")})
    if (!root.empty())
      for (const fs::path& python : entries(root / "lib", "python3"))
        for (const char* packages : {"site-packages", "dist-packages"})
          folders.push_back(python / packages);
  return folders;
}

/// In the order in which they are tried; only those that exist are opened, all are named when none has the library.
std::vector<fs::path> usualFolders() {
  std::vector<fs::path> folders;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (fs::path root = environmentPath(name); !root.empty())
      folders.insert(folders.end(), {root / "lib64", root / "lib"});
  for (const fs::path& root : entries("/usr/local", "cuda"))
    folders.push_back(root / "lib64");
  for (const char* folder : {"/opt/cuda/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"})
    folders.push_back(folder);
  for (const fs::path& packages : packageFolders())
    for (const char* wheel : {"cu13", "cuda_nvrtc"})
      folders.push_back(packages / "nvidia" / wheel / "lib");
  return folders;
}

template <class Function> bool take(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

struct Search {
  std::optional<NvrtcLibrary> found;
  std::vector<std::string> looked; // a place each, with what was wrong with the library there

  /// `name` is a path or, for the loader to find, a soname.
  bool open(const std::string& name) {
    void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle)
      return refuse(name, dlerror());
    NvrtcLibrary library{};
    if (!take(handle, "nvrtcGetErrorString", library.errorString) || !take(handle, "nvrtcVersion", library.version) ||
        !take(handle, "nvrtcCreateProgram", library.createProgram) || !take(handle, "nvrtcDestroyProgram", library.destroyProgram) ||
        !take(handle, "nvrtcCompileProgram", library.compileProgram) || !take(handle, "nvrtcGetProgramLogSize", library.logSize) ||
        !take(handle, "nvrtcGetProgramLog", library.log) || !take(handle, "nvrtcGetPTXSize", library.ptxSize) || !take(handle, "nvrtcGetPTX", library.ptx) ||
        !take(handle, "nvrtcGetCUBINSize", library.cubinSize) || !take(handle, "nvrtcGetCUBIN", library.cubin) ||
        library.version(&library.major, &library.minor) != 0)
      return refuse(name, "not a libnvrtc that gives machine code");
    Dl_info info{};
    dladdr(reinterpret_cast<void*>(library.version), &info);
    library.path = info.dli_fname ? info.dli_fname : name;
    // The library opens its builtins by their soname at the first compilation, and does not look beside itself: they are put in its way.
    std::string builtins = fmt::format("libnvrtc-builtins.so.{}.{}", library.major, library.minor);
    fs::path beside = fs::path(library.path).parent_path() / builtins;
    if (!dlopen(beside.c_str(), RTLD_NOW | RTLD_GLOBAL) && !dlopen(builtins.c_str(), RTLD_NOW | RTLD_GLOBAL))
      return refuse(name, dlerror());
    found = library;
    return true;
  }

  bool refuse(const std::string& name, const std::string& why) {
    looked.push_back(name + ": " + why);
    return false;
  }

  bool openIn(const fs::path& folder) {
    size_t before = looked.size();
    for (int major = kNewestMajor; major >= kOldestMajor; --major) {
      fs::path path = folder / fmt::format("libnvrtc.so.{}", major);
      std::error_code code;
      if (fs::exists(path, code) && open(path.string()))
        return true;
    }
    if (looked.size() == before)
      looked.push_back(folder.string());
    return false;
  }

  bool openBySoname() {
    size_t before = looked.size();
    for (int major = kNewestMajor; major >= kOldestMajor; --major)
      if (open(fmt::format("libnvrtc.so.{}", major)))
        return true;
    looked.resize(before);
    looked.push_back(fmt::format("the loader's folders (libnvrtc.so.{} to libnvrtc.so.{})", kOldestMajor, kNewestMajor));
    return false;
  }
};

Search search() {
  Search search;
  if (fs::path only = environmentPath("MOEC_NVRTC_DIR"); !only.empty()) {
    search.openIn(only);
    return search;
  }
  if (search.openBySoname())
    return search;
  for (const fs::path& folder : usualFolders())
    if (search.openIn(folder))
      return search;
  return search;
}

const Search& searched() {
  static const Search once = search();
  return once;
}

} // namespace

const NvrtcLibrary* nvrtcLibrary() { return searched().found ? &*searched().found : nullptr; }

std::string nvrtcVersion() {
  const NvrtcLibrary* library = nvrtcLibrary();
  return library ? fmt::format("{}.{}", library->major, library->minor) : std::string();
}

std::string nvrtcBuild() {
  const NvrtcLibrary* library = nvrtcLibrary();
  if (!library)
    return {};
  std::error_code ignored;
  return fmt::format("{} {} {}", nvrtcVersion(), fs::file_size(library->path, ignored), fs::last_write_time(library->path, ignored).time_since_epoch().count());
}

std::string missingNvrtc() {
  if (nvrtcLibrary())
    return {};
  std::string message = "CUDA targets need NVRTC, and no libnvrtc was found; looked at:";
  for (const std::string& place : searched().looked)
    message += "\n  " + place;
  return message + "\ninstall the CUDA toolkit 12.8 or newer, or the PyPI package nvidia-cuda-nvrtc, or name the folder of libnvrtc.so by MOEC_NVRTC_DIR "
                   "(which is then the only place looked at)";
}

} // namespace moec::codegen::cuda
