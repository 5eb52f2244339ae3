#pragma once
// What gates chose in the steps of a training, as a file (docs/TRAINING.md): a header that names the gates, and a block behind it for each batch of each step,
// appended as the training goes on. Knows neither plans nor trainings.

#include "runtime/core/Tensor.h"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moec::train {

struct ChoosingGate {
  std::string name;    // its path in the model: "layers.0.moe.gate"
  int64_t choices = 0; // per token (K)
  int64_t experts = 0; // 0: not known
  bool operator==(const ChoosingGate&) const = default;
};

/// What a record is of.
struct ChoiceHeader {
  std::string model; // its name
  std::string data;  // digest of the records that are learnt from
  uint64_t seed = 0; // by which they are ordered
  std::vector<ChoosingGate> gates;
  int64_t behind = 0; // the step behind which it begins
  bool operator==(const ChoiceHeader&) const = default;
};

/// A batch of a step, and the records that are in it.
struct BatchKey {
  int64_t step = 0, batch = 0;                // the batches of a step are counted from 0
  int64_t epoch = 0, record = 0, records = 0; // the first one's place, and how many
  bool endsStep = true;                       // it is the last one of its step
  bool operator==(const BatchKey&) const = default;
};

/// A file that is open.
class OpenFile {
public:
  OpenFile() = default;
  explicit OpenFile(int number) : number_(number) {}
  ~OpenFile();
  OpenFile(OpenFile&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  int number() const { return number_; }

private:
  int number_ = -1;
};

class ChoiceReader {
public:
  /// Error(Data) naming the file for what is no record, damaged or of another version. An unfinished last block is passed over. With `upTo` nothing behind that
  /// step is looked at.
  explicit ChoiceReader(const std::filesystem::path& file, std::optional<int64_t> upTo = {});

  const std::filesystem::path& path() const { return path_; }
  const ChoiceHeader& header() const { return header_; }
  /// The steps that it has whole; where there are none, `last` is the one before `first`.
  int64_t first() const { return header_.behind + 1; }
  int64_t last() const { return blocks_.empty() ? header_.behind : blocks_.back().key.step - (blocks_.back().key.endsStep ? 0 : 1); }
  /// Null when there is none.
  const BatchKey* find(int64_t step, int64_t batch) const;
  /// Of each gate i32 (T, K), -1 for no expert. Error(Data) for a block that is damaged.
  std::vector<Tensor> read(int64_t step, int64_t batch) const;
  /// Behind the header there is nothing, not even a part of a block.
  bool isEmpty() const { return size_ == headerEnd_; }
  /// Where the bytes of all blocks that were looked at end, and a digest of these.
  uint64_t end() const { return end_; }
  const std::string& digest() const { return digest_; }

private:
  struct Block {
    BatchKey key;
    uint64_t begin = 0, bytes = 0;
  };
  const Block* blockOf(int64_t step, int64_t batch) const;
  [[noreturn]] void fail(const std::string& what) const;
  /// These bytes; nothing when the file ends before. What another process takes away meanwhile is an error, and no more.
  std::optional<std::vector<uint8_t>> bytesAt(uint64_t from, uint64_t count) const;
  uint64_t readHeader();
  void findBlocks(std::optional<int64_t> upTo);

  std::filesystem::path path_;
  OpenFile file_;
  uint64_t size_ = 0;
  ChoiceHeader header_;
  std::vector<Block> blocks_;
  uint64_t headerEnd_ = 0, end_ = 0;
  std::string digest_;
};

/// With what a training goes on: a record that it wrote before.
struct EarlierRecord {
  int64_t behind = 0;      // the step of its checkpoint
  std::string digest = {}; // of the record up to there; empty: it wrote none
};

/// While it lives, no other writes to the file.
class ChoiceWriter {
public:
  /// Begins the file anew, which appears with its header or not at all. With `earlier` it goes on with what is there up to that step, and cuts off what is
  /// behind it; a record of nothing begins anew. Error(Usage) when something else than a record stands there, another training writes it, or (`earlier`) it is
  /// of something else, ends before or has not that digest; Error(Data) when it is damaged up to there; Error(System).
  ChoiceWriter(const std::filesystem::path& file, const ChoiceHeader& header, const std::optional<EarlierRecord>& earlier = {});

  /// The step behind which the record begins.
  int64_t behind() const { return behind_; }
  /// Of what is in it up to the end of its last whole step.
  const std::string& digest() const { return digest_; }

  /// The block is with the system when this returns; Error(System) when the disk is full: then nothing of it is there. `choices`: i32 (T, K) of each gate.
  void add(const BatchKey& key, const std::vector<Tensor>& choices);
  /// What was added survives a power cut.
  void sync();

private:
  void open();
  [[noreturn]] void fail(const char* doing, int code) const;

  std::filesystem::path path_;
  std::vector<ChoosingGate> gates_;
  int64_t behind_ = 0;
  std::string digest_, all_; // all_: of all that is in it
  OpenFile file_;
};

} // namespace moec::train
