#include "codegen/cpu/Product.h"

namespace moec::codegen::cpu {
namespace {

void clear(KernelBuilder& k, mlir::Type element, Value address, Value count, int64_t lanes) {
  Value zeros = k.zero(k.vectorOf(element, lanes));
  k.loop(0, count, lanes, [&](Value i) { k.store(zeros, k.at(address, i, element)); });
}

bool is(const Size& size, int64_t value) { return size.constant() == value; }

} // namespace

void multiplyPanels(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block,
                    llvm::function_ref<void(Value panel, const Matrix& tile)> finished) {
  int64_t lanes = k.lanes(block.dtype);
  mlir::Type element = k.typeOf(block.dtype);
  RegisterBlock registers{block.dtype, schedule.rows, schedule.nr / lanes, block.panelType};
  Matrix tile{k.scratch(bytesOf(block.dtype, schedule.rowBlock * schedule.nr)), k.index(schedule.nr)};
  std::optional<int64_t> depth = KernelBuilder::constantOf(block.depth);
  k.loop(block.begin, block.end, k.index(1), [&](Value panel) {
    Value base = k.at(block.panels, k.mul(k.mul(panel, block.depth), schedule.nr), block.panelType);
    if (depth && *depth <= schedule.slice) {
      multiply(k, registers, block.rows, block.a, {base, k.index(schedule.nr)}, block.depth, tile, false);
    } else {
      clear(k, element, tile.base, k.mul(block.rows, schedule.nr), lanes);
      k.loop(0, block.depth, schedule.slice, [&](Value from) {
        Value slice = depth && *depth % schedule.slice == 0 ? k.index(schedule.slice)
                                                            : k.min(k.index(schedule.slice), k.sub(block.depth, from));
        Matrix a{k.at(block.a.base, from, element), block.a.stride};
        Matrix b{k.at(base, k.mul(from, schedule.nr), block.panelType), k.index(schedule.nr)};
        multiply(k, registers, block.rows, a, b, slice, tile, true);
      });
    }
    finished(panel, tile);
  });
}

Matrix copyRows(KernelBuilder& k, DType dtype, Value rows, int64_t most, const Size& depth, llvm::function_ref<Value(Value row)> rowAt) {
  DType copied = sumType(dtype);
  int64_t line = 64 / static_cast<int64_t>(byteSize(copied)), lanes = k.lanes(dtype);
  Size stride = alignUp(depth, line) + Size(line);
  Matrix copy{k.scratch(bytesOf(copied, Size(most) * stride)), k.size(stride)};
  Value count = k.size(depth);
  k.loop(0, rows, 1, [&](Value row) {
    Value from = rowAt(row), to = k.at(copy.base, k.mul(row, copy.stride), copied);
    k.vectorLoop(count, lanes, [&](Value i, Value mask) {
      k.storeElements(copied, k.loadElements(dtype, k.at(from, i, dtype), lanes, mask), k.at(to, i, copied), mask);
    });
  });
  return copy;
}

void packPanel(KernelBuilder& k, DType dtype, const Matrix& b, Value first, Value rows, Value depth, int64_t nr, Value panel) {
  mlir::Type element = k.typeOf(dtype);
  k.loop(0, k.index(nr), 1, [&](Value column) {
    Value row = k.add(first, column);
    k.when(
        k.compare(ir::Predicate::LT, row, rows),
        [&]() -> Values {
          Value from = k.at(b.base, k.mul(row, b.stride), dtype);
          k.loop(0, depth, 1, [&](Value i) {
            k.store(k.loadElements(dtype, k.at(from, i, dtype), 1), k.at(panel, k.add(k.mul(i, nr), column), element));
          });
          return {};
        },
        [&]() -> Values {
          k.loop(0, depth, 1, [&](Value i) { k.store(k.zero(element), k.at(panel, k.add(k.mul(i, nr), column), element)); });
          return {};
        });
  });
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
