// for each vector of the panel's columns, or each line:  for each run of as many elements of its rows as a vector has:
//   a square of them is loaded and exchanged, or as many squares as a line has vectors; they are stored
// The last run overlaps the one before it, so that nothing behind a row is read; rows that are not inside are zeros. A depth below one vector goes element by
// element, as a panel does that is not whole vectors.
#include "codegen/cpu/TurnPanel.h"

#include <algorithm>
#include <vector>

namespace moec::codegen::cpu {
namespace {

void turnElements(KernelBuilder& k, DType dtype, const Matrix& rows, Value depth, Value inside, int64_t nr, Value panel, DType to) {
  Value zero = k.zero(k.typeOf(to)), there = k.min(inside, k.index(nr));
  k.loop(0, depth, 1, [&](Value d) {
    Value row = k.at(panel, k.mul(d, nr), to);
    k.loop(0, there, 1, [&](Value r) {
      Value element = k.loadElements(dtype, k.at(rows.base, k.add(k.mul(r, rows.stride), d), dtype), 1);
      k.storeElements(to, element, k.at(row, r, to));
    });
    k.loop(there, k.index(nr), k.index(1), [&](Value r) { k.storeElements(to, zero, k.at(row, r, to)); });
  });
}

void turnSquares(KernelBuilder& k, DType dtype, const Matrix& rows, Value depth, Value inside, int64_t nr, Value panel, DType to, bool lines) {
  constexpr int64_t lineBytes = 64;
  int64_t lanes = k.lanes(dtype), together = lines ? std::max<int64_t>(1, lineBytes / (lanes * static_cast<int64_t>(byteSize(to)))) : 1,
          width = together * lanes;
  for (int64_t column = 0; column < nr; column += width) {
    auto write = [&](bool whole) {
      k.loop(k.index(0), depth, k.index(lanes), [&](Value next) {
        Value d = k.min(next, k.sub(depth, lanes));
        std::vector<Values> squares;
        for (int64_t first = column; first < column + width; first += lanes) {
          Values square;
          for (int64_t i = first; i < first + lanes; ++i) {
            Value there = k.compare(ir::Predicate::LT, k.index(i), inside);
            Value place = k.at(rows.base, k.add(k.mul(rows.stride, i), d), dtype);
            square.push_back(k.loadElements(dtype, place, lanes, whole ? Value() : k.mask(k.choose(there, k.index(lanes), k.index(0)), lanes)));
          }
          squares.push_back(exchanged(k, square));
        }
        for (int64_t i = 0; i < lanes; ++i) {
          Value place = k.at(panel, k.add(k.mul(k.add(d, i), nr), column), to);
          Values line;
          for (const Values& square : squares)
            line.push_back(square[i]);
          lines ? k.storeLines(line, place) : k.storeElements(to, line[0], place);
        }
      });
    };
    k.when(
        k.compare(ir::Predicate::GE, inside, k.index(column + width)), [&]() -> Values { return write(true), Values(); },
        [&]() -> Values { return write(false), Values(); });
  }
}

} // namespace

Values exchanged(KernelBuilder& k, Values vectors) {
  auto lanes = static_cast<int64_t>(vectors.size());
  // One bit of the places after another: what differs in it changes sides between two vectors that differ in it.
  for (int64_t bit = 1; bit < lanes; bit *= 2)
    for (int64_t i = 0; i < lanes; ++i) {
      if (i & bit)
        continue;
      llvm::SmallVector<int32_t> first, second;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        first.push_back(static_cast<int32_t>(lane & bit ? lanes + lane - bit : lane));
        second.push_back(static_cast<int32_t>(lane & bit ? lanes + lane : lane + bit));
      }
      Value a = vectors[i], b = vectors[i + bit];
      vectors[i] = k.shuffle(a, b, first);
      vectors[i + bit] = k.shuffle(a, b, second);
    }
  return vectors;
}

void turnPanel(KernelBuilder& k, DType dtype, const Matrix& rows, Value depth, Value inside, int64_t nr, Value panel, DType to, bool lines) {
  int64_t lanes = k.lanes(dtype);
  std::optional<int64_t> known = KernelBuilder::constantOf(depth);
  if (nr % lanes != 0 || (known && *known < lanes))
    return turnElements(k, dtype, rows, depth, inside, nr, panel, to);
  if (known)
    return turnSquares(k, dtype, rows, depth, inside, nr, panel, to, lines);
  k.when(
      k.compare(ir::Predicate::GE, depth, k.index(lanes)),
      [&]() -> Values { return turnSquares(k, dtype, rows, depth, inside, nr, panel, to, lines), Values(); },
      [&]() -> Values { return turnElements(k, dtype, rows, depth, inside, nr, panel, to), Values(); });
}

} // namespace moec::codegen::cpu
