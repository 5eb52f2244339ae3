#include "codegen/cpu/Product.h"

#include "codegen/cpu/TileProduct.h"
#include "codegen/cpu/TurnPanel.h"

#include <numeric>

namespace moec::codegen::cpu {
namespace {

bool is(const Size& size, int64_t value) { return size.constant() == value; }

// Bytes of a panel that are on their way from memory while the ones before are used.
constexpr int64_t kPanelsAhead = 4096;

// Slices of panels from this size on, in bytes, are fetched while the ones before are multiplied with several blocks of rows: L1 does not hold them.
constexpr int64_t kLongSlice = 32 << 10;

// Rows from this length on, in bytes, are fetched a block of registers ahead.
constexpr int64_t kLongRow = 512;

// Rows that are fetched before they are copied: of a wide matrix a block's follow each other a page or two apart, which the machine does not foresee.
constexpr int64_t kRowsAhead = 16;

/// Whether rows are so short that L1 holds a slice of them as they lie, and need no conversion.
bool isNarrow(DType dtype, const Matrix& rows) {
  std::optional<int64_t> stride = KernelBuilder::constantOf(rows.stride);
  return dtype == sumType(dtype) && stride && *stride * static_cast<int64_t>(byteSize(dtype)) <= kNarrowBytes;
}
bool isWhole(Value size, int64_t multiple) {
  std::optional<int64_t> known = KernelBuilder::constantOf(size);
  return known && *known % multiple == 0;
}

/// `count` elements of the rows `rowAt(0 .. rows)` of a dtype, as its sums' dtype.
void copyRows(KernelBuilder& k, DType dtype, Value rows, Value count, llvm::function_ref<Value(Value row)> rowAt, const Matrix& copy) {
  DType copied = sumType(dtype);
  int64_t lanes = k.lanes(dtype);
  k.loop(0, rows, 1, [&](Value row) {
    Value from = rowAt(row), to = k.at(copy.base, k.mul(row, copy.stride), copied);
    k.vectorLoop(count, lanes,
                 [&](Value i, Value mask) { k.storeElements(copied, k.loadElements(dtype, k.at(from, i, dtype), lanes, mask), k.at(to, i, copied), mask); });
  });
}

/// `turns` rows of a matrix from `row` on, of so many columns from `column` on.
FetchedRows partOf(KernelBuilder& k, const FetchedRows& of, Value row, Value column, int64_t columns, Value turns) {
  return {of.dtype, {k.at(of.rows.base, k.add(k.mul(row, of.rows.stride), column), of.dtype), of.rows.stride}, columns, turns, 1, /*apart=*/false, of.ends};
}

/// A row of a matrix, of so many columns from `column` on, line by line, if it is there.
FetchedRows rowOf(KernelBuilder& k, DType dtype, const Matrix& of, Value row, Value column, int64_t columns, Value isThere) {
  constexpr int64_t line = 64, most = 16; // most: fetches, so that a short depth has turns enough
  bool isAligned = KernelBuilder::constantOf(of.stride).value_or(1) * static_cast<int64_t>(byteSize(dtype)) % line == 0;
  int64_t lines = ceilDiv(columns * static_cast<int64_t>(byteSize(dtype)), line) + (isAligned ? 0 : 1), together = ceilDiv(lines, most);
  Value turns = k.index(ceilDiv(lines, together) * FetchedRows::kTurnsApart);
  Value first = k.at(of.base, k.add(k.mul(row, of.stride), column), dtype);
  return {DType::U8, {first, k.index(together * line)}, together * line, k.choose(isThere, turns, k.index(0)), /*every=*/1, /*apart=*/true};
}

} // namespace

namespace {

// Rows ahead of those that are multiplied, which are fetched for what stands behind the product; about as many go to it at once.
constexpr int64_t kReadAhead = 24;
// Of rows that fall onto each other in L1, about as many go to it at once: whole blocks of registers.
constexpr int64_t kRowsTogether = 6;

/// Rows that what stands behind the product takes at once: fewer where they fall onto each other in L1, which has eight places for such lines. (Zen 3: to read
/// and write a line takes some 50 cycles where 24 rows 4 KiB apart are one chunk, 18 where 8 to 10 are, and 6 where they do not fall onto each other.)
int64_t chunkOf(llvm::ArrayRef<FetchedRows> read) {
  constexpr int64_t period = 4096;
  int64_t chunk = kReadAhead;
  for (const FetchedRows& one : read)
    if (std::optional<int64_t> stride = KernelBuilder::constantOf(one.rows.stride))
      chunk = std::min(chunk, kRowsTogether * period / std::gcd(period, *stride * static_cast<int64_t>(byteSize(one.dtype))));
  return std::max(chunk, kRowsTogether);
}

/// Rows of a block in pieces of `about` rows, whose sums have what stands behind the product as soon as they are there.
void forChunks(KernelBuilder& k, Value rows, int64_t multiple, int64_t about, llvm::function_ref<void(Value first, Value rows)> visit) {
  int64_t chunk = ceilDiv(about, multiple) * multiple;
  if (isWhole(rows, chunk))
    return k.loop(0, rows, chunk, [&](Value first) { visit(first, k.index(chunk)); });
  // The last piece takes along what is less than half of one: sums of few rows would wait for those before.
  Value last = k.sub(k.max(k.index(1), k.div(k.add(rows, chunk / 2), chunk)), k.index(1));
  k.loop(0, k.add(last, 1), 1, [&](Value piece) {
    Value first = k.mul(piece, chunk), isLast = k.compare(ir::Predicate::EQ, piece, last);
    visit(first, k.choose(isLast, k.sub(rows, first), k.index(chunk)));
  });
}

/// Where in a block's products with its panels a block of registers stands.
struct PlaceInBlock {
  Value panel, begin, end; // of the panels
  Value row, rows;         // of the block's
};

/// Adds to `all` what the products of a block of registers fetch, over `count` of the depth, for what stands behind a product of the last slice: their own
/// rows; or, where rows fall onto each other (`ahead`), as many rows a few blocks of registers further on, which may go on with the next panel's first ones,
/// and the first blocks of all their own. Those take turns apart; a depth that has too few has all of them in front where only a call
/// knows it, and else a row in each turn.
void fetchRead(KernelBuilder& k, llvm::ArrayRef<FetchedRows> read, const PlaceInBlock& at, int64_t nr, int64_t registerRows, Value count, Value isLast,
               bool ahead, std::vector<FetchedRows>& all) {
  Value none = k.index(0), one = k.index(1), most = k.index(registerRows);
  if (!ahead)
    for (const FetchedRows& tensor : read) {
      FetchedRows part = partOf(k, tensor, at.row, k.mul(at.panel, nr), nr, k.choose(isLast, most, none));
      part.multiple = registerRows;
      all.push_back(part);
    }
  if (!ahead || read.empty())
    return;
  Value lead = k.min(k.index(kReadAhead), at.rows), later = k.add(at.row, lead), nextPanel = k.add(at.panel, 1);
  Value ofPanel = k.max(none, k.sub(at.rows, later)), ofLead = k.max(none, k.sub(lead, at.row));
  Value isFirst = k.bitAnd(isLast, k.compare(ir::Predicate::EQ, at.panel, at.begin));
  Value rowsAhead = k.choose(isLast, k.choose(k.compare(ir::Predicate::LT, nextPanel, at.end), most, k.min(ofPanel, most)), none);
  Value ownRows = k.choose(isFirst, k.min(ofLead, most), none);
  int64_t turns = registerRows * FetchedRows::kTurnsApart;
  std::optional<int64_t> known = KernelBuilder::constantOf(count);
  bool apart = known.value_or(turns) >= turns;
  auto parts = [&](auto use) {
    for (const FetchedRows& tensor : read) {
      FetchedRows further = partOf(k, tensor, later, k.mul(at.panel, nr), nr, {});
      further.until = ofPanel;
      further.behind = partOf(k, tensor, k.sub(later, at.rows), k.mul(nextPanel, nr), nr, {}).rows.base;
      use(further, rowsAhead);
      use(partOf(k, tensor, at.row, k.mul(at.panel, nr), nr, {}), ownRows);
    }
  };
  if (!known) {
    Value isShort = k.compare(ir::Predicate::LT, count, k.index(turns));
    k.when(k.bitAnd(isShort, isLast),
           [&] { parts([&](const FetchedRows& part, Value rows) { k.loop(none, rows, one, [&](Value number) { part.fetch(k, part.row(k, number)); }); }); });
    rowsAhead = k.choose(isShort, none, rowsAhead);
    ownRows = k.choose(isShort, none, ownRows);
  }
  parts([&](FetchedRows part, Value rows) {
    part.turns = apart ? k.mul(rows, FetchedRows::kTurnsApart) : rows;
    part.apart = apart;
    part.multiple = 1;
    all.push_back(part);
  });
}

// Sums that wait for nobody while a multiply-add is on its way: twice its latency of four.
constexpr int64_t kSumsInFlight = 8;
// Bytes of panels that are read while a multiply-add is on its way: what memory gives a core in its four cycles, and what its own caches do.
constexpr int64_t kBytesInFlight = 32, kNearBytesInFlight = 128;
// Rows that are few: their panels are read as fast as memory gives them.
constexpr int64_t kFewRows = 4;

/// The products of a block, panel by panel or several at once, into tiles.
class PanelProducts {
public:
  PanelProducts(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block)
      : k_(k), block_(block), nr_(schedule.nr),
        registers_{block.dtype, schedule.rows, schedule.nr / k.lanes(block.dtype), block.panelType, block.panels ? kPanelsAhead : 0, block.group} {
    // Rows that are read for one panel or two come from memory as fast as they are multiplied.
    std::optional<int64_t> depth = KernelBuilder::constantOf(block.depth);
    registers_.fetchesRows = schedule.panels <= 2 && !block.rowAt && depth && *depth * static_cast<int64_t>(byteSize(block.dtype)) >= kLongRow;
    // A panel without another (a gate's) is there once it has been read.
    bool isAlone = KernelBuilder::constantOf(block.begin) == 0 && KernelBuilder::constantOf(block.end) == 1;
    fetchesPanels_ =
        block.panels && !block.makeRows && !block.panelsAreNear && !isAlone && depth && std::min(*depth, schedule.slice) * rowBytes() >= kLongSlice;
    // Few rows (timesFew) read a panel in one stretch as fast as it comes, and what the machine fetches by itself comes fastest. Codes are waited for: widening
    // them takes as long as reading them (Zen 4, T=1 of 64 experts: f32 without fetches 49 GB/s, with them 47; int8 33 and 36). Where the whole depth is one
    // slice and panels come one by one, the products of few rows are those of many, and fetch.
    ofFew_ = registers_;
    if (!block.group)
      ofFew_.ahead = 0;
  }

