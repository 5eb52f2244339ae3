#include "runtime/io/Image.h"

#include "runtime/core/Error.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/ImageCodecs.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>

namespace moec {

Tensor decodeImage(std::span<const uint8_t> bytes, const std::string& where) {
  switch (fileKind(bytes)) {
  case FileKind::Png:
    return decodePng(bytes, where);
  case FileKind::Jpeg:
    return decodeJpeg(bytes, where);
  default:
    throw Error(Fault::Data, fmt::format("{}: not a picture: expected PNG or JPEG, found {}", where, describeFirstBytes(bytes)));
  }
}

Tensor readImage(const std::filesystem::path& path) { return decodeImage(MappedFile::open(path).bytes(), path.string()); }

} // namespace moec
