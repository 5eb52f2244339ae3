#include "runtime/data/Loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <iterator>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace moec::data {

namespace {

using Order = std::vector<int64_t>;

/// A batch that a thread has taken on.
struct Slot {
  std::shared_ptr<const Order> order;
  Place begin, end;
  int64_t count = 0; // records of the order from begin.record on
  Batch batch;
  std::exception_ptr failure;
  bool ready = false;
};

/// The first `records` of a tensor that has room for more.
Tensor firstRecords(const Tensor& tensor, int64_t records) {
  Shape shape = tensor.shape();
  if (shape[0] == records)
    return tensor;
  shape[0] = records;
  return Tensor::share(std::make_shared<Tensor>(tensor), tensor.data(), shape, tensor.dtype());
}

/// Makes one of two of which one at most has records.
void join(Batch& batch, Batch&& behind) {
  if (batch.records == 0) {
    batch.fields = std::move(behind.fields);
    batch.records = behind.records;
  }
  batch.end = behind.end;
  batch.skipped.insert(batch.skipped.end(), std::make_move_iterator(behind.skipped.begin()), std::make_move_iterator(behind.skipped.end()));
}

int threadsFor(const LoaderOptions& options) {
  int wanted = options.threads > 0 ? options.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency() / 4));
  return std::min(wanted, std::max(1, options.ahead));
}

} // namespace

/// Threads take batches in their order, under the lock; each reads its own without it. `slots` stand in that order, the first is the next to be given out.
struct Loader::State {
  State(DatasetPtr given, const LoaderOptions& settings, Place from) : dataset(std::move(given)), options(settings), place(from) {
    size = dataset->size();
    if (options.batch < 1)
      throw Error(Fault::Usage, fmt::format("a batch of {} records; expected 1 or more", options.batch));
    if (size < 1)
      throw Error(Fault::Usage, fmt::format("{}: there are no records to read", dataset->describe()));
    if (options.ahead < 1)
      throw Error(Fault::Usage, fmt::format("{} batches to read ahead; expected 1 or more", options.ahead));
    if (options.dropLast && size < options.batch)
      throw Error(Fault::Usage, fmt::format("{}: a batch of {} is never full with {} records", dataset->describe(), options.batch, size));
    if (place.epoch < 0 || place.record < 0 || place.record > size)
      throw Error(Fault::Usage, fmt::format("{}: there is no record {} of epoch {} to go on from", dataset->describe(), place.record, place.epoch));
    last = place.epoch;
    skipUnfilled();
  }

  void start() {
    try {
      for (int i = threadsFor(options); i > 0; --i)
        threads.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      stop();
      throw Error(Fault::System, fmt::format("no thread to read data with: {}", error.what()));
    }
  }

  void stop() {
    {
      std::lock_guard lock(mutex);
      stopped = true;
    }
    room.notify_all();
    for (std::thread& thread : threads)
      thread.join();
    threads.clear();
  }

  /// Behind the last batch of an epoch stands the first of the next.
  void skipUnfilled() {
    if (size - place.record < (options.dropLast ? options.batch : 1))
      place = {place.epoch + 1, 0};
  }

