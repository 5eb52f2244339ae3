#pragma once
// Batches of a dataset, read ahead by a thread of its own.

#include "runtime/data/Dataset.h"
#include "runtime/data/Order.h"

#include <memory>
#include <string>
#include <vector>

namespace moec::data {

enum class BadRecords { Fail, Skip };

struct LoaderOptions {
  int64_t batch = 1;
  uint64_t seed = 0;
  bool shuffle = true;
  bool dropLast = false;                 // a last batch that is not full: is it left out?
  bool once = false;                     // one epoch, then no more batches
  BadRecords badRecords = BadRecords::Fail;
  int ahead = 4;                         // batches that wait at most
};

struct Batch {
  TensorMap fields;                      // (records, ..) each
  int64_t records = 0;
  Place begin, end;                      // of its first record; of the first behind it
  std::vector<std::string> skipped;      // bad records that it would have had: the message of each
};

class Loader {
public:
  /// Error(Usage) for a batch below 1 or an empty dataset. The batch that crosses an epoch's end does not exist: the last of an epoch is smaller.
  Loader(DatasetPtr dataset, const LoaderOptions& options, Place from = {});
  ~Loader();
  Loader(const Loader&) = delete;

  /// The next one; nothing behind the last of `once`. Waits for it. Throws what a bad record threw, at the batch that it stands in; Error(Data) when every record of an epoch is bad.
  std::optional<Batch> next();
  /// How long next() has waited in all.
  double secondsWaited() const;
  int64_t batchesPerEpoch() const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec::data
