#include "runtime/data/Dataset.h"

#include "runtime/core/Digest.h"
#include "runtime/data/Order.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace moec::data {

namespace {

class Subset : public Dataset {
public:
  Subset(DatasetPtr whole, std::vector<int64_t> records) : whole_(std::move(whole)), records_(std::move(records)) {}

  const std::vector<Field>& fields() const override { return whole_->fields(); }
  int64_t size() const override { return static_cast<int64_t>(records_.size()); }
  void read(int64_t record, std::span<std::byte* const> fields) const override { whole_->read(at(record), fields); }
  std::string placeOf(int64_t record) const override { return whole_->placeOf(at(record)); }

  std::string digest() const override { return digestWith(whole_->digest()); }
  std::string recordsDigest() const override { return digestWith(whole_->recordsDigest()); }

  std::string describe() const override { return fmt::format("{} of {}", records_.size(), whole_->describe()); }

private:
  std::string digestWith(const std::string& whole) const {
    Digest chosen = digestOf({reinterpret_cast<const uint8_t*>(records_.data()), records_.size() * sizeof(int64_t)});
    return digestOf(fmt::format("{} of {} {}", chosen.hex(), whole_->size(), whole)).hex();
  }
  int64_t at(int64_t record) const {
    if (record < 0 || record >= size())
      throw Error(Fault::Usage, fmt::format("record {} of {}", record, size()));
    return records_[static_cast<size_t>(record)];
  }

  DatasetPtr whole_;
  std::vector<int64_t> records_;
};

} // namespace

Shape batchShape(const Field& field, int64_t records) {
  Shape shape = field.shape;
  if (!field.shared)
    shape.insert(shape.begin(), records);
  return shape;
}

DatasetPtr subset(DatasetPtr dataset, std::vector<int64_t> records) {
  for (int64_t record : records)
    if (record < 0 || record >= dataset->size())
      throw Error(Fault::Usage, fmt::format("{}: there is no record {}", dataset->describe(), record));
  return std::make_shared<Subset>(std::move(dataset), std::move(records));
}

Split split(const DatasetPtr& dataset, double share, uint64_t seed) {
  if (!(share > 0 && share < 1))
    throw Error(Fault::Usage, fmt::format("a share of {} cannot be held out; expected more than 0 and less than 1", share));
  int64_t size = dataset->size();
  auto held = static_cast<int64_t>(std::llround(share * static_cast<double>(size)));
  if (held < 1 || held >= size)
    throw Error(
        Fault::Data,
        fmt::format(
            "{}: to hold out a share of {} leaves {} records to learn from and {} to validate with; give data to validate with, another share, or 0 for none",
            dataset->describe(), share, size - held, held));
  std::vector<int64_t> order = orderOf(size, seed, -1, true); // of an epoch that no training has
  auto middle = order.begin() + held;
  std::sort(order.begin(), middle);
  std::sort(middle, order.end());
  return {subset(dataset, {middle, order.end()}), subset(dataset, {order.begin(), middle})};
}

} // namespace moec::data
