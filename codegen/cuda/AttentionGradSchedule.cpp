#include "codegen/cuda/AttentionGradSchedule.h"

#include "codegen/CeilDiv.h"
#include "codegen/cuda/AttentionSchedule.h"
#include "codegen/cuda/Schedule.h"
#include "runtime/core/CudaTarget.h"

namespace moec::codegen::cuda {
int64_t AttentionGradSchedule::sharedBytes(DType dtype) const {
  return stages * (tile() + others) * 64 + tile() * (others + 8) * static_cast<int64_t>(byteSize(sumType(dtype)));
}

// Scores and dP of a tile, the sums of two gradients, and as attention's beside.
int64_t AttentionGradSchedule::registers(DType dtype) const {
  int64_t words = static_cast<int64_t>(byteSize(sumType(dtype))) / 4, own = dtype == DType::BF16 ? 4 : 2; // words of sums for 8 bytes of values
  return 64 + 2 * rows * (others / 8) * words + 2 * rows * valueSlices * own + 6 * rows * words;
}

int64_t AttentionGradSchedule::parts(DType dtype, int64_t headDim) const { return ceilDiv(slicesOf(dtype, headDim), valueSlices); }

std::optional<std::string> AttentionGradSchedule::illegal(DType dtype, int64_t headDim) const {
  if (warps < 1 || warps > 8 || rows < 1 || rows > 8)
    return "warps " + std::to_string(warps) + " and rows " + std::to_string(rows) + " must be between 1 and 8";
  if (others < 32 || others % 32 != 0)
    return "others " + std::to_string(others) + " must be a multiple of 32";
  int64_t most = slicesOf(dtype, headDim);
  if (valueSlices < 1 || valueSlices > most)
    return "value_slices " + std::to_string(valueSlices) + " must be between 1 and " + std::to_string(most);
  if (stages < 2 || stages > 8 || sharedBytes(dtype) > kStaticSharedBytes)
    return "stages " + std::to_string(stages) + " must be between 2 and 8, and all shared memory at most " + std::to_string(kStaticSharedBytes) + " bytes";
  if (registers(dtype) > 200)
    return "rows " + std::to_string(rows) + " with others " + std::to_string(others) + " and value_slices " + std::to_string(valueSlices) +
           " do not fit into a thread's registers";
  return std::nullopt;
}

mlir::DictionaryAttr AttentionGradSchedule::attr(mlir::MLIRContext* context) const {
  return toAttr(context, {{"warps", warps}, {"rows", rows}, {"others", others}, {"value_slices", valueSlices}, {"stages", stages}});
}

mlir::FailureOr<AttentionGradSchedule> AttentionGradSchedule::of(ir::KernelOp kernel, const AttentionPlan& plan) {
  auto attr = kernel.getScheduleAttr();
  AttentionGradSchedule s;
  for (auto [name, field] : {std::pair<const char*, int64_t*>{"warps", &s.warps},
                             {"rows", &s.rows},
                             {"others", &s.others},
                             {"value_slices", &s.valueSlices},
                             {"stages", &s.stages}}) {
    auto value = attr ? attr.getAs<mlir::IntegerAttr>(name) : nullptr;
    if (!value)
      return kernel.emitOpError("has no complete schedule: warps, rows, others, value_slices and stages are needed");
    *field = value.getInt();
  }
  if (auto why = s.illegal(plan.dtype, plan.headDim))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  return s;
}

// Few rows and many slices: scores are computed again for each part of a head's columns, and most of the work is theirs.
AttentionGradSchedule chooseAttentionGrad(const AttentionPlan& plan) {
  int64_t most = plan.dtype == DType::BF16 ? 4 : 8, slices = slicesOf(plan.dtype, plan.headDim);
  AttentionGradSchedule s{4, 2, 32, ceilDiv(slices, ceilDiv(slices, most)), 3};
  int64_t rows = std::max(plan.queries.constant().value_or(512), plan.keys.constant().value_or(512));
  if (rows <= 16)
    s.warps = 2;
  return s;
}

} // namespace moec::codegen::cuda
