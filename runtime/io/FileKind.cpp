#include "runtime/io/FileKind.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace moec {

using namespace std::string_view_literals;

namespace {

std::string_view textOf(std::span<const uint8_t> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

bool isSafeTensors(std::string_view text) {
  if (text.size() < 9 || text[8] != '{')
    return false;
  // The header's length, little-endian; a header of 2^32 bytes is no header.
  return text.substr(4, 4) == "\0\0\0\0"sv;
}

bool isJson(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF"))
    text.remove_prefix(3);
  size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && "[{-0123456789\""sv.find(text[first]) != std::string_view::npos;
}

struct Stranger {
  std::string_view start, name;
};
constexpr std::array<Stranger, 14> kStrangers{{{"GIF8", "a GIF picture"},
                                               {"BM", "a BMP picture"},
                                               {"II*\0"sv, "a TIFF picture"},
                                               {"MM\0*"sv, "a TIFF picture"},
                                               {"PK\3\4", "a zip archive (.npz and PyTorch's .pt are such)"},
                                               {"\x1f\x8b", "a gzip file"},
                                               {"(\xb5/\xfd", "a zstd file"},
                                               {"\x7f"
                                                "ELF",
                                                "an ELF binary"},
                                               {"%PDF", "a PDF document"},
                                               {"\x80\2", "a Python pickle"},
                                               {"\x80\4", "a Python pickle"},
                                               {"\x89HDF", "an HDF5 file"},
                                               {"GGUF", "a GGUF file"},
                                               {"<", "XML or HTML text"}}};

} // namespace

FileKind fileKind(std::span<const uint8_t> bytes) {
  std::string_view text = textOf(bytes);
  if (text.starts_with("\x89PNG\r\n\x1a\n"))
    return FileKind::Png;
  if (text.starts_with("\xFF\xD8\xFF"))
    return FileKind::Jpeg;
  if (text.starts_with("\x93NUMPY"))
    return FileKind::Npy;
  if (text.starts_with("moec\r\n\x1a\n"))
    return FileKind::Program;
  if (isSafeTensors(text))
    return FileKind::SafeTensors;
  if (isJson(text))
    return FileKind::Json;
  return FileKind::Unknown;
}

std::string describeFirstBytes(std::span<const uint8_t> bytes) {
  if (bytes.empty())
    return "an empty file";
  std::string_view text = textOf(bytes);
  if (text.starts_with("RIFF") && text.substr(std::min<size_t>(8, text.size())).starts_with("WEBP"))
    return "a WebP picture";
  if (text.substr(std::min<size_t>(4, text.size())).starts_with("ftyp"))
    return "a HEIF, AVIF or MP4 file";
  switch (fileKind(bytes)) {
  case FileKind::Png:
    return "a PNG picture";
  case FileKind::Jpeg:
    return "a JPEG picture";
  case FileKind::Npy:
    return "an .npy file";
  case FileKind::Program:
    return "a compiled program";
  case FileKind::SafeTensors:
    return "a safetensors file";
  default:
    break;
  }
  for (const Stranger& stranger : kStrangers)
    if (text.starts_with(stranger.start))
      return std::string(stranger.name);
  if (fileKind(bytes) == FileKind::Json)
    return "JSON text";
  std::string hex, plain;
  for (char c : text.substr(0, 8)) {
    hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", static_cast<unsigned char>(c));
    plain += c >= ' ' && c <= '~' ? c : '.';
  }
  return fmt::format("{} (\"{}\")", hex, plain);
}

void requireInputKind(std::span<const uint8_t> bytes, const std::string& input, const std::string& where) {
  if (FileKind kind = fileKind(bytes); kind == FileKind::Program || kind == FileKind::Unknown)
    throw Error(Fault::Data, fmt::format("{}: for input \"{}\", expected a picture (PNG, JPEG), .npy, safetensors or JSON numbers; found {}", where, input,
                                         describeFirstBytes(bytes)));
}

} // namespace moec