  /// How many panels `rows` rows take at once: 1, or as many as have enough sums to read them fast enough. Nothing is foreseen where panels are near: there
  /// sums are to be enough. Elsewhere no more, for one panel is one stretch of memory, of which the machine foresees the next lines; it does so less well of
  /// several that follow each other. Two long ones that lie apart (panelOf) come faster (Zen 3: f32 and bf16 take 0.78 to 0.84 of the time); not measured with
  /// vectors of 64 bytes.
  int64_t panelsAtOnce(int64_t rows) const {
    bool near = block_.panelsAreNear;
    int64_t vectors = registers_.vectors, sums = rows * vectors,
            besides = vectors * ((near ? 1 : 0) + (block_.group ? 1 : 0)); // a panel's row, and totals of its groups
    int64_t enough = ceilDiv(near ? kNearBytesInFlight : kBytesInFlight, nr_ * static_cast<int64_t>(byteSize(block_.panelType)));
    if (!near && k_.target().vectorBytes < 64 && KernelBuilder::constantOf(block_.depth).value_or(0) * rowBytes() >= kLongSlice)
      enough = std::max<int64_t>(enough, 2);
    int64_t inFlight = near ? ceilDiv(kSumsInFlight, sums) : kSumsInFlight / sums;
    return std::max<int64_t>(1, std::min({enough, inFlight, (k_.target().vectorRegisters - 2) / (sums + besides)}));
  }

