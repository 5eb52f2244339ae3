#include "runtime/io/InputFile.h"

#include "runtime/core/Error.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/Image.h"
#include "runtime/io/JsonTensor.h"
#include "runtime/io/MappedFile.h"
#include "runtime/io/Npy.h"
#include "runtime/io/Photo.h"
#include "runtime/io/SafeTensors.h"

#include <fmt/format.h>

namespace moec {

namespace {

std::string describe(const InputInfo& input) {
  std::string sizes;
  for (const Size& size : input.shape)
    sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", size.str());
  return fmt::format("{}[{}]", name(input.dtype), sizes);
}

bool sizesFit(const Shape& shape, const InputInfo& input, size_t skipped) {
  if (shape.size() + skipped != input.shape.size())
    return false;
  for (size_t i = 0; i < shape.size(); ++i)
    if (input.shape[i + skipped].constant().value_or(shape[i]) != shape[i])
      return false;
  return true;
}

Tensor fitted(const Tensor& tensor, const InputInfo& input, const std::string& where) {
  bool symbolicFirst = !input.shape.empty() && !input.shape[0].isConstant();
  if (tensor.dtype() != input.dtype)
    throw Error(Fault::Data, fmt::format("{}: {}, but input \"{}\" takes {}; store it as {}", where, moec::describe(tensor), input.name, describe(input),
                                         name(input.dtype)));
  if (sizesFit(tensor.shape(), input, 0))
    return tensor;
  if (!symbolicFirst || !sizesFit(tensor.shape(), input, 1))
    throw Error(Fault::Data, fmt::format("{}: {}, but input \"{}\" takes {}", where, moec::describe(tensor), input.name, describe(input)));
  Shape shape = tensor.shape();
  shape.insert(shape.begin(), 1);
  return tensor.reshaped(shape);
}

/// Of several tensors the one of the input's name; or the only one.
Tensor chosen(const TensorMap& tensors, const InputInfo& input, const std::string& where) {
  if (auto found = tensors.find(input.name); found != tensors.end())
    return found->second;
  if (tensors.size() == 1)
    return tensors.begin()->second;
  std::string names;
  for (const auto& [known, tensor] : tensors)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", known);
  throw Error(Fault::Data, fmt::format("{}: no tensor \"{}\" among its {}: {}", where, input.name, tensors.size(), names));
}

bool beginsWithBrace(std::span<const uint8_t> text) {
  for (uint8_t c : text)
    if (std::string_view(" \t\r\n\xEF\xBB\xBF").find(static_cast<char>(c)) == std::string_view::npos)
      return c == '{';
  return false;
}

} // namespace

Tensor readInput(const InputInfo& input, const std::filesystem::path& path) {
  std::string where = path.string();
  MappedFile file = MappedFile::open(path);
  requireInputKind(file.bytes(), input.name, where);
  switch (fileKind(file.bytes())) {
  case FileKind::Png:
  case FileKind::Jpeg:
    return photoToInput(decodeImage(file.bytes(), where), input, where);
  case FileKind::Npy:
    return fitted(parseNpy(file.bytes(), file.owner(), where), input, where);
  case FileKind::SafeTensors:
    return fitted(chosen(parseSafeTensors(file.bytes(), file.owner(), where), input, where), input, where);
  case FileKind::Json:
    return fitted(beginsWithBrace(file.bytes()) ? chosen(parseJsonTensors(file.bytes(), where), input, where)
                                                : parseJsonTensor(file.bytes(), input.dtype, where),
                  input, where);
  case FileKind::Program:
  case FileKind::Unknown:
    break; // requireInputKind refuses them
  }
  throw Error(Fault::Internal, where + ": a kind of file that no input is read from");
}

} // namespace moec
