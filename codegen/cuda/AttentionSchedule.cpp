#include "codegen/cuda/AttentionSchedule.h"

#include "codegen/CeilDiv.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {
namespace {

/// Their sums are registers, so the text is unrolled over them: more take NVRTC seconds.
constexpr int64_t kMostValueSlices = 16;

/// About how long all blocks take, in any unit.
double cost(const AttentionSchedule& s, const AttentionPlan& plan, const CudaTarget& target) {
  int64_t heads = plan.batch.constant().value_or(16) * plan.heads, queries = plan.queries.constant().value_or(512), keys = plan.keys.constant().value_or(512);
  int64_t parts = s.parts(plan.dtype, plan.headDim), slices = slicesOf(plan.dtype, plan.headDim);
  int64_t busiest = ceilDiv(heads * ceilDiv(queries, s.queries()) * parts, target.multiprocessors);
  int resident = std::max(1, blocksPerMultiprocessor(target, s.threads(), static_cast<int>(s.registers(plan.dtype)), s.sharedBytes(plan.dtype, plan.headDim)));
  double hidden = std::min(1.0, 0.25 + 0.75 * static_cast<double>(std::min<int64_t>(busiest, resident) * s.warps) / 8);
  // Scores and sums of a tile of keys, with what they read from shared memory.
  double work = static_cast<double>(s.queries() * ceilDiv(keys, s.keys) * s.keys) * static_cast<double>(slices + s.valueSlices);
  double reads = 1 + 1.0 / static_cast<double>(s.rows) + 4.0 / static_cast<double>(s.keys);
  return static_cast<double>(busiest) * work * reads / hidden;
}

} // namespace

int64_t slicesOf(DType dtype, int64_t headDim) { return ceilDiv(headDim * static_cast<int64_t>(byteSize(dtype)), 64); }

int64_t AttentionSchedule::sharedBytes(DType dtype, int64_t headDim) const {
  return queries() * slicesOf(dtype, headDim) * 64 + stages * keys * 64 + queries() * (keys + 8) * static_cast<int64_t>(byteSize(sumType(dtype)));
}

int64_t AttentionSchedule::registers(DType dtype) const {
  int64_t words = static_cast<int64_t>(byteSize(sumType(dtype))) / 4, own = dtype == DType::BF16 ? 4 : 2; // words of sums for 8 bytes of values
  return 56 + rows * (keys / 8) * words + rows * valueSlices * own + 2 * rows * words + 4 * rows;
}

int64_t AttentionSchedule::parts(DType dtype, int64_t headDim) const { return ceilDiv(slicesOf(dtype, headDim), valueSlices); }

std::optional<std::string> AttentionSchedule::illegal(DType dtype, int64_t headDim) const {
  if (warps < 1 || warps > 8 || rows < 1 || rows > 8)
    return "warps " + std::to_string(warps) + " and rows " + std::to_string(rows) + " must be between 1 and 8";
  if (keys < 32 || keys % 32 != 0)
    return "keys " + std::to_string(keys) + " must be a multiple of 32";
  int64_t most = std::min<int64_t>(kMostValueSlices, slicesOf(dtype, headDim));
  if (valueSlices < 1 || valueSlices > most)
    return "value_slices " + std::to_string(valueSlices) + " must be between 1 and " + std::to_string(most);
  if (stages < 2 || stages > 8 || sharedBytes(dtype, headDim) > kStaticSharedBytes)
    return "stages " + std::to_string(stages) + " must be between 2 and 8, and all shared memory at most " + std::to_string(kStaticSharedBytes) + " bytes";
  if (registers(dtype) > 200) // 216 was seen to spill
    return "rows " + std::to_string(rows) + " with keys " + std::to_string(keys) + " and value_slices " + std::to_string(valueSlices) +
           " do not fit into a thread's registers";
  return std::nullopt;
}

mlir::DictionaryAttr AttentionSchedule::attr(mlir::MLIRContext* context) const {
  return toAttr(context, {{"warps", warps}, {"rows", rows}, {"keys", keys}, {"value_slices", valueSlices}, {"stages", stages}});
}

mlir::FailureOr<AttentionSchedule> AttentionSchedule::of(ir::KernelOp kernel, const AttentionPlan& plan) {
  auto attr = kernel.getScheduleAttr();
  AttentionSchedule s;
  for (auto [name, field] :
       {std::pair<const char*, int64_t*>{"warps", &s.warps}, {"rows", &s.rows}, {"keys", &s.keys}, {"value_slices", &s.valueSlices}, {"stages", &s.stages}}) {
    auto value = attr ? attr.getAs<mlir::IntegerAttr>(name) : nullptr;
    if (!value)
      return kernel.emitOpError("has no complete schedule: warps, rows, keys, value_slices and stages are needed");
    *field = value.getInt();
  }
  if (auto why = s.illegal(plan.dtype, plan.headDim))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  return s;
}

std::optional<AttentionSchedule> chooseAttention(const AttentionPlan& plan, const CudaTarget& target) {
  std::optional<AttentionSchedule> best;
  double least = 0;
  int64_t slices = slicesOf(plan.dtype, plan.headDim);
  for (int64_t warps : {4, 2, 1})
    for (int64_t rows : {4, 2, 1})
      for (int64_t keys : {64, 32})
        for (int64_t parts : {1, 2, 4, 8, 16, 32}) {
          if (parts > slices)
            continue;
          AttentionSchedule s{warps, rows, keys, ceilDiv(slices, parts), 3};
          if (s.illegal(plan.dtype, plan.headDim))
            continue;
          double one = cost(s, plan, target);
          if (!best || one < least)
            best = s, least = one;
          break; // more parts only compute the scores once more
        }
  return best;
}

} // namespace moec::codegen::cuda
