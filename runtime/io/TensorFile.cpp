#include "runtime/io/TensorFile.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"
#include "runtime/io/JsonTensor.h"
#include "runtime/io/Npy.h"
#include "runtime/io/SafeTensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace moec {

std::string toJsonText(const TensorMap& tensors) {
  std::string result = "{";
  for (const auto& [key, tensor] : tensors)
    result += fmt::format("{}{}: {{\"dtype\": \"{}\", \"shape\": [{}], \"values\": {}}}", result.size() == 1 ? "" : ", ", nlohmann::json(key).dump(),
                          name(tensor.dtype()), fmt::join(tensor.shape(), ", "), toJsonText(tensor));
  return result + "}";
}

void checkTensorFile(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  if (ending != ".npy" && ending != ".safetensors" && ending != ".json")
    throw Error(Fault::Usage, fmt::format("{}: cannot tell the format from the name; expected .npy, .safetensors or .json", path.string()));
}

void writeTensors(const std::filesystem::path& path, const TensorMap& tensors) {
  checkTensorFile(path);
  std::string ending = path.extension().string();
  if (ending == ".safetensors")
    return writeSafeTensors(path, tensors);
  if (ending == ".json")
    return writeFileAtomically(path, toJsonText(tensors) + "\n");
  if (tensors.size() != 1) {
    std::string names;
    for (const auto& [key, tensor] : tensors)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", key);
    throw Error(Fault::Usage,
                fmt::format("{}: .npy holds one tensor, but there are {}: {}; write .safetensors or .json", path.string(), tensors.size(), names));
  }
  writeNpy(path, tensors.begin()->second);
}

} // namespace moec