  /// Whether `times` calls `finished` for a few rows at once, since that reads something; else it does not.
  bool inChunks() const { return !block_.read.empty(); }

  /// `fresh`: i1, of a product by slices, whether this is the first one; null where there is one slice alone.
  void times(const Matrix& a, Value panel, Value from, Value count, const Matrix& tile, Value fresh, FinishedRows finished) const {
    PanelOfTile all = block_.makeRows ? toTile(block_.makeRows(panel, from, count), panel, tile) : panelAt(panel, from, tile);
    Value isLast = k_.compare(ir::Predicate::GE, k_.add(from, count), block_.depth);
    auto multiplyFrom = [&](Value row, Value rows) {
      PanelOfTile of = all;
      if (tile.base)
        of.tile.base = k_.at(tile.base, k_.mul(row, nr_), block_.dtype);
      auto fetched = [&](Value first, int64_t turns) {
        std::vector<FetchedRows> fetches;
        fetchRead(k_, block_.read, {panel, block_.begin, block_.end, k_.add(row, first), block_.rows}, nr_, turns, count, isLast, fallTogether(), fetches);
        if (block_.madeOf) {
          Value next = k_.add(panel, 1), isFirst = k_.compare(ir::Predicate::EQ, k_.add(row, first), k_.index(0));
          Value isThere = k_.bitAnd(isFirst, k_.compare(ir::Predicate::LT, next, block_.end));
          fetches.push_back(block_.madeOf(next, from, k_.choose(isThere, count, k_.index(0))));
        }
        if (fetchesPanels_)
          fetches.push_back(nextSlice(panel, from, count, k_.add(row, first)));
        return fetches;
      };
      if (inChunks() || block_.madeOf || fetchesPanels_)
        of.fetched = fetched;
      multiply(k_, registers_, rows, {k_.at(a.base, k_.mul(row, a.stride), block_.dtype), a.stride}, of, count, static_cast<bool>(fresh), fresh);
      if (of.taker || !inChunks())
        return;
      fresh ? k_.when(isLast, [&] { finished(panel, row, rows, of.tile); }) : finished(panel, row, rows, of.tile);
    };
    // What a whole block of rows reads, a power of two apart, L2 would not hold until all of its products are there.
    inChunks() ? forChunks(k_, block_.rows, registers_.rows, fallTogether() ? kRowsTogether : kReadAhead, multiplyFrom)
               : multiplyFrom(k_.index(0), block_.rows);
  }

