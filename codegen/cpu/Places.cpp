// places: rows of one expert and group in the order of their scores. A segment is such rows; with choice_major, those of one choice.
//   stage 0, for each group:    its rows by segment, in the order of tokens and choices, with their keys: a counting sort
//   stage 1, for each segment:  its rows by descending key: a merge sort from the bottom, stable, between two halves of the list;
//                               a row's place is its number in the segment, and the rows of the expert's segments before
// Keys are integers in the order of the scores, NaN below all.
#include "codegen/analysis/Operands.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"

namespace moec::codegen::cpu {

namespace {

using ir::Predicate;

class Places {
public:
  Places(KernelBuilder& k, ir::PlacesOp op, unsigned indices, unsigned scores, std::optional<unsigned> keep);
  void write();

private:
  struct Run {
    Value first, end;
  };
  /// The tokens of a group.
  Run tokensOf(Value group);
  /// The segment of a row among its group's, and whether it has one.
  std::pair<Value, Value> segmentOf(Value row, Value choice);
  Value keyOf(Value row);
  void gather(Value group);
  void sort(Value group, Value segment);
  /// From one half of the lists to the other, runs of `width` become runs of twice as many.
  void merge(Value from, Value to, Value begin, Value count, Value width);

  Value read(Value list, Value i) { return RoutingView::element(k_, list, i); }
  void write(Value list, Value i, Value value) { k_.store(k_.toInteger(value, k_.i32()), k_.at(list, i, k_.i32())); }
  Value readKey(Value i) { return k_.load(key_, k_.at(k_.workspace(keys_), i, key_)); }
  void writeKey(Value i, Value key) { k_.store(key, k_.at(k_.workspace(keys_), i, key_)); }

