#include "tests/fuzz/Targets.h"

namespace moec::fuzz {

const std::vector<Target>& targets() {
  static const std::vector<Target> list{
      {"image", image},         {"json", json},       {"model", model},     {"npy", npy},         {"program", program}, {"safetensors", safetensors},
      {"tokenizer", tokenizer}, {"records", records}, {"choices", choices}, {"results", results}, {"tuning", tuning}};
  return list;
}

} // namespace moec::fuzz
