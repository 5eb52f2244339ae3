// for slice of the depth:  copy it of the block's rows
//   for panel:  for 32 rows:  c[i, j] = first slice ? 0 : sums[i, j];  for 32 of the depth: c[i, j] += a[i] . b[j];  sums[i, j] = c[i, j]
// i < 2, or 1 where at most 16 rows are left; j < nr / 16. The copy has whole tiles of rows: what is behind the last row is whatever lay there, and so are its
// sums, which nobody reads.
#include "codegen/cpu/TileProduct.h"

#include "codegen/cpu/Tiles.h"

namespace moec::codegen::cpu {
namespace {

class TileProducts {
public:
  TileProducts(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block)
      : k_(k), schedule_(schedule), block_(block), tiles_(makeTiles(k)), stride_(schedule.slice + Tiles::kDepth),
        copy_(k.scratch(bytesOf(DType::BF16, schedule.rowBlock * stride_))) {}

  /// Elements [from, from + count) of the rows, next to each other.
  void copyRows(Value from, Value count) const {
    int64_t lanes = k_.target().vectorBytes / 2;
    mlir::Type vector = k_.vectorOf(k_.builder().getI16Type(), lanes);
    k_.loop(0, block_.rows, 1, [&](Value row) {
      Value source = k_.at(block_.rowAt(row), from, DType::BF16), target = k_.at(copy_, k_.mul(row, stride_), DType::BF16);
      k_.loop(0, count, Tiles::kDepth, [&](Value d) {
        for (int64_t i = 0; i < Tiles::kDepth; i += lanes)
          k_.store(k_.load(vector, k_.at(source, k_.add(d, i), DType::BF16)), k_.at(target, k_.add(d, i), DType::BF16));
      });
    });
  }

  /// Sums of the copied rows times `count` of the panel's depth, which begin at `panel`. With `fresh`, an i1, they go on from the tile's where it is false.
  void times(Value panel, Value count, const Matrix& tile, Value fresh) const {
    k_.loop(0, block_.rows, schedule_.rows, [&](Value row) {
      if (schedule_.rows == Tiles::kRows)
        return ofBlock(row, 1, panel, count, tile, fresh);
      k_.when(
          k_.compare(ir::Predicate::GT, k_.sub(block_.rows, row), k_.index(Tiles::kRows)),
          [&]() -> Values { return ofBlock(row, 2, panel, count, tile, fresh), Values(); },
          [&]() -> Values { return ofBlock(row, 1, panel, count, tile, fresh), Values(); });
    });
  }

private:
  void ofBlock(Value first, int64_t high, Value panel, Value count, const Matrix& tile, Value fresh) const {
    int64_t wide = schedule_.nr / Tiles::kColumns;
    Value tileStride = k_.mul(tile.stride, 4), aStride = k_.index(stride_ * 2), bStride = k_.index(schedule_.nr * 4);
    auto rowOf = [&](int64_t i) { return k_.add(first, i * Tiles::kRows); };
    auto placeOf = [&](int64_t i, int64_t j) { return k_.at(tile.base, k_.add(k_.mul(rowOf(i), tile.stride), j * Tiles::kColumns), DType::F32); };
    auto forEachTile = [&](llvm::function_ref<void(int64_t i, int64_t j)> visit) {
      for (int64_t i = 0; i < high; ++i)
        for (int64_t j = 0; j < wide; ++j)
          visit(i, j);
    };
    auto zeros = [&] {
      Values sums;
      forEachTile([&](int64_t, int64_t) { sums.push_back(tiles_->zero()); });
      return sums;
    };
    auto before = [&] {
      Values sums;
      forEachTile([&](int64_t i, int64_t j) { sums.push_back(tiles_->load(placeOf(i, j), tileStride)); });
      return sums;
    };
    Values sums = fresh ? k_.when(fresh, zeros, before) : zeros();
    sums = k_.loop(k_.index(0), count, k_.index(Tiles::kDepth), sums, [&](Value depth, const Values& carried) {
      Values a, b, next;
      for (int64_t i = 0; i < high; ++i)
        a.push_back(tiles_->loadPassing(k_.at(copy_, k_.add(k_.mul(rowOf(i), stride_), depth), DType::BF16), aStride));
      for (int64_t j = 0; j < wide; ++j)
        b.push_back(tiles_->load(k_.at(panel, k_.add(k_.mul(depth, schedule_.nr), j * Tiles::kColumns * 2), DType::BF16), bStride));
      forEachTile([&](int64_t i, int64_t j) { next.push_back(tiles_->multiply(carried[i * wide + j], a[i], b[j])); });
      return next;
    });
    forEachTile([&](int64_t i, int64_t j) { tiles_->store(sums[i * wide + j], placeOf(i, j), tileStride); });
  }

  KernelBuilder& k_;
  const ProductSchedule& schedule_;
  const ProductBlock& block_;
  std::unique_ptr<Tiles> tiles_;
  int64_t stride_; // of the copy: rows a line more than whole ones spread over L1
  Value copy_;
};

} // namespace

void multiplyPanelsByTiles(KernelBuilder& k, const ProductSchedule& schedule, const ProductBlock& block, FinishedRows finished) {
  TileProducts products(k, schedule, block);
  int64_t depth = *KernelBuilder::constantOf(block.depth), tileElements = schedule.rowBlock * schedule.nr;
  bool whole = depth <= schedule.slice;
  Value tiles = k.scratch(bytesOf(DType::F32, (whole ? 1 : schedule.panels) * tileElements));
  auto tileOf = [&](Value panel) {
    return Matrix{whole ? tiles : k.at(tiles, k.mul(k.sub(panel, block.begin), tileElements), DType::F32), k.index(schedule.nr)};
  };
  auto slice = [&](Value from, Value count, Value fresh) {
    products.copyRows(from, count);
    k.loop(block.begin, block.end, k.index(1), [&](Value panel) {
      Value begin = k.at(block.panels, k.mul(k.add(k.mul(panel, block.depth), from), schedule.nr), DType::BF16);
      products.times(begin, count, tileOf(panel), fresh);
      if (whole)
        finished(panel, k.index(0), block.rows, tileOf(panel));
    });
  };
  if (whole)
    return slice(k.index(0), block.depth, {});
  k.loop(0, block.depth, schedule.slice, [&](Value from) {
    Value count = depth % schedule.slice == 0 ? k.index(schedule.slice) : k.min(k.index(schedule.slice), k.sub(block.depth, from));
    slice(from, count, k.compare(ir::Predicate::EQ, from, k.index(0)));
  });
  k.loop(block.begin, block.end, k.index(1), [&](Value panel) { finished(panel, k.index(0), block.rows, tileOf(panel)); });
}

} // namespace moec::codegen::cpu