  KernelBuilder& k_;
  ir::PlacesOp op_;
  unsigned indices_, scores_;
  std::optional<unsigned> keep_;
  DType dtype_;
  mlir::Type key_;
  Size tokens_, groups_ = 1;
  int64_t choices_, experts_, ofExpert_;      // ofExpert: segments of an expert
  unsigned list_ = 0, keys_ = 0, starts_ = 0; // workspaces: rows and keys, in two halves of R; of each group, where segments begin, and an end
};

Places::Places(KernelBuilder& k, ir::PlacesOp op, unsigned indices, unsigned scores, std::optional<unsigned> keep)
    : k_(k), op_(op), indices_(indices), scores_(scores), keep_(keep), dtype_(dtypeOf(op.getScores())), key_(dtype_ == DType::F64 ? k.i64() : k.i32()),
      tokens_(ir::sizesOf(op.getIndices())[0]), choices_(*ir::sizesOf(op.getIndices())[1].constant()), experts_(static_cast<int64_t>(op.getExperts())),
      ofExpert_(op.getPriority() == ir::Priority::ChoiceMajor ? choices_ : 1) {
  if (auto groups = op_.getGroups())
    groups_ = Size::parse(groups->str());
}

Places::Run Places::tokensOf(Value group) {
  Value all = k_.size(tokens_);
  if (groups_ == Size(1))
    return {k_.index(0), all};
  // Inside, be the groups equal or not.
  Value run = k_.max(k_.index(1), k_.size(Size::floorDiv(tokens_, groups_)));
  Value first = k_.min(k_.mul(group, run), all), end = k_.min(k_.add(first, run), all);
  return {first, k_.choose(k_.compare(Predicate::EQ, k_.add(group, 1), k_.size(groups_)), all, end)};
}

std::pair<Value, Value> Places::segmentOf(Value row, Value choice) {
  Value expert = read(k_.input(indices_), row);
  Value enters = k_.compareUnsigned(Predicate::LT, expert, k_.index(experts_));
  if (keep_)
    enters = k_.bitAnd(enters, k_.loadElements(DType::Bool, k_.at(k_.input(*keep_), row, DType::Bool), 1));
  return {ofExpert_ == 1 ? expert : k_.add(k_.mul(expert, ofExpert_), choice), enters};
}

Value Places::keyOf(Value row) {
  Value score = k_.loadElements(dtype_, k_.at(k_.input(scores_), row, dtype_), 1);
  bool isWide = dtype_ == DType::F64;
  int64_t lowest = isWide ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int32_t>::min();
  Value word = k_.bits(k_.add(score, k_.real(score.getType(), 0)), key_); // -0 becomes 0
  Value negative = k_.compare(Predicate::LT, word, k_.integer(key_, 0));
  Value key = k_.choose(negative, k_.bitXor(word, k_.integer(key_, ~lowest)), word);
  return k_.choose(k_.isNan(score), k_.integer(key_, lowest), key);
}

void Places::gather(Value group) {
  Value zero = k_.index(0), one = k_.index(1), segments = k_.index(experts_ * ofExpert_);
  Value starts = k_.at(k_.workspace(starts_), k_.mul(group, experts_ * ofExpert_ + 1), k_.i32());
  Value next = k_.scratch(Size(4 * experts_ * ofExpert_));
  Run tokens = tokensOf(group);
  auto eachRow = [&](llvm::function_ref<void(Value row, Value segment, Value enters)> visit) {
    k_.loop(tokens.first, tokens.end, one, [&](Value token) {
      k_.loop(zero, k_.index(choices_), one, [&](Value choice) {
        Value row = k_.add(k_.mul(token, choices_), choice);
        auto [segment, enters] = segmentOf(row, choice);
        visit(row, segment, enters);
      });
    });
  };
  k_.loop(zero, segments, one, [&](Value segment) { write(next, segment, zero); });
  eachRow([&](Value row, Value segment, Value enters) {
    k_.when(enters, [&] { write(next, segment, k_.add(read(next, segment), one)); });
    k_.when(k_.notOf(enters), [&] { write(k_.output(0), row, k_.index(-1)); });
  });
  Value end = k_.loop(zero, segments, one, {k_.mul(tokens.first, choices_)}, [&](Value segment, const Values& carried) {
    Value count = read(next, segment);
    write(starts, segment, carried[0]);
    write(next, segment, carried[0]);
    return Values{k_.add(carried[0], count)};
  })[0];
  write(starts, segments, end);
  eachRow([&](Value row, Value segment, Value enters) {
    k_.when(enters, [&] {
      Value place = read(next, segment);
      write(next, segment, k_.add(place, one));
      write(k_.workspace(list_), place, row);
      writeKey(place, keyOf(row));
    });
  });
}

void Places::merge(Value from, Value to, Value begin, Value count, Value width) {
  Value zero = k_.index(0), one = k_.index(1), list = k_.workspace(list_), last = k_.sub(count, one);
  k_.loop(zero, count, k_.add(width, width), [&](Value left) {
    Value middle = k_.min(k_.add(left, width), count), end = k_.min(k_.add(middle, width), count);
    k_.loop(left, end, one, {left, middle}, [&](Value place, const Values& carried) {
      Value a = carried[0], b = carried[1];
      auto at = [&](Value half, Value i) { return k_.add(k_.add(half, begin), i); };
      Value aPlace = at(from, k_.min(a, last)), bPlace = at(from, k_.min(b, last)); // one of them may be at its run's end
      Value aKey = readKey(aPlace), bKey = readKey(bPlace);
      Value isB = k_.bitAnd(k_.compare(Predicate::LT, b, end), k_.bitOr(k_.compare(Predicate::GE, a, middle), k_.compare(Predicate::GT, bKey, aKey)));
      write(list, at(to, place), read(list, k_.choose(isB, bPlace, aPlace)));
      writeKey(at(to, place), k_.choose(isB, bKey, aKey));
      return Values{k_.choose(isB, a, k_.add(a, one)), k_.choose(isB, k_.add(b, one), b)};
    });
  });
}

void Places::sort(Value group, Value segment) {
  Value zero = k_.index(0), one = k_.index(1), half = k_.size(tokens_ * Size(choices_));
  Value starts = k_.at(k_.workspace(starts_), k_.mul(group, experts_ * ofExpert_ + 1), k_.i32());
  Value begin = read(starts, segment), count = k_.sub(read(starts, k_.add(segment, one)), begin);
  Value before = k_.sub(begin, read(starts, k_.mul(k_.div(segment, ofExpert_), ofExpert_)));
  // As many turns as widths are below 2^31.
  Value from = k_.loop(zero, k_.index(31), one, {zero, one}, [&](Value, const Values& carried) {
    Value width = carried[1];
    Values next = k_.when(
        k_.compare(Predicate::LT, width, count),
        [&] {
          Value to = k_.sub(half, carried[0]);
          merge(carried[0], to, begin, count, width);
          return Values{to};
        },
        [&] { return Values{carried[0]}; });
    return Values{next[0], k_.add(width, width)};
  })[0];
  k_.loop(zero, count, one, [&](Value i) {
    Value row = read(k_.workspace(list_), k_.add(k_.add(from, begin), i));
    write(k_.output(0), row, k_.add(before, i));
  });
}

void Places::write() {
  Size rows = tokens_ * Size(choices_);
  int64_t segments = experts_ * ofExpert_;
  list_ = k_.addWorkspace(rows * Size(8));
  keys_ = k_.addWorkspace(rows * Size(dtype_ == DType::F64 ? 16 : 8));
  starts_ = k_.addWorkspace(groups_ * Size(4 * (segments + 1)));
  k_.stage(groups_, rows * Size(16), [&](Value group) { gather(group); });
  k_.stage(groups_ * Size(segments), rows * Size(64), [&](Value item) { sort(k_.div(item, segments), k_.rem(item, segments)); });
}

} // namespace

mlir::LogicalResult buildPlaces(KernelBuilder& k, ir::KernelOp kernel) {
  auto op = onlyOp<ir::PlacesOp>(kernel);
  if (failed(op))
    return mlir::failure();
  auto indices = inputOf(kernel, op->getIndices(), "the indices"), scores = inputOf(kernel, op->getScores(), "the scores");
  if (failed(indices) || failed(scores))
    return mlir::failure();
  std::optional<unsigned> keep;
  if (op->getKeep()) {
    auto input = inputOf(kernel, op->getKeep(), "the mask");
    if (failed(input))
      return mlir::failure();
    keep = *input;
  }
  Places(k, *op, *indices, *scores, keep).write();
  return mlir::success();
}

mlir::DictionaryAttr schedulePlaces(ir::KernelOp kernel, const CpuTarget&) { return mlir::DictionaryAttr::get(kernel.getContext()); }

} // namespace moec::codegen::cpu
