#include "tests/codegen/cuda/ClangPtx.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

namespace moec::testing {

std::string missingClang() {
  if (std::string(MOEC_TEST_CLANG).empty() || access(MOEC_TEST_CLANG, X_OK) != 0)
    return "clang-22 is not installed";
  return {};
}

namespace {

/// A folder of its own, gone at the end.
struct Folder {
  std::string path = (std::filesystem::temp_directory_path() / "moec-clang-XXXXXX").string();
  Folder() {
    if (!mkdtemp(path.data()))
      throw std::runtime_error("cannot make a folder " + path);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string read(const std::string& name) const {
    std::stringstream text;
    text << std::ifstream(path + "/" + name, std::ios::binary).rdbuf();
    return text.str();
  }
};

} // namespace

std::string clangPtx(const std::string& text, const std::string& arch) {
  Folder folder;
  std::ofstream(folder.path + "/kernel.cu", std::ios::binary) << text;
  // No toolkit: the version of PTX, else that of the toolkit that is found, is named (8.7 knows all architectures).
  std::string command =
      fmt::format("cd '{}' && '{}' -x cuda --cuda-device-only --cuda-gpu-arch={} --cuda-path=none -nocudainc -nocudalib -Xclang -target-feature "
                  "-Xclang +ptx87 -std=c++17 -O2 -ffp-contract=off -gline-tables-only -include '{}' -S kernel.cu -o kernel.ptx > log 2>&1",
                  folder.path, MOEC_TEST_CLANG, arch, MOEC_CLANG_PRELUDE);
  if (std::system(command.c_str()) != 0)
    throw std::runtime_error("clang refuses the kernel's text:\n" + folder.read("log"));
  return folder.read("kernel.ptx");
}

} // namespace moec::testing
