#pragma once
// What takes bytes from strangers, as functions of bytes. Each returns for any input, true where it was taken: a refusal is a moec::Error or a diagnostic
// with a place. Anything else that happens (a crash, another exception, a broken promise) is a finding.

#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <vector>

namespace moec::fuzz {

using Bytes = std::span<const uint8_t>;

bool model(Bytes bytes);       // a model file: parsed, checked, built
bool program(Bytes bytes);     // a .moec file, its digests made right first, or a manifest: opened, plans checked and laid out
bool safetensors(Bytes bytes); // a file of weights
bool npy(Bytes bytes);         // a NumPy array
bool image(Bytes bytes);       // PNG, the sums of its chunks made right first; JPEG
bool json(Bytes bytes);        // JSON numbers: the first byte chooses the dtype of a tensor, or results by name
bool tokenizer(Bytes bytes);   // a tokenizer.json or a SentencePiece model: opened, a text encoded and decoded
bool records(Bytes bytes);     // files of records: the first byte chooses IDX, CIFAR or a table, and whether its numbers are asked for as f64
bool results(Bytes bytes);     // a result of `moec bench`: read, compared with itself
bool tuning(Bytes bytes);      // a database of tuned schedules: read; taken where it has an entry
bool choices(Bytes bytes);     // a record of a training's choices, its checks made right first

struct Target {
  std::string name;
  bool (*run)(Bytes bytes);
};
inline void PrintTo(const Target& one, std::ostream* stream) { *stream << one.name; }
const std::vector<Target>& targets();

} // namespace moec::fuzz
