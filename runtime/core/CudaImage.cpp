#include "runtime/core/CudaImage.h"

#include "runtime/core/Container.h"
#include "runtime/core/Error.h"

namespace moec {

namespace {

std::span<const uint8_t> bytesOf(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

} // namespace

std::vector<uint8_t> CudaImage::bytes() const {
  return Container::write({{"file", bytesOf(fileName)}, {"cuda", bytesOf(source)}, {"ptx", bytesOf(ptx)}, {"cubin", cubin}});
}

CudaImage CudaImage::parse(std::span<const uint8_t> bytes, const std::string& where) {
  Container container = Container::parse(bytes, where);
  auto section = [&](std::string_view name) {
    const Container::Section* found = container.find(name);
    if (!found)
      throw Error(Fault::Data, where + ": a CUDA image without its section '" + std::string(name) + "'");
    return found->bytes;
  };
  auto text = [&](std::string_view name) {
    auto found = section(name);
    return std::string(found.begin(), found.end());
  };
  auto cubin = section("cubin");
  return {text("file"), text("cuda"), text("ptx"), {cubin.begin(), cubin.end()}};
}

} // namespace moec
