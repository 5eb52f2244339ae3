#pragma once
// What `moec generate` continues a text with: a model or program, its weights and its tokenizer, from a training's folder or named one by one.

#include "compiler/cli/CommonOptions.h"
#include "runtime/Compile.h"
#include "runtime/data/Tokenizer.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace moec::cli {

struct GenerationFlags : CommonOptions {
  std::string tokenizer;  // "bytes" or a file; empty: the training's
  std::string checkpoint; // "last", "best" or a step; empty: last
};

struct GenerationSource {
  std::filesystem::path file; // model.json or program.moec
  CompileOptions compile;     // what a training had its model compiled with
  data::TokenizerPtr tokenizer;
  std::optional<std::filesystem::path> checkpoint; // a folder
  TensorMap weights;                               // of the checkpoint; empty: by the flags
};

/// Error(Usage) for a folder without a training, a checkpoint that is not there (those that are are listed), flags that a folder or a model does not go with,
/// and where no tokenizer is named; Error(Data) for files that are damaged.
GenerationSource findSource(const GenerationFlags& flags);

/// The most tokens that a text of this model may have by its rules; nothing where none speaks of that alone.
std::optional<int64_t> longestText(const Plan& plan);

} // namespace moec::cli
