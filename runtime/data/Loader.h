#pragma once
// Batches of a dataset, read ahead by threads of its own. How many there are and how fast they are changes no batch.

#include "runtime/data/Dataset.h"
#include "runtime/data/Order.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace moec::data {

enum class BadRecords { Fail, Skip };

struct LoaderOptions {
  int64_t batch = 1;
  uint64_t seed = 0;
  bool shuffle = true;
  bool dropLast = false; // a last batch of an epoch that is not full: is it left out?
  bool once = false;     // one epoch, then no more batches
  BadRecords badRecords = BadRecords::Fail;
  int ahead = 4;   // batches that wait or are being read, at most
  int threads = 0; // that read, each a batch; 0: one for four processors, at most `ahead`
};

/// `batch` records one after the other in the epoch's order; fewer at its end, and where bad ones are skipped. What a batch without any record skipped is told
/// with a neighbour of the same epoch. Only where a loader begins inside of an epoch of which nothing but bad records is left, its first batch has none, and
/// ends that epoch.
struct Batch {
  TensorMap fields; // (records, ..) each; what records share without them
  int64_t records = 0;
  Place begin, end;                 // of its first record; of the first behind it
  std::vector<std::string> skipped; // bad records that it would have had: the message of each
};

class Loader {
public:
  /// Error(Usage) for a batch below 1, an empty dataset, one smaller than a batch with `dropLast`, and a place behind its end. No batch crosses an epoch's end.
  /// Batches from the end of another are those that came behind it.
  Loader(DatasetPtr dataset, const LoaderOptions& options, Place from = {});
  ~Loader();
  Loader(const Loader&) = delete;

  /// The next one; nothing behind the last of `once`. Waits for it. Throws what a bad record threw, at the batch that it stands in; Error(Data) when every
  /// record of an epoch is bad. From then on it throws the same again.
  std::optional<Batch> next();
  /// How long next() has waited in all.
  double secondsWaited() const;
  /// Of a whole one.
  int64_t batchesPerEpoch() const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec::data
