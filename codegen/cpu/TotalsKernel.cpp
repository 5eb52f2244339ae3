// totals: sums of many tensors, each over all its elements, and what is made of them; an item is a share of each.
//   for each piece of the share, for each vector of it: all operands, all ops; sums side by side, then these as a tree: partials[piece]
//   for each sum: its pieces' partials, in their order
//   one item: the numbers made of the sums
// A piece's length depends on the shapes alone, so the bits do not depend on the number of threads.
#include "codegen/cpu/FamilyCode.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Reduction.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

namespace {

class Totals {
public:
  Totals(KernelBuilder& k, TensorFamilies parts, int64_t block) : k_(k), code_(k, std::move(parts)), block_(block) {}

  void write() {
    for (const TensorFamily& family : code_.parts().families)
      width_ = std::max<int64_t>(width_, static_cast<int64_t>(family.values.size()));
    int64_t pieces = code_.parts().pieces(block_), totals = static_cast<int64_t>(code_.parts().totals.size());
    partials_ = k_.addWorkspace(Size(pieces * width_ * 8));
    totals_ = k_.addWorkspace(Size(totals * 8));
    code_.addWorkspaces();
    k_.stage(code_.items(block_), code_.operations(), [&](Value item) {
      code_.writePieces(item, block_, [&](const TensorFamily& family, const FamilyCode::Piece& piece) { sumPiece(family, piece); });
    });
    k_.stage(Size(totals), Size(pieces * width_), [&](Value item) { joinPieces(item); });
    code_.writeNumbers([&](ir::ReduceOp reduce) { return totalOf(reduce); });
  }

private:
  Value partialAt(Value piece, Value value) { return k_.at(k_.workspace(partials_), k_.add(k_.mul(piece, width_), value), k_.f64()); }

  /// The lanes of a vector are summed up in as many sums as there are lanes, which lie in scratch between vectors.
  void sumPiece(const TensorFamily& family, const FamilyCode::Piece& piece) {
    int64_t lanes = code_.lanesOf(family);
    mlir::Type vector = k_.vectorOf(k_.f64(), lanes);
    Values sums;
    for (size_t i = 0; i < family.values.size(); ++i) {
      sums.push_back(k_.scratch(Size(lanes * 8)));
      k_.store(k_.zero(vector), sums.back());
    }
    code_.writeElements(family, piece, [&](Value, Value mask, const Values& values) {
      for (auto [sum, value] : llvm::zip(sums, values)) {
        Value wide = k_.toFloat(value, k_.f64());
        if (mask) // of lanes behind the tensor nothing is known
          wide = k_.choose(mask, wide, k_.zero(vector));
        k_.store(k_.add(k_.load(vector, sum), wide), sum);
      }
    });
    for (auto [i, sum] : llvm::enumerate(sums))
      k_.store(k_.sumLanes(k_.load(vector, sum)), partialAt(piece.index, k_.index(static_cast<int64_t>(i))));
  }

  void joinPieces(Value item) {
    std::vector<int64_t> table(3 * code_.parts().totals.size()); // the first piece, the number of pieces, the value
    code_.parts().eachMember(block_, [&](const TensorFamily&, const TensorFamily::Member& member, int64_t first, int64_t count) {
      for (auto [value, total] : llvm::enumerate(member.sinks)) {
        table[3 * total] = first;
        table[3 * total + 1] = count;
        table[3 * total + 2] = static_cast<int64_t>(value);
      }
    });
    auto type = mlir::RankedTensorType::get({static_cast<int64_t>(table.size())}, mlir::IntegerType::get(k_.kernel().getContext(), 64));
    Value data = k_.constantData(mlir::DenseElementsAttr::get(type, llvm::ArrayRef<int64_t>(table)));
    auto field = [&](int64_t i) { return k_.load(k_.i64(), k_.at(data, k_.add(k_.mul(item, 3), i), k_.i64())); };
    Value first = field(0), last = k_.add(first, field(1)), value = field(2);
    Value sum = k_.loop(first, last, k_.index(1), {k_.real(k_.f64(), 0)},
                        [&](Value piece, const Values& carried) { return Values{k_.add(carried[0], k_.load(k_.f64(), partialAt(piece, value)))}; })[0];
    k_.store(sum, k_.at(k_.workspace(totals_), item, k_.f64()));
  }

  Value totalOf(ir::ReduceOp reduce) {
    auto place = std::distance(code_.parts().totals.begin(), llvm::find(code_.parts().totals, reduce));
    Value sum = k_.load(k_.f64(), k_.at(k_.workspace(totals_), k_.index(place), k_.f64()));
    return Reduction(k_, reduce).finish(sum, ir::product(ir::sizesOf(mlir::Value(reduce.getX()))));
  }

  KernelBuilder& k_;
  FamilyCode code_;
  int64_t block_, width_ = 1;
  unsigned partials_ = 0, totals_ = 0;
};

} // namespace

mlir::DictionaryAttr scheduleTotals(ir::KernelOp kernel, const CpuTarget& target) {
  auto parts = TensorFamilies::of(kernel);
  return mlir::failed(parts) ? nullptr : BlockSchedule{blockOf(*parts)}.toAttr(kernel.getContext());
}

mlir::LogicalResult buildTotals(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  auto parts = TensorFamilies::of(kernel);
  if (mlir::failed(schedule) || mlir::failed(parts))
    return mlir::failure();
  if (parts->totals.empty())
    return kernel.emitError() << "internal: a kernel of totals without a sum";
  Totals(k, std::move(*parts), schedule->block).write();
  return mlir::success();
}

} // namespace moec::codegen::cpu
