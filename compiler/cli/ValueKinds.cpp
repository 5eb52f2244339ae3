#include "compiler/cli/ValueKinds.h"

#include "compiler/cli/Schemas.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/CudaTarget.h"
#include "runtime/train/Config.h"

#include <algorithm>

namespace moec::cli {

namespace {

std::vector<std::string> targetWords() {
  std::vector<std::string> words{"cpu"};
  for (const CpuTarget& target : cpuTargets())
    words.push_back(target.name);
  for (const CudaTarget& target : cudaTargets())
    words.push_back(target.name);
  return words;
}

std::vector<std::string> deviceWords() {
  std::vector<std::string> words{"cpu", "cuda:0", "reference"};
  for (const CudaTarget& target : cudaTargets())
    words.push_back("ptx-emulator:" + target.arch);
  return words;
}

/// Of a setting of a training; the empty one is what stands for nothing.
std::vector<std::string> settingWords(std::string_view name) {
  std::vector<std::string> words;
  for (const train::ConfigKey& key : train::configKeys())
    if (key.name == name)
      words = key.words;
  std::erase(words, "");
  return words;
}

std::vector<std::string> schemaWords() {
  std::vector<std::string> words;
  for (const auto& [command, text] : schemas())
    words.push_back(command);
  return words;
}

} // namespace

const std::vector<ValueKind>& valueKinds() {
  static const std::vector<ValueKind> kinds{
      {.name = "MODEL", .description = "a model (.json), or a program that `moec compile` made (.moec)", .endings = {"json", "moec", "mlir"}, .isFile = true},
      {.name = "TARGETS", .description = "what to compile for, with commas between: cpu is this machine", .words = targetWords(), .isList = true},
      {.name = "DEVICE", .description = "where to run; `moec devices` lists what is there, check(A,B) runs two in lock-step", .words = deviceWords()},
      {.name = "PHASE", .description = "of the compiler, in this order", .words = {"import", "grad", "fuse", "schedule", "plan", "emit", "pack"}},
      {.name = "FORM", .description = "of kernels: llvm and asm of a CPU target, cuda and ptx of a CUDA one", .words = {"llvm", "asm", "cuda", "ptx"}},
      {.name = "FORMAT", .description = "of weights of products in a program for inference", .words = {"bf16", "int8"}},
      {.name = "COMMAND", .description = "a command that has --json", .words = schemaWords()},
      {.name = "SHELL", .description = "a shell", .words = {"bash", "zsh", "fish"}},
      {.name = "PROGRAM", .description = "a compiled program", .endings = {"moec"}, .isFile = true},
      {.name = "TENSORS", .description = "a safetensors file", .endings = {"safetensors"}, .isFile = true},
      {.name = "RESULTS",
       .description = "a file of tensors: .safetensors or .json for all, .npy for one",
       .endings = {"safetensors", "json", "npy"},
       .isFile = true},
      {.name = "NAME=FILE",
       .description = "an input of the model, from a PNG, JPEG, .npy, safetensors or JSON file",
       .endings = {"png", "jpg", "jpeg", "npy", "safetensors", "json"},
       .isFile = true,
       .isAssignment = true},
      {.name = "DATA", .description = "a file of text, numbers or pictures, or a folder of them", .isFile = true},
      {.name = "DATAKIND", .description = "what data are", .words = settingWords("data_kind")},
      {.name = "TOKENIZER",
       .description = "bytes, sentencepiece, sentencepiece:N with N pieces, or a tokenizer's file (tokenizer.model, tokenizer.json)",
       .words = {"bytes", "sentencepiece"},
       .endings = {"model", "json"},
       .isFile = true},
      {.name = "CHECKPOINT", .description = "of a training: one of these, or the number of a step", .words = {"last", "best"}},
      {.name = "SCHEDULE", .description = "of the learning rate", .words = settingWords("schedule")},
      {.name = "WHAT", .description = "what happens then", .words = settingWords("bad_records")},
      {.name = "LAYOUT", .description = "how results are printed", .words = {"table", "csv", "json"}},
      {.name = "RESULT", .description = "a file of results to write, as JSON", .endings = {"json"}, .isFile = true},
      {.name = "PAGE", .description = "a page to write, for a browser", .endings = {"html"}, .isFile = true},
      {.name = "LOGITS", .description = "what router logits that are no finite numbers do", .words = settingWords("non_finite")},
      {.name = "CHOICES", .description = "a record of what gates chose in a training", .isFile = true},
      {.name = "CONFIG", .description = "settings of a training", .endings = {"json"}, .isFile = true},
      {.name = "TUNING", .description = "a database of tuned schedules", .words = {"off"}, .endings = {"jsonl"}, .isFile = true},
      {.name = "TRACE", .description = "a trace to write", .endings = {"json"}, .isFile = true},
      {.name = "FILE", .description = "any file", .isFile = true},
      {.name = "DIR", .description = "a folder", .isFolder = true},
  };
  return kinds;
}

const ValueKind* findValueKind(std::string_view name) {
  auto found = std::ranges::find(valueKinds(), name, &ValueKind::name);
  return found == valueKinds().end() ? nullptr : &*found;
}

const std::vector<std::string>& wordsOf(std::string_view kind) {
  static const std::vector<std::string> none;
  const ValueKind* found = findValueKind(kind);
  return found ? found->words : none;
}

} // namespace moec::cli
