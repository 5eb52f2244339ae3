#include "codegen/cpu/MicroKernel.h"

namespace moec::codegen::cpu {
namespace {

// for k in [begin, end) by unroll:  b[v] = panel[k][v];  sum[r][v] += broadcast(a[r][k]) * b[v]
Values accumulateOver(KernelBuilder& k, const RegisterBlock& block, int64_t rows, const Values& aRows, Value step, const Matrix& panel, Value begin, Value end,
                      int64_t unroll, const Values& first) {
  constexpr int64_t line = 64;
  int64_t lanes = k.lanes(block.dtype), panelBytes = block.width(k) * static_cast<int64_t>(byteSize(block.panelType));
  mlir::Type element = k.typeOf(block.dtype);
  return k.loop(begin, end, k.index(unroll), first, [&](Value depth, const Values& carried) {
    Values sums = carried;
    Value panelRow = k.at(panel.base, k.mul(depth, panel.stride), block.panelType);
    for (int64_t u = 0; u < unroll; ++u) {
      Values b;
      for (int64_t v = 0; v < block.vectors; ++v)
        b.push_back(k.loadElements(block.panelType, k.at(panelRow, k.add(k.mul(panel.stride, u), v * lanes), block.panelType), lanes));
      for (int64_t byte = u * panelBytes; block.ahead && byte < (u + 1) * panelBytes; ++byte)
        if (byte % line == 0)
          k.prefetch(k.at(panelRow, k.index(byte + block.ahead), k.i8()));
      for (int64_t r = 0; r < rows; ++r) {
        Value place =
            step ? k.at(k.at(aRows[r], k.mul(depth, step), element), k.mul(step, u), element) : k.at(k.at(aRows[r], depth, element), k.index(u), element);
        Value a = k.broadcast(k.load(element, place), lanes);
        for (int64_t v = 0; v < block.vectors; ++v) {
          Value& sum = sums[r * block.vectors + v];
          sum = k.fma(a, b[v], sum);
        }
      }
    }
    return sums;
  });
}

// Turns of the depth in one of the loop, `most` where they cost nothing. With one vector in a row each broadcast has one reader, whose sum LLVM then puts in
// the broadcast's register: over several turns the 16 registers run out, and sums go through memory (12 x 1 of f32: 39 - 63 GFLOP/s against 85).
int64_t unrolled(const KernelBuilder& k, const RegisterBlock& block, int64_t most) {
  return block.vectors == 1 && k.target().vectorRegisters <= 16 && k.target().hasFma ? 1 : most;
}

// The block for exactly `rows` rows.
void multiplyRows(KernelBuilder& k, const RegisterBlock& block, int64_t rows, const Matrix& a, const Matrix& panel, Value depth, const Matrix& tile,
                  bool accumulate, Value fresh, int64_t mostUnrolled) {
  int64_t lanes = k.lanes(block.dtype);
  mlir::Type element = k.typeOf(block.dtype), vector = k.vectorOf(element, lanes);
  int64_t unroll = unrolled(k, block, mostUnrolled);
  Values aRows, sums;
  auto tileAt = [&](int64_t r, int64_t v) { return k.at(tile.base, k.add(k.mul(tile.stride, r), v * lanes), element); };
  for (int64_t r = 0; r < rows; ++r)
    aRows.push_back(k.at(a.base, k.mul(a.stride, r), element));
  Values zeros(static_cast<size_t>(rows * block.vectors), k.zero(vector));
  auto before = [&] {
    Values loaded;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < block.vectors; ++v)
        loaded.push_back(k.load(vector, tileAt(r, v)));
    return loaded;
  };
  sums = !accumulate ? zeros : !fresh ? before() : k.when(fresh, [&] { return zeros; }, before);
  Value whole = k.sub(depth, k.rem(depth, unroll));
  sums = accumulateOver(k, block, rows, aRows, a.step, panel, k.index(0), whole, unroll, sums);
  std::optional<int64_t> known = KernelBuilder::constantOf(depth);
  if (unroll > 1 && !(known && *known % unroll == 0))
    sums = accumulateOver(k, block, rows, aRows, a.step, panel, whole, depth, 1, sums);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t v = 0; v < block.vectors; ++v)
      k.store(sums[r * block.vectors + v], tileAt(r, v));
}

} // namespace

void multiply(KernelBuilder& k, const RegisterBlock& block, Value rows, const Matrix& a, const Matrix& panel, Value depth, const Matrix& tile, bool accumulate,
              Value fresh) {
  mlir::Type element = k.typeOf(block.dtype);
  auto from = [&](const Matrix& m, Value row) { return Matrix{k.at(m.base, k.mul(row, m.stride), element), m.stride, m.step}; };
  Value whole = k.sub(rows, k.rem(rows, block.rows));
  k.loop(0, whole, block.rows, [&](Value row) { multiplyRows(k, block, block.rows, from(a, row), panel, depth, from(tile, row), accumulate, fresh, 4); });
  Value left = k.sub(rows, whole);
  std::optional<int64_t> known = KernelBuilder::constantOf(left);
  if (known == 0)
    return;
  // Then one body for each count of rows that can be left: no work on rows that are not there. Tall blocks do a half first.
  int64_t half = block.rows > 6 ? (block.rows + 1) / 2 : block.rows;
  if (half < block.rows) {
    Value halves = k.mul(k.div(left, half), half);
    k.when(k.compare(ir::Predicate::GT, halves, k.index(0)),
           [&] { multiplyRows(k, block, half, from(a, whole), panel, depth, from(tile, whole), accumulate, fresh, 2); });
    whole = k.add(whole, halves);
    left = k.sub(rows, whole);
  }
  for (int64_t count = 1; count < half; ++count)
    k.when(k.compare(ir::Predicate::EQ, left, k.index(count)),
           [&] { multiplyRows(k, block, count, from(a, whole), panel, depth, from(tile, whole), accumulate, fresh, 2); });
}

} // namespace moec::codegen::cpu