  /// Which panel of a block stands at a place in few rows' order, of so many at once. Two at once are one of the first half and one of the second: so both are
  /// long stretches of memory, and what is fetched ahead of one is its own (Zen 3, codes of one to eight tokens: 0.87 to 0.93 of the time of neighbours).
  Value panelOf(Value place, Value atOnce) const {
    if (block_.panelsAreNear || KernelBuilder::constantOf(atOnce).value_or(2) != 2)
      return place;
    Value half = k_.div(k_.add(k_.sub(block_.end, block_.begin), 1), 2), number = k_.sub(place, block_.begin);
    Value apart = k_.add(k_.add(block_.begin, k_.div(number, 2)), k_.mul(k_.rem(number, 2), half));
    return k_.choose(k_.compare(ir::Predicate::EQ, atOnce, k_.index(2)), apart, place);
  }

  /// Panels at the places [first, last), at most panelsAtOnce(rows) of them, over the whole depth.
  void timesFew(int64_t rows, const Matrix& a, Value first, Value last, llvm::function_ref<Matrix(Value place)> tileOf) const {
    timesAtMost(panelsAtOnce(rows), first, last, [&](Value begin, int64_t count) {
      llvm::SmallVector<PanelOfTile> panels;
      for (int64_t i = 0; i < count; ++i) {
        Value place = k_.add(begin, i);
        panels.push_back(panelAt(panelOf(place, k_.index(panelsAtOnce(rows))), k_.index(0), tileOf(place)));
      }
      multiplyFew(k_, ofFew_, rows, a, panels, block_.depth, false);
    });
  }

private:
  /// `most` panels at once, or, where [first, last) are fewer, halves of so many, as far as they go.
  void timesAtMost(int64_t most, Value first, Value last, llvm::function_ref<void(Value begin, int64_t count)> times) const {
    if (most == 1)
      return times(first, 1);
    int64_t half = ceilDiv(most, 2);
    k_.when(
        k_.compare(ir::Predicate::EQ, k_.sub(last, first), k_.index(most)), [&]() -> Values { return times(first, most), Values(); },
        [&]() -> Values {
          k_.loop(first, last, k_.index(half), [&](Value begin) { timesAtMost(half, begin, k_.min(k_.add(begin, half), last), times); });
          return Values();
        });
  }
  /// Whether rows of a tensor that is read behind the product all fall onto each other in L1. Of others (14 KiB apart) smaller chunks gained nothing here.
  bool fallTogether() const { return chunkOf(block_.read) <= kRowsTogether; }
  int64_t rowBytes() const { return nr_ * static_cast<int64_t>(byteSize(block_.panelType)); }
  /// What the block of rows from `row` on fetches of the slice behind this one: the first one half of it, the second one the other. Rows that are one block
  /// fetch nothing: they read the next slice as soon as this one is read. Those that are more would leave memory idle while the blocks behind the first read
  /// the slice from caches.
  FetchedRows nextSlice(Value panel, Value from, Value count, Value row) const {
    constexpr int64_t line = 64, mostTurns = 4;
    Value next = k_.add(panel, 1), isLast = k_.compare(ir::Predicate::GE, next, block_.end), behind = k_.add(from, count);
    Value isWhole = k_.compare(ir::Predicate::GE, behind, block_.depth); // then what follows are other panels, mostly those of the next item
    Value depth = k_.choose(isLast, k_.choose(isWhole, k_.index(0), behind), from), number = k_.choose(isLast, k_.choose(isWhole, next, block_.begin), next);
    int64_t stride = rowBytes() / 2, every = std::clamp<int64_t>(line / stride, 1, mostTurns);
    Value half = k_.choose(k_.compare(ir::Predicate::GT, row, k_.index(0)), k_.div(count, 2), k_.index(0));
    Value base = k_.at(block_.panels, k_.mul(k_.add(k_.add(k_.mul(number, block_.depth), depth), half), nr_), block_.panelType);
    Value most = k_.index(registers_.rows), fetches = k_.bitAnd(k_.compare(ir::Predicate::GT, block_.rows, most), k_.compare(ir::Predicate::LE, row, most));
    return {DType::U8, {base, k_.index(stride)}, stride, k_.choose(fetches, count, k_.index(0)), every};
  }
  PanelOfTile toTile(const Matrix& rows, Value panel, const Matrix& tile, Value scales = {}) const {
    return {rows, tile, scales, tile.base ? nullptr : block_.taker, panel};
  }
  PanelOfTile panelAt(Value panel, Value from, const Matrix& tile) const {
    Value base = k_.at(block_.panels, k_.mul(k_.add(k_.mul(panel, block_.depth), from), nr_), block_.panelType), scales;
    if (block_.group) {
      Value groups = k_.div(k_.add(block_.depth, block_.group - 1), block_.group);
      scales = k_.at(block_.scales, k_.mul(k_.add(k_.mul(panel, groups), k_.div(from, block_.group)), nr_), DType::BF16);
    }
    return toTile({base, k_.index(nr_)}, panel, tile, scales);
  }