  /// The next batch to be read, if there is any.
  Slot* claim() {
    if (options.once && place.epoch > last) {
      exhausted = true;
      return nullptr;
    }
    if (!order || orderEpoch != place.epoch) {
      order = std::make_shared<const Order>(orderOf(size, options.seed, place.epoch, options.shuffle));
      orderEpoch = place.epoch;
    }
    Slot& slot = slots.emplace_back();
    slot.order = order;
    slot.begin = place;
    slot.count = std::min(options.batch, size - place.record);
    place.record += slot.count;
    skipUnfilled();
    slot.end = place;
    return &slot;
  }

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      room.wait(lock, [this] { return stopped || exhausted || static_cast<int>(slots.size()) < options.ahead; });
      if (stopped || exhausted)
        return;
      std::exception_ptr failure;
      Slot* slot = nullptr;
      try {
        slot = claim();
      } catch (...) { // no memory for an order
        slots.emplace_back().failure = std::current_exception();
        slots.back().ready = exhausted = true;
      }
      if (slot) {
        lock.unlock();
        try {
          read(*slot);
        } catch (...) {
          failure = std::current_exception();
        }
        lock.lock();
        slot->failure = failure;
        slot->ready = true;
        exhausted = exhausted || failure;
      }
      if (exhausted)
        room.notify_all();
      ready.notify_all();
    }
  }

  void read(Slot& slot) {
    Batch& batch = slot.batch;
    batch.begin = slot.begin;
    batch.end = slot.end;
    const std::vector<Field>& fields = dataset->fields();
    std::vector<Tensor> tensors;
    std::vector<size_t> strides;
    for (const Field& field : fields) {
      tensors.emplace_back(field.dtype, batchShape(field, slot.count));
      strides.push_back(field.shared ? 0 : tensors.back().bytes() / static_cast<size_t>(slot.count));
    }
    std::vector<std::byte*> places(fields.size());
    for (int64_t i = 0; i < slot.count && !stopped; ++i) {
      for (size_t f = 0; f < fields.size(); ++f)
        places[f] = static_cast<std::byte*>(tensors[f].data()) + static_cast<size_t>(batch.records) * strides[f];
      try {
        dataset->read((*slot.order)[static_cast<size_t>(slot.begin.record + i)], places);
        ++batch.records;
      } catch (const FileChanged&) {
        throw;
      } catch (const Error& error) {
        if (options.badRecords == BadRecords::Fail || error.fault() != Fault::Data)
          throw;
        batch.skipped.emplace_back(error.what());
      }
    }
    for (size_t f = 0; f < fields.size(); ++f)
      batch.fields.emplace(fields[f].name, fields[f].shared ? tensors[f] : firstRecords(tensors[f], batch.records));
  }

  /// Waits until the first slot can be given out; nothing when none will come.
  Slot* front(std::unique_lock<std::mutex>& lock) {
    ready.wait(lock, [this] { return slots.empty() ? exhausted : slots.front().ready; });
    return slots.empty() ? nullptr : &slots.front();
  }

  Batch take() {
    Batch batch = std::move(slots.front().batch);
    slots.pop_front();
    room.notify_all();
    bad = batch.records > 0 ? 0 : bad + static_cast<int64_t>(batch.skipped.size());
    if (bad >= size - (options.dropLast ? size % options.batch : 0))
      throw Error(Fault::Data, fmt::format("{}: the {} records of an epoch are all bad, the last of them: {}", dataset->describe(), bad, batch.skipped.back()));
    if (batch.end.record == 0)
      bad = 0; // the next epoch has them all again
    return batch;
  }

  std::optional<Batch> next() {
    std::unique_lock lock(mutex);
    if (broken)
      std::rethrow_exception(broken);
    std::optional<Batch> result;
    try {
      while (!(result && result->end.record == 0)) { // what the next epoch has and skips is the next epoch's
        Slot* slot = front(lock);
        if (!slot)
          break;
        if (slot->failure) {
          if (result && result->records > 0)
            break; // what stands before it comes first
          std::rethrow_exception(slot->failure);
        }
        if (result && result->records > 0 && slot->batch.records > 0)
          break;
        if (Batch batch = take(); result)
          join(*result, std::move(batch));
        else
          result = std::move(batch);
        if (options.badRecords == BadRecords::Fail)
          break;
      }
    } catch (...) {
      broken = std::current_exception();
      throw;
    }
    return result;
  }

  DatasetPtr dataset;
  LoaderOptions options;
  int64_t size = 0;

  std::mutex mutex;
  std::condition_variable room, ready; // a slot became free, or there is no more to do; a slot was read
  std::atomic<bool> stopped = false;   // written under the lock
  bool exhausted = false;              // no batch will be claimed any more
  Place place;                         // of the next batch to be claimed
  int64_t last = 0;                    // the epoch of `once`
  std::shared_ptr<const Order> order;
  int64_t orderEpoch = -1;
  std::deque<Slot> slots;
  std::vector<std::thread> threads;

  int64_t bad = 0; // records in an epoch's last batches without any
  std::exception_ptr broken;
  double waited = 0;
};

Loader::Loader(DatasetPtr dataset, const LoaderOptions& options, Place from) : state_(std::make_unique<State>(std::move(dataset), options, from)) {
  state_->start();
}

Loader::~Loader() { state_->stop(); }

std::optional<Batch> Loader::next() {
  auto begin = std::chrono::steady_clock::now();
  struct Clock {
    State& state;
    std::chrono::steady_clock::time_point begin;
    ~Clock() { state.waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }
  } clock{*state_, begin};
  return state_->next();
}

double Loader::secondsWaited() const { return state_->waited; }

int64_t Loader::batchesPerEpoch() const {
  int64_t batch = state_->options.batch;
  return state_->size / batch + (!state_->options.dropLast && state_->size % batch != 0);
}

} // namespace moec::data
