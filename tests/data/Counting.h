#pragma once
// A dataset whose records tell their number, and which can be told to fail.

#include "runtime/data/Dataset.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

namespace moec::data::test {

/// Fields "number" i64 () and "pair" f32 (2): n and {n, -n}.
class Counting : public Dataset {
public:
  explicit Counting(int64_t size, std::set<int64_t> bad = {}) : size_(size), bad_(std::move(bad)) {}

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return size_; }
  void read(int64_t record, std::span<std::byte* const> fields) const override {
    ++reads;
    if (pause.count() > 0)
      std::this_thread::sleep_for(pause);
    float pair[] = {static_cast<float>(record), -static_cast<float>(record)};
    std::memcpy(fields[0], &record, sizeof record);
    std::memcpy(fields[1], pair, sizeof pair);
    if (record == changed)
      throw FileChanged(placeOf(record) + ": changed");
    if (record == full)
      throw Error(Fault::System, placeOf(record) + ": input/output error");
    if (bad_.count(record))
      throw Error(Fault::Data, placeOf(record) + ": damaged");
  }
  std::string digest() const override { return "counting"; }
  std::string describe() const override { return "counting: " + std::to_string(size_) + " numbers"; }
  std::string placeOf(int64_t record) const override { return "number " + std::to_string(record); }

  mutable std::atomic<int64_t> reads = 0;
  std::chrono::microseconds pause{0};
  int64_t changed = -1, full = -1;

private:
  int64_t size_;
  std::set<int64_t> bad_;
  std::vector<Field> fields_ = {{"number", DType::I64, {}, {}, {}}, {"pair", DType::F32, {2}, {}, {}}};
};

} // namespace moec::data::test