  KernelBuilder& k_;
  const ProductBlock& block_;
  int64_t nr_;
  RegisterBlock registers_, ofFew_;
  bool fetchesPanels_ = false;
};

/// One body for each count of few rows, from `count` up to `most`, and one for all others.
void whenFew(KernelBuilder& k, Value rows, int64_t count, int64_t most, llvm::function_ref<void(int64_t rows)> few, llvm::function_ref<void()> others) {
  if (count > most)
    return others();
  k.when(
      k.compare(ir::Predicate::EQ, rows, k.index(count)), [&]() -> Values { return few(count), Values(); },
      [&]() -> Values { return whenFew(k, rows, count + 1, most, few, others), Values(); });
}

} // namespace

bool areFew(const Size& rows, const Size& depth) { return depth.constant() && rows.constant().value_or(kFewRows + 1) <= kFewRows; }

void multiplyPanels(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block, FinishedRows finished) {
  if (schedule.tiles)
    return multiplyPanelsByTiles(k, schedule, block, finished);
  int64_t nr = schedule.nr, line = 64 / static_cast<int64_t>(byteSize(block.dtype));
  mlir::Type element = k.typeOf(block.dtype);
  PanelProducts products(k, schedule, block);
  std::optional<int64_t> depth = KernelBuilder::constantOf(block.depth);
  bool whole = depth && *depth <= schedule.slice;
  // A line more than whole lines: rows spread over L1.
  auto spread = [&](int64_t elements) { return (elements + line - 1) / line * line + line; };
  int64_t tileElements = schedule.rowBlock * nr, stride = spread(whole ? *depth : schedule.slice);
  int64_t few = depth && !block.makeRows ? std::min(kFewRows, schedule.rowBlock) : 0, fewStride = depth ? spread(*depth) : 0;
  Value copy = block.rowAt ? k.scratch(bytesOf(block.dtype, std::max(schedule.rowBlock * stride, few * fewStride))) : Value();
  // Of panels at the places [first, last) all rows; those that were finished in chunks are not.
  auto finish = [&](Value first, Value last, Value atOnce, int64_t mostFew, llvm::function_ref<Matrix(Value place)> tileOf) {
    auto all = [&] { k.loop(first, last, k.index(1), [&](Value place) { finished(products.panelOf(place, atOnce), k.index(0), block.rows, tileOf(place)); }); };
    if (!products.inChunks())
      all();
    else if (mostFew > 0)
      k.when(k.compare(ir::Predicate::LE, block.rows, k.index(mostFew)), all);
  };
  auto slice = [&](Value from, Value count, int64_t apart) {
    if (!copy)
      return Matrix{k.at(block.a.base, from, element), block.a.stride};
    copyRows(k, block.rowType, block.rows, count, [&](Value row) { return k.at(block.rowAt(row), from, block.rowType); }, {copy, k.index(apart)});
    return Matrix{copy, k.index(apart)};
  };
  if (whole) {
    // Where few rows take several panels at once, their tiles are as short.
    int64_t most = 0;
    while (most < few && products.panelsAtOnce(most + 1) > 1)
      ++most;
    Value step = k.index(1);
    for (int64_t rows = 1; rows <= most; ++rows)
      step = k.choose(k.compare(ir::Predicate::EQ, block.rows, k.index(rows)), k.index(products.panelsAtOnce(rows)), step);
    int64_t shortTile = most * nr;
    Value tiles = block.taker ? Value() : k.scratch(bytesOf(block.dtype, std::max(tileElements, shortTile * products.panelsAtOnce(1))));
    Matrix a = slice(k.index(0), block.depth, stride);
    k.loop(block.begin, block.end, step, [&](Value first) {
      Value last = k.min(k.add(first, step), block.end);
      auto tileOf = [&](Value place) { return block.taker ? Matrix() : Matrix{k.at(tiles, k.mul(k.sub(place, first), shortTile), element), k.index(nr)}; };
      whenFew(
          k, block.rows, 1, most, [&](int64_t rows) { products.timesFew(rows, a, first, last, tileOf); },
          [&] { products.times(a, first, k.index(0), block.depth, tileOf(first), {}, finished); });
      if (!block.taker)
        finish(first, last, step, most, tileOf);
    });
    return;
  }
  Value tiles = k.scratch(bytesOf(block.dtype, schedule.panels * tileElements));
  auto tileOf = [&](Value panel) { return Matrix{k.at(tiles, k.mul(k.sub(panel, block.begin), tileElements), element), k.index(nr)}; };
  auto ofFew = [&](int64_t rows) {
    Matrix a = slice(k.index(0), block.depth, fewStride);
    Value step = k.index(products.panelsAtOnce(rows));
    auto tileAt = [&](Value place) { return tileOf(products.panelOf(place, step)); };
    k.loop(block.begin, block.end, step, [&](Value first) { products.timesFew(rows, a, first, k.min(k.add(first, step), block.end), tileAt); });
  };
  auto sliceBySlice = [&] {
    // A depth of 0 makes one turn too, which leaves zeros.
    k.loop(0, k.max(block.depth, k.index(1)), schedule.slice, [&](Value from) {
      Value count = depth && *depth % schedule.slice == 0 ? k.index(schedule.slice) : k.min(k.index(schedule.slice), k.sub(block.depth, from));
      Matrix a = slice(from, count, stride);
      Value fresh = k.compare(ir::Predicate::EQ, from, k.index(0));
      k.loop(block.begin, block.end, k.index(1), [&](Value panel) { products.times(a, panel, from, count, tileOf(panel), fresh, finished); });
    });
  };
  whenFew(k, block.rows, 1, few, ofFew, sliceBySlice);
  finish(block.begin, block.end, k.index(1), few, tileOf);
}

void copyBlock(KernelBuilder& k, DType dtype, const Matrix& from, Value rows, Value columns, int64_t width, const Matrix& to, int64_t rowsAhead) {
  DType copied = sumType(dtype);
  int64_t lanes = k.lanes(dtype);
  Value zeros = k.zero(k.vectorOf(k.typeOf(copied), lanes));
  auto upTo = [&](int64_t multiple) { return k.mul(k.div(k.add(columns, multiple - 1), multiple), multiple); };
  k.loop(0, rows, 1, [&](Value row) {
    Value source = k.at(from.base, k.mul(row, from.stride), dtype), target = k.at(to.base, k.mul(row, to.stride), copied);
    Value ahead = rowsAhead ? k.at(source, k.mul(from.stride, rowsAhead), dtype) : Value();
    // Masked elements are zeros: the last vector is stored whole.
    k.vectorLoop(columns, lanes, [&](Value i, Value mask) {
      if (ahead)
        k.prefetch(k.at(ahead, i, dtype));
      k.store(k.loadElements(dtype, k.at(source, i, dtype), lanes, mask), k.at(target, i, copied));
    });
    if (width > lanes)
      k.loop(upTo(lanes), upTo(width), k.index(lanes), [&](Value i) { k.store(zeros, k.at(target, i, copied)); });
  });
}

bool copiesColumns(DType dtype, const Size& columns) {
  std::optional<int64_t> known = columns.constant();
  return dtype != sumType(dtype) || !known || *known * static_cast<int64_t>(byteSize(dtype)) > kNarrowBytes;
}

namespace {

/// Adds the columns of `count` rows to `sums`, which begin with the first slice. The rows are whole vectors, zeros behind.
void addColumns(KernelBuilder& k, DType dtype, const Matrix& rows, Value columns, Value count, Value fresh, Value sums) {
  constexpr int64_t sideBySide = 4;
  int64_t lanes = k.lanes(dtype);
  mlir::Type element = k.typeOf(dtype), wide = k.vectorOf(k.f64(), lanes);
  auto add = [&](Value column, int64_t vectors) {
    auto sumsAt = [&](int64_t v) { return k.at(sums, k.add(column, v * lanes), DType::F64); };
    Values before;
    for (int64_t v = 0; v < vectors; ++v)
      before.push_back(k.choose(fresh, k.zero(wide), k.load(wide, sumsAt(v))));
    Values all = k.loop(k.index(0), count, k.index(1), before, [&](Value row, const Values& carried) {
      Value start = k.at(rows.base, k.add(k.mul(row, rows.stride), column), element);
      Values next;
      for (auto [v, sum] : llvm::enumerate(carried))
        next.push_back(k.add(sum, k.toFloat(k.load(k.vectorOf(element, lanes), k.at(start, k.index(static_cast<int64_t>(v) * lanes), element)), k.f64())));
      return next;
    });
    for (auto [v, sum] : llvm::enumerate(all))
      k.store(sum, sumsAt(static_cast<int64_t>(v)));
  };
  Value whole = k.mul(k.div(columns, sideBySide * lanes), sideBySide * lanes);
  k.loop(k.index(0), whole, k.index(sideBySide * lanes), [&](Value column) { add(column, sideBySide); });
  k.loop(whole, columns, k.index(lanes), [&](Value column) { add(column, 1); });
}

} // namespace

void multiplyTransposed(KernelBuilder& k, const ProductSchedule& schedule, const TransposedBlock& block, FinishedRows finished) {
  DType computed = sumType(block.dtype);
  int64_t lanes = k.lanes(computed), nr = schedule.nr, line = 64 / static_cast<int64_t>(byteSize(computed));
  mlir::Type element = k.typeOf(computed);
  bool packed = static_cast<bool>(block.panels);
  RegisterBlock registers{computed, schedule.rows, nr / lanes, packed ? block.panelType : computed};
  bool copiesA = !isNarrow(block.dtype, block.a), copiesB = !packed && !(isNarrow(block.dtype, block.b) && isWhole(block.columns, nr));
  // Rows an odd number of lines apart spread over L1.
  auto spread = [&](int64_t elements) { return ((elements + line - 1) / line | 1) * line; };
  int64_t tileElements = schedule.rowBlock * nr, aStride = spread(schedule.rowBlock), bStride = spread(schedule.panels * nr);
  Value tiles = k.scratch(bytesOf(computed, schedule.panels * tileElements));
  Value aCopy = copiesA ? k.scratch(bytesOf(computed, schedule.slice * aStride)) : Value();
  Value columnSums = block.sums ? k.scratch(bytesOf(DType::F64, schedule.rowBlock + lanes)) : Value();
  Value bCopy = copiesB ? k.scratch(bytesOf(computed, schedule.slice * bStride)) : Value();
  auto tileOf = [&](Value panel) { return Matrix{k.at(tiles, k.mul(k.sub(panel, block.begin), tileElements), element), k.index(nr)}; };
  // Slices are about equal: beside the products of the last one is fetched what stands behind them.
  constexpr int64_t turn = 4;
  Value slices = k.max(k.index(1), k.div(k.add(block.depth, schedule.slice - 1), schedule.slice));
  Value length = k.mul(k.div(k.add(k.div(k.sub(k.add(block.depth, slices), k.index(1)), slices), turn - 1), turn), turn);
  length = schedule.slice % turn == 0 ? k.max(k.index(turn), length) : k.index(schedule.slice);
  // Of the next slice each block of registers fetches as many rows, line by line: neighbours in a row do not fall onto each other in L1.
  constexpr int64_t mostNextRows = 2;
  bool hasNext = KernelBuilder::constantOf(block.depth).value_or(schedule.slice + 1) > schedule.slice;
  int64_t nextRows = ceilDiv(schedule.slice, schedule.panels * ceilDiv(schedule.rowBlock, schedule.rows));
  k.loop(k.index(0), k.max(block.depth, k.index(1)), length, [&](Value from) { // of no depth too: zeros
    Value count = k.min(length, k.sub(block.depth, from)), fresh = k.compare(ir::Predicate::EQ, from, k.index(0));
    Value next = k.add(from, length), isLast = k.compare(ir::Predicate::GE, next, block.depth);
    auto sliceOf = [&](const Matrix& m) { return Matrix{k.at(m.base, k.mul(from, m.stride), block.dtype), m.stride}; };
    Matrix a = copiesA ? Matrix{aCopy, k.index(aStride)} : sliceOf(block.a);
    if (copiesA)
      copyBlock(k, block.dtype, sliceOf(block.a), count, block.rows, lanes, a, kRowsAhead);
    if (block.sums)
      k.when(block.sums->wanted, [&] {
        addColumns(k, computed, a, block.rows, count, fresh, columnSums);
        k.when(isLast, [&] {
          k.vectorLoop(block.rows, lanes, [&](Value column, Value mask) {
            block.sums->use(column, k.load(k.vectorOf(k.f64(), lanes), k.at(columnSums, column, DType::F64)), mask);
          });
        });
      });
    if (copiesB) {
      Value first = k.mul(block.begin, nr), there = k.min(k.mul(k.sub(block.end, block.begin), nr), k.sub(block.columns, first));
      copyBlock(k, block.dtype, {k.at(block.b.base, k.add(k.mul(from, block.b.stride), first), block.dtype), block.b.stride}, count, there, nr,
                {bCopy, k.index(bStride)}, kRowsAhead);
    }
    k.loop(block.begin, block.end, k.index(1), [&](Value panel) {
      Matrix b = packed    ? Matrix{k.at(block.panels, k.mul(k.add(k.mul(panel, block.depth), from), nr), block.panelType), k.index(nr)}
                 : copiesB ? Matrix{k.at(bCopy, k.mul(k.sub(panel, block.begin), nr), element), k.index(bStride)}
                           : Matrix{k.at(sliceOf(block.b).base, k.mul(panel, nr), element), block.b.stride};
      auto multiplyFrom = [&](Value row, Value rows) {
        Matrix tile = tileOf(panel);
        PanelOfTile product{b, {k.at(tile.base, k.mul(row, nr), element), tile.stride}};
        // Sums that the whole of an item wrote at once would be waited for: those of a block of rows are on their way to memory while the next one is
        // multiplied.
        if (block.taker) {
          product.taker = block.taker;
          product.takes = isLast;
          product.number = panel;
        }
        // So would what is copied for the next slice, and what is read behind the last one: all of it is somewhere else than what was read before.
        auto fetched = [&](Value inChunk, int64_t turns) {
          std::vector<FetchedRows> all;
          Value first = k.add(row, inChunk), none = k.index(0), column = k.mul(block.begin, nr);
          if (hasNext && nextRows <= mostNextRows) {
            // The last blocks of registers do it: what is fetched early is gone before it is copied, for rows fall onto each other in L2, too.
            Value blocks = k.div(k.add(block.rows, schedule.rows - 1), schedule.rows), inAll = k.mul(k.sub(block.end, block.begin), blocks);
            Value number = k.add(k.mul(k.sub(panel, block.begin), blocks),
                                 k.div(k.add(first, schedule.rows - 1), schedule.rows)); // the last one may be less than a block behind
            Value end = k.min(k.add(next, length), block.depth), lead = k.sub(k.mul(inAll, nextRows), k.sub(end, next));
            for (int64_t i = 0; i < nextRows; ++i) {
              Value behind = k.sub(k.add(k.mul(number, nextRows), i), lead), nextRow = k.add(next, behind);
              Value isThere = k.bitAnd(k.compare(ir::Predicate::GE, behind, none), k.compare(ir::Predicate::LT, nextRow, end));
              if (copiesA)
                all.push_back(rowOf(k, block.dtype, block.a, nextRow, none, schedule.rowBlock, isThere));
              if (copiesB)
                all.push_back(rowOf(k, block.dtype, block.b, nextRow, column, schedule.panels * nr, isThere));
            }
          } else if (hasNext) {
            Value left = k.max(none, k.sub(block.depth, next));
            if (copiesA)
              all.push_back(partOf(k, {block.dtype, block.a}, next, first, turns, k.choose(k.compare(ir::Predicate::EQ, panel, block.begin), left, none)));
            if (copiesB)
              all.push_back(partOf(k, {block.dtype, block.b}, next, k.mul(panel, nr), nr, k.choose(k.compare(ir::Predicate::EQ, first, none), left, none)));
          }
          fetchRead(k, block.read, {panel, block.begin, block.end, first, block.rows}, nr, turns, count, isLast, chunkOf(block.read) < kReadAhead, all);
          return all;
        };
        product.fetched = fetched;
        multiply(k, registers, rows, {k.at(a.base, row, element), k.index(1), a.stride}, product, count, true, fresh);
        if (!block.taker)
          k.when(isLast, [&] { finished(panel, row, rows, product.tile); });
      };
      block.read.empty() ? multiplyFrom(k.index(0), block.rows) : forChunks(k, block.rows, schedule.rows, chunkOf(block.read), multiplyFrom);
    });
  });
}

Matrix copyRows(KernelBuilder& k, DType dtype, Value rows, int64_t most, const Size& depth, llvm::function_ref<Value(Value row)> rowAt) {
  DType copied = sumType(dtype);
  int64_t line = 64 / static_cast<int64_t>(byteSize(copied));
  Size stride = alignUp(depth, line) + Size(line);
  Matrix copy{k.scratch(bytesOf(copied, Size(most) * stride)), k.size(stride)};
  copyRows(k, dtype, rows, k.size(depth), rowAt, copy);
  return copy;
}

void packPanel(KernelBuilder& k, DType dtype, const Matrix& b, Value first, Value rows, Value depth, int64_t nr, Value panel) {
  turnPanel(k, dtype, {k.at(b.base, k.mul(first, b.stride), dtype), b.stride}, depth, k.sub(rows, first), nr, panel, sumType(dtype));
}

Value stridedOffset(KernelBuilder& k, Value linear, llvm::ArrayRef<Size> sizes, llvm::ArrayRef<Size> strides) {
  // Neighbours that one index can walk become one dimension.
  std::vector<Size> extent, step;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (is(sizes[i], 1))
      continue;
    if (!extent.empty() && step.back() == strides[i] * sizes[i]) {
      extent.back() = extent.back() * sizes[i];
      step.back() = strides[i];
    } else {
      extent.push_back(sizes[i]);
      step.push_back(strides[i]);
    }
  }
  Value offset = k.index(0);
  for (size_t i = extent.size(); i-- > 0;) {
    Value size = i == 0 ? Value() : k.size(extent[i]);
    if (!is(step[i], 0))
      offset = k.add(offset, k.mul(i == 0 ? linear : k.rem(linear, size), k.size(step[i])));
    if (i != 0)
      linear = k.div(linear, size);
  }
  return offset;
}

} // namespace moec::codegen::cpu
