#pragma once
// What takes bytes from strangers, as functions of bytes. Each returns for any input: a refusal is a moec::Error or a diagnostic with a place. Anything
// else that happens (a crash, another exception, a broken promise) is a finding.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moec::fuzz {

using Bytes = std::span<const uint8_t>;

void model(Bytes bytes);       // a model file: parsed, checked, built
void program(Bytes bytes);     // a .moec file, its digests made right first, or a manifest: opened, plans checked and laid out
void safetensors(Bytes bytes); // a file of weights
void npy(Bytes bytes);         // a NumPy array
void image(Bytes bytes);       // PNG, JPEG
void json(Bytes bytes);        // a tensor as JSON numbers; the first byte chooses the dtype
void tokenizer(Bytes bytes);   // a tokenizer.json or a SentencePiece model: opened, a text encoded and decoded
void records(Bytes bytes);     // files of records: the first byte chooses IDX, CIFAR or a table

void choices(Bytes bytes); // a record of a training's choices, its checks made right first

struct Target {
  std::string name;
  void (*run)(Bytes bytes);
};
const std::vector<Target>& targets();

} // namespace moec::fuzz
