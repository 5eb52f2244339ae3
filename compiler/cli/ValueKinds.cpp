#include "compiler/cli/ValueKinds.h"

#include "compiler/cli/Schemas.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/CudaTarget.h"

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

std::vector<std::string> schemaWords() {
  std::vector<std::string> words;
  for (const auto& [command, text] : schemas())
    words.push_back(command);
  return words;
}

} // namespace

const std::vector<ValueKind>& valueKinds() {
  static const std::vector<ValueKind> kinds{
      {.name = "MODEL",
       .description = "a model (.json), or a program that `moec compile` made (.moec)",
       .endings = {"json", "moec", "mlir"},
       .isFile = true},
      {.name = "TARGETS",
       .description = "what to compile for, with commas between: cpu is this machine",
       .words = targetWords(),
       .isList = true},
      {.name = "DEVICE",
       .description = "where to run; `moec devices` lists what is there, check(A,B) runs two in lock-step",
       .words = deviceWords()},
      {.name = "PHASE",
       .description = "of the compiler, in this order",
       .words = {"import", "grad", "fuse", "schedule", "plan", "emit", "pack"}},
      {.name = "FORM",
       .description = "of kernels: llvm and asm of a CPU target, cuda and ptx of a CUDA one",
       .words = {"llvm", "asm", "cuda", "ptx"}},
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
