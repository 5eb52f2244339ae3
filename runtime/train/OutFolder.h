#pragma once
// The folder of a training: model.json as it was given, train.json, the tokenizer's file, metrics.jsonl, checkpoints/. It is enough to go on, to generate and
// to look at what came out.

#include "runtime/train/Config.h"

#include <filesystem>

namespace moec::train {

/// model.json, train.json and the tokenizer's file, each whole or as it was. Paths of data and weights are made absolute. Error(System).
void writeOutFolder(const Config& config, const data::OpenedData& data);
/// The configuration of a training that is in this folder, with its model's file and its tokenizer. Error(Usage) when there is none, Error(Data) when a file is
/// damaged.
Config readOutFolder(const std::filesystem::path& out);

/// Takes away what a training that was killed had half written beside these files.
void removeUnfinished(const std::filesystem::path& out);

/// While it lives, no other training writes to this folder, which is made. Error(Usage) when one does, Error(System).
class FolderLock {
public:
  explicit FolderLock(const std::filesystem::path& out);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;

private:
  int handle_;
};

} // namespace moec::train
