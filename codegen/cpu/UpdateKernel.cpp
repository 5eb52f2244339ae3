// update: the tensors of one step, each changed element by element; an item is a share of each of them.
//   [ one item: the numbers that all read ]
//   for each piece of the share, for each vector of it: all operands, all ops, all results
// A result may lie in the memory of an argument of the same tensor: each vector is read before it is written, and no item reads what another writes.
#include "codegen/cpu/FamilyCode.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

namespace {

constexpr int64_t kLongest = 16; // pieces of kernels that read alone are one stretch
constexpr int64_t kEnoughItems = 64;
constexpr int64_t kLook = 256;               // elements of an item for each tensor
constexpr int64_t kMostForLooks = 16 * 1024; // that it has for that reason: some microseconds

} // namespace

mlir::DictionaryAttr scheduleUpdate(ir::KernelOp kernel, const CpuTarget& target) {
  auto parts = TensorFamilies::of(kernel);
  if (mlir::failed(parts))
    return nullptr;
  // Tensors that no cache holds come faster in longer stretches: twice as long, while there are items for many threads.
  BlockSchedule schedule{blockOf(*parts)};
  int64_t longest = kLongest * schedule.block;
  while (schedule.block < longest && parts->elements() / (2 * schedule.block) >= kEnoughItems)
    schedule.block *= 2;
  // An item looks at every tensor, which takes as long as some fifty elements: of many small ones that must be little beside its own share.
  int64_t tensors = 0;
  for (const TensorFamily& family : parts->families)
    tensors += static_cast<int64_t>(family.members.size());
  schedule.block = std::max(schedule.block, std::min(kLook * tensors, kMostForLooks));
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildUpdate(KernelBuilder& k, ir::KernelOp kernel) {
  auto schedule = BlockSchedule::of(kernel);
  auto parts = TensorFamilies::of(kernel);
  if (mlir::failed(schedule) || mlir::failed(parts))
    return mlir::failure();
  FamilyCode code(k, std::move(*parts));
  code.addWorkspaces();
  if (code.parts().needsNumbers())
    code.writeNumbers();
  if (code.parts().pieces(schedule->block) > 0)
    k.stage(code.items(schedule->block), code.operations(), [&](Value item) {
      code.writePieces(item, schedule->block, [&](const TensorFamily& family, const FamilyCode::Piece& piece) {
        code.writeElements(family, piece, [&](Value i, Value mask, const Values& values) {
          Value place = k.add(piece.first, i);
          for (auto [n, value] : llvm::enumerate(family.values)) {
            DType dtype = dtypeOf(value);
            k.storeElements(dtype, values[n], k.at(piece.outputs[n], place, dtype), mask);
          }
        });
      });
    });
  return mlir::success();
}

} // namespace moec::codegen::cpu
