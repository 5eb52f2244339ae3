#include "codegen/cuda/NvrtcNames.h"

#include <fmt/format.h>

namespace moec::codegen::cuda {

namespace {

constexpr const char* kFolder = "/moec/";

bool isPlain(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'; }

/// ptxas takes printable ASCII and octal escapes, and no other ones.
std::string inPtx(const std::string& name) {
  std::string text;
  for (unsigned char c : name)
    text += c < ' ' || c > '~' || c == '"' || c == '\\' ? fmt::format("\\{:03o}", c) : std::string(1, static_cast<char>(c));
  return text;
}

} // namespace

std::string nvrtcName(const CudaSource& source) {
  std::string name = source.fileName.substr(source.fileName.rfind('/') + 1);
  for (char& c : name)
    if (!isPlain(static_cast<unsigned char>(c)))
      c = '_';
  return kFolder + name;
}

std::string nvrtcText(const CudaSource& source) {
  if (source.declarations.empty())
    return source.text;
  return fmt::format("{}\n#line 1 \"{}\"\n{}", source.text, kDeclarationsName, source.declarations);
}

std::string withFileName(const std::string& ptx, const CudaSource& source) {
  std::string named = "\"" + nvrtcName(source) + "\"", wanted = "\"" + inPtx(source.fileName) + "\"", text;
  for (size_t begin = 0; begin < ptx.size();) {
    size_t end = std::min(ptx.find('\n', begin), ptx.size() - 1) + 1;
    std::string line = ptx.substr(begin, end - begin);
    size_t at = line.find(named);
    if (at != std::string::npos && line.find_first_not_of(" \t") == line.find(".file"))
      line.replace(at, named.size(), wanted);
    text += line;
    begin = end;
  }
  return text;
}

} // namespace moec::codegen::cuda
