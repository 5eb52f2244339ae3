// RowProgram: values in memory, and loops along a row.
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/RowProgram.h"

namespace moec::codegen::cpu {

/// Where a computed value goes: the places bound to it that wait for it, or scratch. From here on it counts as stored.
llvm::SmallVector<RowProgram::Memory> RowProgram::placesFor(mlir::Value value) {
  llvm::SmallVector<Memory> places;
  if (auto waiting = llvm::find(pending_, value); waiting != pending_.end()) {
    pending_.erase(waiting);
    for (const Place& place : places_[value])
      places.push_back({place(row_), dtypeOf(value)});
    return places;
  }
  // bf16 is kept as the f32 that computes with it.
  DType dtype = dtypeOf(value) == DType::BF16 ? DType::F32 : dtypeOf(value);
  Value& address = scratch_[value];
  if (!address)
    address = k_.scratch(widthOf(value) * Size(static_cast<int64_t>(byteSize(dtype))));
  places.push_back({address, dtype});
  return places;
}

void RowProgram::store(mlir::Value value, Value element, const At& at, llvm::ArrayRef<Memory> places) {
  for (auto [address, dtype] : places)
    k_.storeElements(dtype, element, k_.at(address, at.position, dtype), at.mask);
}

/// Puts a value into memory, if it is not there.
void RowProgram::keep(mlir::Value value) {
  if (memory_.contains(value) || widthOf(value) == Size(1))
    return;
  hoist(value);
  llvm::SmallVector<Memory> places = placesFor(value);
  k_.vectorLoop(k_.size(widthOf(value)), lanes_, [&](Value position, Value mask) {
    At at{position, lanes_, mask};
    store(value, elementAt(value, at), at, places);
  });
  memory_[value] = places.front();
}

/// Writes all that waits: values of one width in one loop.
void RowProgram::flush() {
  while (!pending_.empty()) {
    Size width = widthOf(pending_.front());
    std::vector<std::pair<mlir::Value, llvm::SmallVector<Memory>>> group;
    for (mlir::Value value : std::vector<mlir::Value>(pending_))
      if (widthOf(value) == width) {
        hoist(value);
        group.emplace_back(value, placesFor(value));
      }
    if (width == Size(1)) {
      At at{k_.index(0), 1, {}};
      for (auto& [value, places] : group)
        store(value, scalarOf(value), at, places);
      continue;
    }
    k_.vectorLoop(k_.size(width), lanes_, [&](Value position, Value mask) {
      At at{position, lanes_, mask};
      for (auto& [value, places] : group)
        store(value, elementAt(value, at), at, places);
    });
    for (auto& [value, places] : group)
      memory_[value] = places.front();
  }
}

/// Folds `elements`, each for itself, over a row into one scalar. The order depends on the width and the target alone: four vectors side by side, the
/// rest into the first, then halves of lanes. Lanes outside the row count as `identities` (scalars).
Values RowProgram::foldRow(const Size& width, const Values& identities, Fold fold, llvm::function_ref<Values(At&)> elements) {
  constexpr size_t kSideBySide = 4;
  size_t folds = identities.size();
  Value count = k_.size(width);
  Values starts;
  for (Value identity : identities)
    starts.push_back(k_.broadcast(identity, lanes_));
  std::optional<int64_t> known = width.constant();
  int64_t block = kSideBySide * lanes_;
  Values sums; // of the first vector all folds, then of the second
  for (size_t side = 0; side < kSideBySide; ++side)
    sums.append(starts);
  Value done = k_.index(0);
  auto next = [&](llvm::ArrayRef<Value> before, Value position, Value mask) {
    At at{position, lanes_, mask};
    Values values = elements(at);
    for (size_t i = 0; i < folds; ++i)
      values[i] = fold(before[i], mask ? k_.choose(mask, values[i], starts[i]) : values[i]);
    return values;
  };

  bool several = !known || *known >= 2 * block;
  if (several) {
    done = k_.mul(k_.div(count, block), block);
    sums = k_.loop(k_.index(0), done, k_.index(block), sums, [&](Value i, const Values& carried) {
      Values all;
      for (size_t side = 0; side < kSideBySide; ++side)
        all.append(next(llvm::ArrayRef(carried).slice(side * folds, folds), k_.add(i, static_cast<int64_t>(side) * lanes_), {}));
      return all;
    });
  }
  Value whole = k_.mul(k_.div(count, lanes_), lanes_);
  Values first(sums.begin(), sums.begin() + folds);
  first = k_.loop(done, whole, k_.index(lanes_), first, [&](Value i, const Values& carried) { return next(carried, i, {}); });
  auto rest = [&] { return next(first, whole, k_.mask(k_.sub(count, whole), lanes_)); };
  if (!known) // not where there is none: `elements` may write whole vectors
    first = k_.when(k_.compare(ir::Predicate::LT, whole, count), rest, [&] { return first; });
  else if (*known % lanes_ != 0)
    first = rest();
  for (size_t i = 0; i < folds; ++i) {
    if (several)
      first[i] = fold(fold(first[i], sums[folds + i]), fold(sums[2 * folds + i], sums[3 * folds + i]));
    first[i] = foldLanes(first[i], fold);
  }
  return first;
}

/// Lanes as a tree of halves.
Value RowProgram::foldLanes(Value vector, Fold fold) {
  for (int64_t lanes = KernelBuilder::lanesOf(vector); lanes > 1; lanes /= 2) {
    llvm::SmallVector<int32_t> low, high;
    for (int32_t i = 0; i < lanes / 2; ++i) {
      low.push_back(i);
      high.push_back(i + static_cast<int32_t>(lanes / 2));
    }
    vector = lanes == 2 ? fold(k_.lane(vector, int64_t{0}), k_.lane(vector, 1)) : fold(k_.shuffle(vector, vector, low), k_.shuffle(vector, vector, high));
  }
  return vector;
}

Value RowProgram::foldRow(const Size& width, Value identity, Fold fold, llvm::function_ref<Value(At&)> element) {
  return foldRow(width, Values{identity}, fold, [&](At& at) { return Values{element(at)}; })[0];
}

/// The same over map(value's elements); on the way the value goes to memory if it is not there.
Value RowProgram::foldStored(mlir::Value value, Value identity, Fold fold, llvm::function_ref<Value(Value, const At&)> map) {
  hoist(value);
  bool stored = memory_.contains(value) || widthOf(value) == Size(1);
  llvm::SmallVector<Memory> places;
  if (!stored)
    places = placesFor(value);
  Value result = foldRow(widthOf(value), identity, fold, [&](At& at) {
    Value element = elementAt(value, at);
    store(value, element, at, places);
    return map(element, at);
  });
  if (!stored)
    memory_[value] = places.front();
  return result;
}

/// `sums` sums of terms over a row that is as wide as each of the values; on the way these go to memory if they are not there.
Values RowProgram::sumStored(llvm::ArrayRef<mlir::Value> values, int64_t sums, llvm::function_ref<Values(At&)> terms) {
  std::vector<std::pair<mlir::Value, llvm::SmallVector<Memory>>> stored;
  for (mlir::Value value : values) {
    hoist(value);
    bool known = llvm::any_of(stored, [&](const auto& other) { return other.first == value; });
    if (!known && !memory_.contains(value) && !(widthOf(value) == Size(1)))
      stored.emplace_back(value, placesFor(value));
  }
  Values zeros(sums, k_.zero(k_.typeOf(dtypeOf(values.front()))));
  auto add = [&](Value a, Value b) { return k_.add(a, b); };
  Values result = foldRow(widthOf(values.front()), zeros, add, [&](At& at) {
    for (auto& [value, places] : stored)
      store(value, elementAt(value, at), at, places);
    return terms(at);
  });
  for (auto& [value, places] : stored)
    memory_[value] = places.front();
  return result;
}

} // namespace moec::codegen::cpu
