#include "codegen/cpu/MicroKernel.h"

#include <numeric>

namespace moec::codegen::cpu {
namespace {

/// What `rows` rows of a and some panels are multiplied by.
struct Sums {
  const RegisterBlock& block;
  int64_t rows;
  std::vector<Values> aRows; // for each vector of the panels, which reads them there; or one for all
  Value aStep;               // null: elements follow each other
  llvm::ArrayRef<PanelOfTile> panels;
  Value nextRows = {}; // elements to the rows of the next block, which are fetched; null: they are not
  std::vector<FetchedRows> fetched = {};

  size_t count() const { return static_cast<size_t>(rows * block.vectors) * panels.size(); }
};

/// A vector of a row of a panel as numbers of the sums' dtype: of codes as they are, without their scale.
Value loadWeights(KernelBuilder& k, const RegisterBlock& block, Value address) {
  Value stored = k.loadElements(block.panelType, address, k.lanes(block.dtype));
  return block.group == 0 ? stored : k.toFloat(k.toInteger(stored, k.i32()), k.f32());
}

// Rows [depth + from, depth + count) of what is fetched, as far as there are so many.
void fetchTurns(KernelBuilder& k, const FetchedRows& one, Value depth, int64_t from, int64_t count) {
  int64_t sure = std::gcd(one.multiple, count); // rows that are there or not together
  k.when(k.compare(ir::Predicate::LT, k.add(depth, from), one.turns), [&] {
    for (int64_t u = from; u < std::min(from + sure, count); ++u)
      if (u % one.every == 0)
        one.fetch(k, one.row(k, k.add(depth, u)));
    if (from + sure < count)
      fetchTurns(k, one, depth, from + sure, count);
  });
}

// What stands in a turn of the loop for turns [depth, depth + count) of the depth.
void fetchRows(KernelBuilder& k, const Sums& of, Value depth, int64_t count) {
  constexpr int64_t apart = FetchedRows::kTurnsApart;
  for (const FetchedRows& one : of.fetched) {
    if (!one.apart) {
      fetchTurns(k, one, depth, 0, count);
      continue;
    }
    Value isTurn = k.compare(ir::Predicate::LT, depth, one.turns);
    if (count % apart != 0)
      isTurn = k.bitAnd(isTurn, k.compare(ir::Predicate::EQ, k.bitAnd(depth, k.index(apart - 1)), k.index(0)));
    k.when(isTurn, [&] { one.fetch(k, one.row(k, k.div(depth, apart))); });
  }
}

// for k in [begin, end) by unroll:  b[p][v] = panel p[k][v];  sum[p][r][v] += broadcast(a[r][k]) * b[p][v]
Values accumulateOver(KernelBuilder& k, const Sums& of, Value begin, Value end, int64_t unroll, const Values& first) {
  constexpr int64_t line = 64, leastTurn = 16; // bytes of a row in a turn that are worth a fetch: a line has few such turns
  const RegisterBlock& block = of.block;
  int64_t lanes = k.lanes(block.dtype), panelBytes = block.width(k) * static_cast<int64_t>(byteSize(block.panelType));
  mlir::Type element = k.typeOf(block.dtype);
  bool fetchesRows = of.nextRows && unroll * static_cast<int64_t>(byteSize(block.dtype)) >= leastTurn;
  return k.loop(begin, end, k.index(unroll), first, [&](Value depth, const Values& carried) {
    fetchRows(k, of, depth, unroll);
    Values sums = carried, panelRows;
    for (const PanelOfTile& b : of.panels)
      panelRows.push_back(k.at(b.panel.base, k.mul(depth, b.panel.stride), block.panelType));
    for (int64_t u = 0; u < unroll; ++u) {
      Values b;
      for (auto [p, panelRow] : llvm::enumerate(panelRows))
        for (int64_t v = 0; v < block.vectors; ++v)
          b.push_back(loadWeights(k, block, k.at(panelRow, k.add(k.mul(of.panels[p].panel.stride, u), v * lanes), block.panelType)));
      for (int64_t byte = u * panelBytes; block.ahead && byte < (u + 1) * panelBytes; ++byte)
        if (byte % line == 0)
          for (Value panelRow : panelRows)
            k.prefetch(k.at(panelRow, k.index(byte + block.ahead), k.i8()));
      for (int64_t r = 0; r < of.rows; ++r) {
        Values as;
        for (const Values& aRows : of.aRows) {
          Value place = of.aStep ? k.at(k.at(aRows[r], k.mul(depth, of.aStep), element), k.mul(of.aStep, u), element)
                                 : k.at(k.at(aRows[r], depth, element), k.index(u), element);
          if (fetchesRows && u == 0 && as.empty())
            k.prefetch(k.at(place, of.nextRows, element), /*write=*/false, /*locality=*/2);
          as.push_back(k.broadcast(k.load(element, place), lanes));
        }
        for (size_t p = 0; p < of.panels.size(); ++p)
          for (int64_t v = 0; v < block.vectors; ++v) {
            Value& sum = sums[(static_cast<int64_t>(p) * of.rows + r) * block.vectors + v];
            size_t number = p * static_cast<size_t>(block.vectors) + static_cast<size_t>(v);
            sum = k.fma(as[number % as.size()], b[number], sum);
          }
      }
    }
    return sums;
  });
}

// How many of `panels` panels' vectors read a's elements by themselves. A broadcast that several read takes the unit that widens weights, and there are no two;
// AVX-512's multiply-adds broadcast what they read from memory for nothing (Zen 4, rows x vectors of bf16 in L1: 4 x 2 117 GFLOP/s for 88, 8 x 2 116 for 103).
size_t readersOfRows(const KernelBuilder& k, const RegisterBlock& block, size_t panels) {
  bool widens = block.panelType != block.dtype;
  return widens && k.target().vectorRegisters > 16 ? panels * static_cast<size_t>(block.vectors) : 1;
}

// Turns of the depth in one of the loop, `most` where they cost nothing. With one vector in a row each broadcast has one reader, whose sum LLVM then puts in
// the broadcast's register: over several turns the 16 registers run out, and sums go through memory (12 x 1 of f32: 39 - 63 GFLOP/s against 85).
int64_t unrolled(const KernelBuilder& k, const RegisterBlock& block, int64_t most) {
  return block.vectors == 1 && k.target().vectorRegisters <= 16 && k.target().hasFma ? 1 : most;
}

// accumulateOver in whole steps of `unroll`, then one by one.
Values accumulateAll(KernelBuilder& k, const Sums& of, Value begin, Value end, int64_t unroll, Values sums) {
  Value count = k.sub(end, begin), whole = k.sub(end, k.rem(count, unroll));
  sums = accumulateOver(k, of, begin, whole, unroll, sums);
  std::optional<int64_t> known = KernelBuilder::constantOf(count);
  if (unroll > 1 && !(known && *known % unroll == 0))
    sums = accumulateOver(k, of, whole, end, 1, sums);
  return sums;
}

// Codes go group by group: a group's products are summed up from zero, and the sum times its scale is added to those before. So a scale costs one multiply-add
// for each sum of a group, not one multiplication for each weight, which the units that multiply and add have no room for where rows are few; and a group's
// sums do not wait for those of the group before. Whole groups have a known count of steps.
Values accumulateGroups(KernelBuilder& k, const Sums& of, Value depth, int64_t unroll, Values totals) {
  const RegisterBlock& block = of.block;
  int64_t lanes = k.lanes(block.dtype);
  Values zeros(of.count(), k.zero(k.vectorOf(k.typeOf(block.dtype), lanes)));
  auto one = [&](Value group, Value count, const Values& before) {
    constexpr int64_t scalesAhead = 512; // bytes: sixteen groups of two vectors
    Sums here = of;
    Value from = k.mul(group, block.group);
    llvm::SmallVector<PanelOfTile> panels(of.panels);
    for (PanelOfTile& b : panels)
      b.panel.base = k.at(b.panel.base, k.mul(from, b.panel.stride), block.panelType);
    for (Values& aRows : here.aRows)
      for (Value& row : aRows)
        row = k.at(row, of.aStep ? k.mul(from, of.aStep) : from, block.dtype);
    for (FetchedRows& rows : here.fetched)
      rows = rows.after(k, from);
    here.panels = panels;
    Values sums = accumulateAll(k, here, k.index(0), count, unroll, zeros);
    size_t next = 0;
    for (const PanelOfTile& b : of.panels) {
      Value row = k.at(b.scales, k.mul(group, block.width(k)), DType::BF16);
      if (block.ahead)
        k.prefetch(k.at(row, k.index(scalesAhead), k.i8()));
      Values scales;
      for (int64_t v = 0; v < block.vectors; ++v)
        scales.push_back(k.loadElements(DType::BF16, k.at(row, k.index(v * lanes), DType::BF16), lanes));
      for (int64_t r = 0; r < of.rows; ++r)
        for (Value scale : scales) {
          sums[next] = k.fma(scale, sums[next], before[next]);
          ++next;
        }
    }
    return sums;
  };
  Value whole = k.div(depth, block.group), rest = k.rem(depth, block.group);
  totals = k.loop(k.index(0), whole, k.index(1), totals, [&](Value group, const Values& carried) { return one(group, k.index(block.group), carried); });
  if (KernelBuilder::constantOf(rest) == 0)
    return totals;
  return k.when(k.compare(ir::Predicate::GT, rest, k.index(0)), [&] { return one(whole, rest, totals); }, [&] { return totals; });
}

// The block for exactly `rows` rows, from row `first` of the tiles on.
void multiplyRows(KernelBuilder& k, const RegisterBlock& block, Value first, int64_t rows, const Matrix& a, llvm::ArrayRef<PanelOfTile> panels, Value depth,
                  bool accumulate, Value fresh, int64_t mostUnrolled) {
  int64_t lanes = k.lanes(block.dtype);
  mlir::Type element = k.typeOf(block.dtype), vector = k.vectorOf(element, lanes);
  int64_t unroll = panels.size() == 1 ? unrolled(k, block, mostUnrolled) : mostUnrolled;
  Sums of{block, rows, std::vector<Values>(readersOfRows(k, block, panels.size())), a.step, panels};
  if (block.fetchesRows && rows == block.rows && !a.step)
    of.nextRows = k.mul(a.stride, rows);
  auto bytes = static_cast<int64_t>(byteSize(block.dtype));
  if (panels.front().fetched)
    of.fetched = panels.front().fetched(first, rows);
  auto forEachVector = [&](llvm::function_ref<void(const PanelOfTile& b, int64_t row, int64_t column)> visit) {
    for (const PanelOfTile& b : panels)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t v = 0; v < block.vectors; ++v)
          visit(b, r, v * lanes);
  };
  auto placeOf = [&](const PanelOfTile& b, int64_t row, int64_t column) {
    return k.at(k.at(b.tile.base, k.mul(first, b.tile.stride), element), k.add(k.mul(b.tile.stride, row), column), element);
  };
  for (Value base; Values& aRows : of.aRows) {
    base = base ? k.unrelated(base) : a.base;
    for (int64_t r = 0; r < rows; ++r)
      aRows.push_back(k.at(base, k.mul(a.stride, r), element));
  }
  const SumsTaker* taker = panels.front().taker;
  Value takes = panels.front().takes;
  auto fetch = [&] {
    constexpr int64_t line = 64;
    forEachVector([&](const PanelOfTile& b, int64_t row, int64_t column) {
      if (column * bytes % line == 0)
        taker->fetch(b.number, k.add(first, row), column);
    });
  };
  if (taker)
    takes ? k.when(takes, fetch) : fetch();
  Values zeros(of.count(), k.zero(vector));
  auto before = [&] {
    Values loaded;
    forEachVector([&](const PanelOfTile& b, int64_t row, int64_t column) { loaded.push_back(k.load(vector, placeOf(b, row, column))); });
    return loaded;
  };
  Values sums = !accumulate ? zeros : !fresh ? before() : k.when(fresh, [&] { return zeros; }, before);
  sums = block.group ? accumulateGroups(k, of, depth, unroll, sums) : accumulateAll(k, of, k.index(0), depth, unroll, sums);
  auto give = [&](bool toTaker) {
    size_t next = 0;
    forEachVector([&](const PanelOfTile& b, int64_t row, int64_t column) {
      Value sum = sums[next++];
      toTaker ? taker->take(b.number, k.add(first, row), column, sum) : k.store(sum, placeOf(b, row, column));
    });
    return Values();
  };
  takes ? k.when(takes, [&] { return give(true); }, [&] { return give(false); }) : give(taker != nullptr);
}

using RowsOfBlock = llvm::function_ref<void(Value row, int64_t count, int64_t unroll)>;

/// One body for each count of rows below `most`: no work on rows that are not there.
void writeRest(KernelBuilder& k, Value row, Value count, int64_t most, RowsOfBlock rowsFrom) {
  if (std::optional<int64_t> known = KernelBuilder::constantOf(count)) {
    if (*known > 0)
      rowsFrom(row, *known, 2);
    return;
  }
  for (int64_t each = 1; each < most; ++each)
    k.when(k.compare(ir::Predicate::EQ, count, k.index(each)), [&] { rowsFrom(row, each, 2); });
}

/// How `rows` rows become blocks of at most `most`: whole ones up to `first`, then `left` rows, of which `each` at once.
struct CutRows {
  Value first, left, each;

