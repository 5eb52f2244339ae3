#include "codegen/cuda/UserTexts.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

namespace moec::codegen::cuda {

namespace {

namespace fs = std::filesystem;

std::string readText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || file.peek() == std::ifstream::traits_type::eof() || !(text << file.rdbuf()))
    throw Error(Fault::Data, path.string() + ": cannot be read as CUDA text: it is empty, no file, or not readable");
  std::string read = text.str();
  if (size_t zero = read.find('\0'); zero != std::string::npos)
    throw Error(Fault::Data,
                fmt::format("{}: is no CUDA text: its byte {} is zero, and a compiler would not see what stands behind it; the file may be damaged",
                            path.string(), zero));
  return read;
}

} // namespace

UserTexts::UserTexts(const fs::path& folder) {
  if (folder.empty())
    return;
  std::error_code code;
  fs::directory_iterator at(folder, code);
  for (fs::directory_iterator end; !code && at != end; at.increment(code))
    if (at->path().extension() == ".cu")
      texts_[at->path().stem().string()] = {at->path().string(), readText(at->path()), {}};
  if (code)
    throw Error(Fault::Data, folder.string() + ": cannot be read as a folder of CUDA texts: " + code.message() +
                                 "; `moec compile MODEL --target cuda:sm_90a --emit cuda --kernels " + folder.string() + "` writes moec's texts there");
  if (texts_.empty())
    throw Error(Fault::Data, folder.string() + ": holds no CUDA text, <kernel>.cu");
}

const CudaSource* UserTexts::find(const std::string& symbol) const {
  auto found = texts_.find(symbol);
  return found == texts_.end() ? nullptr : &found->second;
}

} // namespace moec::codegen::cuda
