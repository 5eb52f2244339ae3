#pragma once
// What a user names as data, as datasets whose fields are a model's inputs.

#include "runtime/core/Plan.h"
#include "runtime/data/Dataset.h"
#include "runtime/data/Tokenizer.h"

#include <filesystem>
#include <map>

namespace moec::data {

struct DataOptions {
  std::filesystem::path path;           // a file or folder; empty: what ships with moec for inputs of this form
  std::filesystem::path validationPath; // empty: a part of `path` is held out
  std::string kind;                     // "text", "images", "idx", "cifar", "arrays", "csv"; empty: by what the path holds
  std::optional<double>
      validation; // the share held out, in [0, 1); nothing: what the data hold out themselves (a test part), else 0.2 of records, 0.1 of text. 0: none
  std::string
      tokenizer; // of text: "bytes", "sentencepiece" or "sentencepiece:N" (learnt from the text), or a file; empty: "sentencepiece" with the model's vocabulary
  TokenizerPtr tokenizerInHand; // takes the place of `tokenizer`: of a training that goes on
  int64_t window = 0;           // of text: tokens of a record; 0: as many as the model takes, at most 256
  int64_t stride = 1; // of text: tokens between the beginnings of two records to learn from; 0: those of a record. What is held out is cut without overlap
  std::map<std::string, std::string> inputs; // which field an input of the model reads, where names and roles do not tell
  uint64_t seed = 0;                         // of what is held out
};

struct OpenedData {
  DatasetPtr train, validation; // fields by the names of the model's inputs, of their dtypes; validation may be null
  TokenizerPtr tokenizer;       // of text
  std::string name;             // "digits (ships with moec)", "corpus.txt"
};

/// Whether DataOptions::tokenizer names a file, and not a word or nothing.
bool isTokenizerFile(const std::string& tokenizer);

/// What the options tell before there is a model: Error(Data) for a file or folder that is not there, or holds no data.
void checkSources(const DataOptions& options);

/// `inputs`, `rules`: of the model's plan for training. An input takes the field of its name, else the one of its role: text has "tokens" and "targets" (those
/// a place further on), pictures "image" and "label", arrays and tables their own names. Error(Usage) for what no data can be found for; Error(Data) naming the
/// file for what cannot be read, is empty or does not fit: a shape, ids or labels beyond what the model takes, a vocabulary larger than the model's (both
/// numbers), a text shorter than one window.
OpenedData openData(const DataOptions& options, const std::vector<InputInfo>& inputs, const std::vector<SizeRule>& rules);

} // namespace moec::data