  // So few rows that their sums would wait for those before take the last whole block along, as two blocks of about as many (6 x 2 of f32, 32 rows: 95 GFLOP/s
  // for 89).
  CutRows(KernelBuilder& k, Value rows, int64_t most) : left(k.rem(rows, most)) {
    Value few = k.bitAnd(k.compare(ir::Predicate::GT, left, k.index(0)), k.compare(ir::Predicate::LE, left, k.index(most / 2)));
    Value takes = k.bitAnd(few, k.compare(ir::Predicate::GE, rows, k.index(most)));
    left = k.choose(takes, k.add(left, most), left);
    each = k.choose(takes, k.div(k.add(left, 1), 2), left);
    first = k.sub(rows, left);
  }
};

} // namespace

Value FetchedRows::row(KernelBuilder& k, Value number) const {
  Value base = until ? k.choose(k.compare(ir::Predicate::LT, number, until), rows.base, behind) : rows.base;
  return k.at(base, k.mul(number, rows.stride), dtype);
}

FetchedRows FetchedRows::after(KernelBuilder& k, Value turn) const {
  FetchedRows left = *this;
  Value row = apart ? k.div(turn, kTurnsApart) : turn, elements = k.mul(row, rows.stride);
  left.turns = k.sub(turns, turn);
  left.rows.base = k.at(rows.base, elements, dtype);
  if (until) {
    left.until = k.sub(until, row);
    left.behind = k.at(behind, elements, dtype);
  }
  return left;
}

