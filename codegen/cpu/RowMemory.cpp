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

/// Folds `element` over a row into one scalar. The order depends on the width and the target alone: four vectors side by side, the rest
/// into the first, then halves of lanes. Lanes outside the row count as `identity` (a scalar).
Value RowProgram::foldRow(const Size& width, Value identity, Fold fold, llvm::function_ref<Value(At&)> element) {
  constexpr int64_t kSideBySide = 4;
  Value count = k_.size(width), start = k_.broadcast(identity, lanes_);
  std::optional<int64_t> known = width.constant();
  int64_t block = kSideBySide * lanes_;
  Values sums(kSideBySide, start);
  Value done = k_.index(0);
  auto elementsAt = [&](Value position, Value mask) {
    At at{position, lanes_, mask};
    Value value = element(at);
    return mask ? k_.choose(mask, value, start) : value;
  };

  bool several = !known || *known >= 2 * block;
  if (several) {
    done = k_.mul(k_.div(count, block), block);
    sums = k_.loop(k_.index(0), done, k_.index(block), sums, [&](Value i, const Values& carried) {
      Values next;
      for (int64_t s = 0; s < kSideBySide; ++s)
        next.push_back(fold(carried[s], elementsAt(k_.add(i, s * lanes_), {})));
      return next;
    });
  }
  Value whole = k_.mul(k_.div(count, lanes_), lanes_);
  Value first = k_.loop(done, whole, k_.index(lanes_), Values{sums[0]}, [&](Value i, const Values& carried) {
    return Values{fold(carried[0], elementsAt(i, {}))};
  })[0];
  if (!known || *known % lanes_ != 0)
    first = fold(first, elementsAt(whole, k_.mask(k_.sub(count, whole), lanes_)));
  if (several)
    first = fold(fold(first, sums[1]), fold(sums[2], sums[3]));
  for (int64_t lanes = lanes_; lanes > 1; lanes /= 2) {
    llvm::SmallVector<int32_t> low, high;
    for (int32_t i = 0; i < lanes / 2; ++i) {
      low.push_back(i);
      high.push_back(i + static_cast<int32_t>(lanes / 2));
    }
    first = lanes == 2 ? fold(k_.lane(first, int64_t{0}), k_.lane(first, 1))
                       : fold(k_.shuffle(first, first, low), k_.shuffle(first, first, high));
  }
  return first;
}

/// The same over map(value's elements); on the way the value goes to memory if it is not there.
Value RowProgram::foldStored(mlir::Value value, Value identity, Fold fold,
                             llvm::function_ref<Value(Value, const At&)> map) {
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

} // namespace moec::codegen::cpu
