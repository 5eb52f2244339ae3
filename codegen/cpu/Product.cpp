#include "codegen/cpu/Product.h"

#include "codegen/cpu/TurnPanel.h"

namespace moec::codegen::cpu {
namespace {

bool is(const Size& size, int64_t value) { return size.constant() == value; }

// Bytes of a panel that are on their way from memory while the ones before are used.
constexpr int64_t kPanelsAhead = 4096;

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

} // namespace

void multiplyPanels(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block,
                    llvm::function_ref<void(Value panel, const Matrix& tile)> finished) {
  int64_t lanes = k.lanes(block.dtype), nr = schedule.nr, line = 64 / static_cast<int64_t>(byteSize(block.dtype));
  mlir::Type element = k.typeOf(block.dtype);
  RegisterBlock registers{block.dtype, schedule.rows, nr / lanes, block.panelType, kPanelsAhead};
  std::optional<int64_t> depth = KernelBuilder::constantOf(block.depth);
  bool whole = depth && *depth <= schedule.slice;
  // A line more than whole lines: rows spread over L1.
  int64_t tileElements = schedule.rowBlock * nr, copied = whole ? *depth : schedule.slice, stride = (copied + line - 1) / line * line + line;
  Value copy = block.rowAt ? k.scratch(bytesOf(block.dtype, schedule.rowBlock * stride)) : Value();
  auto slice = [&](Value from, Value count) {
    if (!copy)
      return Matrix{k.at(block.a.base, from, element), block.a.stride};
    copyRows(k, block.rowType, block.rows, count, [&](Value row) { return k.at(block.rowAt(row), from, block.rowType); }, {copy, k.index(stride)});
    return Matrix{copy, k.index(stride)};
  };
  auto times = [&](const Matrix& a, Value panel, Value from, Value count, const Matrix& tile, Value fresh) {
    Value base = k.at(block.panels, k.mul(k.add(k.mul(panel, block.depth), from), nr), block.panelType);
    multiply(k, registers, block.rows, a, {base, k.index(nr)}, count, tile, !whole, fresh);
  };
  if (whole) {
    Matrix tile{k.scratch(bytesOf(block.dtype, tileElements)), k.index(nr)}, a = slice(k.index(0), block.depth);
    k.loop(block.begin, block.end, k.index(1), [&](Value panel) {
      times(a, panel, k.index(0), block.depth, tile, {});
      finished(panel, tile);
    });
    return;
  }
  Value tiles = k.scratch(bytesOf(block.dtype, schedule.panels * tileElements));
  auto tileOf = [&](Value panel) { return Matrix{k.at(tiles, k.mul(k.sub(panel, block.begin), tileElements), element), k.index(nr)}; };
  // A depth of 0 makes one turn too, which leaves zeros.
  k.loop(0, k.max(block.depth, k.index(1)), schedule.slice, [&](Value from) {
    Value count = depth && *depth % schedule.slice == 0 ? k.index(schedule.slice) : k.min(k.index(schedule.slice), k.sub(block.depth, from));
    Matrix a = slice(from, count);
    Value fresh = k.compare(ir::Predicate::EQ, from, k.index(0));
    k.loop(block.begin, block.end, k.index(1), [&](Value panel) { times(a, panel, from, count, tileOf(panel), fresh); });
  });
  k.loop(block.begin, block.end, k.index(1), [&](Value panel) { finished(panel, tileOf(panel)); });
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

void multiplyTransposed(KernelBuilder& k, const ProductSchedule& schedule, const TransposedBlock& block,
                        llvm::function_ref<void(Value panel, const Matrix& tile)> finished) {
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
  Value bCopy = copiesB ? k.scratch(bytesOf(computed, schedule.slice * bStride)) : Value();
  auto tileOf = [&](Value panel) { return Matrix{k.at(tiles, k.mul(k.sub(panel, block.begin), tileElements), element), k.index(nr)}; };
  k.loop(0, k.max(block.depth, k.index(1)), schedule.slice, [&](Value from) { // of no depth too: zeros
    Value count = k.min(k.index(schedule.slice), k.sub(block.depth, from)), fresh = k.compare(ir::Predicate::EQ, from, k.index(0));
    auto sliceOf = [&](const Matrix& m) { return Matrix{k.at(m.base, k.mul(from, m.stride), block.dtype), m.stride}; };
    Matrix a = copiesA ? Matrix{aCopy, k.index(aStride)} : sliceOf(block.a);
    if (copiesA)
      copyBlock(k, block.dtype, sliceOf(block.a), count, block.rows, lanes, a, kRowsAhead);
    if (copiesB) {
      Value first = k.mul(block.begin, nr), there = k.min(k.mul(k.sub(block.end, block.begin), nr), k.sub(block.columns, first));
      copyBlock(k, block.dtype, {k.at(block.b.base, k.add(k.mul(from, block.b.stride), first), block.dtype), block.b.stride}, count, there, nr,
                {bCopy, k.index(bStride)});
    }
    k.loop(block.begin, block.end, k.index(1), [&](Value panel) {
      Matrix b = packed    ? Matrix{k.at(block.panels, k.mul(k.add(k.mul(panel, block.depth), from), nr), block.panelType), k.index(nr)}
                 : copiesB ? Matrix{k.at(bCopy, k.mul(k.sub(panel, block.begin), nr), element), k.index(bStride)}
                           : Matrix{k.at(sliceOf(block.b).base, k.mul(panel, nr), element), block.b.stride};
      multiply(k, registers, block.rows, {a.base, k.index(1), a.stride}, b, count, tileOf(panel), true, fresh);
    });
  });
  k.loop(block.begin, block.end, k.index(1), [&](Value panel) { finished(panel, tileOf(panel)); });
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
