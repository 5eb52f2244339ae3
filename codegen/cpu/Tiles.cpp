#include "codegen/cpu/Tiles.h"

namespace moec::codegen::cpu {
namespace {

/// LLVM finds registers for the tiles of a function, and configures them once.
class HardwareTiles final : public Tiles {
public:
  explicit HardwareTiles(KernelBuilder& k) : k_(k) {}

  Value zero() override { return tile("llvm.x86.tilezero.internal", {rows(), bytes()}); }
  Value load(Value address, Value stride) override { return tile("llvm.x86.tileloadd64.internal", {rows(), bytes(), address, stride}); }
  Value loadPassing(Value address, Value stride) override { return tile("llvm.x86.tileloaddt164.internal", {rows(), bytes(), address, stride}); }
  Value multiply(Value sums, Value a, Value b) override { return tile("llvm.x86.tdpbf16ps.internal", {rows(), bytes(), bytes(), sums, a, b}); }
  void store(Value tile, Value address, Value stride) override {
    k_.intrinsic("llvm.x86.tilestored64.internal", Values{rows(), bytes(), address, stride, tile});
  }

private:
  Value tile(llvm::StringRef intrinsic, const Values& of) { return k_.intrinsic(intrinsic, k_.tile(), of); }
  Value rows() { return k_.integer(k_.builder().getI16Type(), kRows); }
  Value bytes() { return k_.integer(k_.builder().getI16Type(), kRowBytes); }

  KernelBuilder& k_;
};

constexpr double kSmallestNormal = 0x1p-126;

/// A tile is the address of a piece of scratch, another one for each place where the code makes a tile; a product changes its sums where they lie.
class SoftTiles final : public Tiles {
public:
  explicit SoftTiles(KernelBuilder& k) : k_(k), lanes_(k.lanes(DType::F32)), words_(k.vectorOf(k.i32(), lanes_)), numbers_(k.vectorOf(k.f32(), lanes_)) {}

  Value zero() override {
    Value tile = make();
    forEachVector([&](Value row, int64_t byte) { k_.store(k_.zero(words_), at(tile, row, k_.index(kRowBytes), byte)); });
    return tile;
  }
  Value load(Value address, Value stride) override {
    Value tile = make();
    copy(address, stride, tile, k_.index(kRowBytes));
    return tile;
  }
  Value loadPassing(Value address, Value stride) override { return load(address, stride); }
  void store(Value tile, Value address, Value stride) override { copy(tile, k_.index(kRowBytes), address, stride); }
  Value multiply(Value sums, Value a, Value b) override;

private:
  Value make() { return k_.scratch(kRows * kRowBytes); }
  Value at(Value tile, Value row, Value stride, int64_t byte) { return k_.at(k_.at(tile, k_.mul(row, stride), k_.i8()), k_.index(byte), k_.i8()); }
  void forEachVector(llvm::function_ref<void(Value row, int64_t byte)> visit) {
    k_.loop(0, k_.index(kRows), 1, [&](Value row) {
      for (int64_t byte = 0; byte < kRowBytes; byte += lanes_ * 4)
        visit(row, byte);
    });
  }
  void copy(Value from, Value fromStride, Value to, Value toStride) {
    forEachVector([&](Value row, int64_t byte) { k_.store(k_.load(words_, at(from, row, fromStride, byte)), at(to, row, toStride, byte)); });
  }
  Value small(Value x, double limit) { return k_.compare(ir::Predicate::LT, k_.abs(x), k_.real(x.getType(), limit)); }
  Value zeroWhere(Value condition, Value x) { return k_.choose(condition, k_.copySign(k_.zero(x.getType()), x), x); }
  /// Denormals as zeros of their sign. What a sum of two numbers is below the normal ones it is exactly: so this flushes results of sums, too.
  Value flushed(Value x) { return zeroWhere(small(x, kSmallestNormal), x); }
  /// The first and the second bf16 of each word.
  std::pair<Value, Value> split(Value word) {
    Value upper = k_.integer(word.getType(), static_cast<int32_t>(0xffff0000));
    mlir::Type f32 = k_.f32();
    return {flushed(k_.bits(k_.shiftLeft(word, 16), f32)), flushed(k_.bits(k_.bitAnd(word, upper), f32))};
  }
  Value multiplyAdd(Value a, Value b, Value c);

  KernelBuilder& k_;
  int64_t lanes_;
  mlir::Type words_, numbers_;
};

// Whether a result is below the normal numbers is asked of it rounded with an exponent without limits: scaled by 2^64 it is. Where scaling overflows, the
// result itself is exact, or far from them.
Value SoftTiles::multiplyAdd(Value a, Value b, Value c) {
  Value scale = k_.real(numbers_, 0x1p64), result = k_.fma(a, b, c), scaled = k_.fma(k_.mul(a, scale), b, k_.mul(c, scale));
  return zeroWhere(k_.bitOr(small(result, kSmallestNormal), small(scaled, kSmallestNormal * 0x1p64)), result);
}

// TDPBF16PS, Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: denormals are zeros, before and behind each operation; MXCSR is not asked.
//   for m: even[n], odd[n] = 0;  for i: even[n] = a[m, 2i] b[2i, n] + even[n];  odd[n] = a[m, 2i+1] b[2i+1, n] + odd[n];  c[m, n] += even[n] + odd[n]
Value SoftTiles::multiply(Value sums, Value a, Value b) {
  int64_t vectors = kColumns / lanes_;
  Value stride = k_.index(kRowBytes);
  k_.loop(0, k_.index(kRows), 1, [&](Value m) {
    Values zeros(2 * vectors, k_.zero(numbers_)); // even, then odd
    Values halves = k_.loop(k_.index(0), k_.index(kDepth / 2), k_.index(1), zeros, [&](Value i, const Values& carried) {
      Values next;
      auto [evenA, oddA] = split(k_.broadcast(k_.load(k_.i32(), k_.at(at(a, m, stride, 0), i, k_.i32())), lanes_));
      Values evenB, oddB;
      for (int64_t v = 0; v < vectors; ++v) {
        auto [even, odd] = split(k_.load(words_, at(b, i, stride, v * lanes_ * 4)));
        evenB.push_back(even);
        oddB.push_back(odd);
      }
      for (int64_t v = 0; v < vectors; ++v)
        next.push_back(multiplyAdd(evenA, evenB[v], carried[v]));
      for (int64_t v = 0; v < vectors; ++v)
        next.push_back(multiplyAdd(oddA, oddB[v], carried[vectors + v]));
      return next;
    });
    for (int64_t v = 0; v < vectors; ++v) {
      Value place = at(sums, m, stride, v * lanes_ * 4), both = flushed(k_.add(halves[v], halves[vectors + v]));
      k_.store(flushed(k_.add(flushed(k_.load(numbers_, place)), both)), place);
    }
  });
  return sums;
}

} // namespace

std::unique_ptr<Tiles> makeTiles(KernelBuilder& k) {
  if (k.target().tiles == TileKind::Hardware)
    return std::make_unique<HardwareTiles>(k);
  return std::make_unique<SoftTiles>(k);
}

} // namespace moec::codegen::cpu