void FetchedRows::fetch(KernelBuilder& k, Value row) const {
  constexpr int64_t line = 64;
  int64_t bytes = columns * static_cast<int64_t>(byteSize(dtype));
  for (int64_t byte = 0; byte < bytes; byte += line)
    k.prefetch(k.at(row, k.index(byte), k.i8()), /*write=*/false, /*locality=*/2);
  if (ends)
    k.prefetch(k.at(row, k.index(bytes - 1), k.i8()), /*write=*/false, /*locality=*/2);
}

void multiply(KernelBuilder& k, const RegisterBlock& block, Value rows, const Matrix& a, const PanelOfTile& b, Value depth, bool accumulate, Value fresh) {
  mlir::Type element = k.typeOf(block.dtype);
  auto rowsFrom = [&](Value row, int64_t count, int64_t unroll) {
    Matrix here{k.at(a.base, k.mul(row, a.stride), element), a.stride, a.step};
    multiplyRows(k, block, row, count, here, b, depth, accumulate, fresh, unroll);
  };
  auto wholeUntil = [&](Value end) { k.loop(0, end, block.rows, [&](Value row) { rowsFrom(row, block.rows, 4); }); };
  Value first;
  if (block.rows > 2 && block.rows <= 6) {
    CutRows cut(k, rows, block.rows);
    first = cut.first;
    wholeUntil(first);
    if (std::optional<int64_t> row = KernelBuilder::constantOf(first), each = KernelBuilder::constantOf(cut.each); row && each) {
      for (int64_t end = *KernelBuilder::constantOf(rows); *row < end; *row += *each)
        rowsFrom(k.index(*row), std::min(*each, end - *row), 2);
    } else {
      k.loop(first, rows, k.max(cut.each, k.index(1)), [&](Value row) { writeRest(k, row, k.min(cut.each, k.sub(rows, row)), block.rows, rowsFrom); });
    }
  } else { // tall blocks do a half first
    Value left = k.rem(rows, block.rows);
    int64_t half = (block.rows + 1) / 2;
    first = k.sub(rows, left);
    wholeUntil(first);
    if (KernelBuilder::constantOf(left) == 0)
      return;
    Value halves = k.mul(k.div(left, half), half);
    k.when(k.compare(ir::Predicate::GT, halves, k.index(0)), [&] { rowsFrom(first, half, 2); });
    writeRest(k, k.add(first, halves), k.sub(left, halves), half, rowsFrom);
  }
}

void multiplyFew(KernelBuilder& k, const RegisterBlock& block, int64_t rows, const Matrix& a, llvm::ArrayRef<PanelOfTile> panels, Value depth, bool accumulate,
                 Value fresh) {
  multiplyRows(k, block, k.index(0), rows, a, panels, depth, accumulate, fresh, 4);
}

} // namespace moec::codegen::cpu
