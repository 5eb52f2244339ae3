// moe.kernel of kind `cached_attention`: a block computes a block of rows of one head of keys, by one pass over the kept keys and the new ones
// (skeletons/attention.cuh). A row is a new token's query of one of the heads that share these keys.
#include "codegen/analysis/CachedPlans.h"
#include "codegen/cuda/AttentionSchedule.h"
#include "codegen/cuda/AttentionText.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/ProductSchedule.h"

namespace moec::codegen::cuda {

namespace {

/// As attention whose queries are the rows, for its schedule.
AttentionPlan asAttention(const CachedAttentionPlan& plan) {
  return {.dtype = plan.dtype,
          .q = plan.q,
          .k = plan.k,
          .v = plan.v,
          .batch = plan.batch,
          .queries = plan.rows(),
          .keys = plan.context,
          .heads = plan.keyHeads,
          .headDim = plan.headDim,
          .scale = plan.scale,
          .causal = true,
          .keyHeads = plan.keyHeads,
          .bias = plan.bias,
          .dropout = {}};
}

/// "[&](int key) -> const float* { return key < position ? keys + key * 64 : k + (key - position) * 192; }"
std::string keyHole(KernelText& k, const CachedAttentionPlan& plan, const char* kept, const char* fresh, const Size& width) {
  return fmt::format("[&](int key) -> const {}* {{ return key < position ? {} + key * (long long){} : {} + (key - position) * (long long){}; }}", memoryType(plan.dtype), kept,
                     plan.cacheWidth(), fresh, k.size(width));
}

void printKept(KernelText& k, Lines& lines, const CachedAttentionPlan& plan, const char* name, unsigned input) {
  lines.line("const {}* {} = {} + batch * {} + keyHead * {};", memoryType(plan.dtype), name, k.input(input), k.size(Size(plan.context * plan.cacheWidth())), plan.headDim);
}

} // namespace

mlir::LogicalResult buildCachedAttention(KernelText& k, ir::KernelOp kernel) {
  auto plan = CachedAttentionPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = AttentionSchedule::of(kernel, asAttention(*plan));
  if (failed(schedule))
    return mlir::failure();
  k.use("attention.cuh");
  std::string type = memoryType(plan->dtype), tokens = k.size(plan->tokens), rows = k.size(plan->rows());
  Slice cache{plan->keys, 0, plan->cacheWidth()};
  k.declare(fmt::format("using Tile = ProductTile<{}, {}, 1, {}, {}, {}, {}>;\nusing Attention = AttentionTile<Tile, {}, {}>;\n", type, schedule->warps, schedule->rows,
                        schedule->keys / 8, headCopyBytes(plan->dtype, plan->headDim, {plan->q, plan->k, plan->v, cache}), schedule->stages, plan->headDim,
                        schedule->valueSlices));
  int64_t parts = schedule->parts(plan->dtype, plan->headDim), sharing = plan->sharing();
  Size blocks = Size::ceilDiv(plan->rows(), schedule->queries());
  Lines lines;
  lines.line("__shared__ Attention::Shared shared;");
  lines.line("const int row0 = (int)(blockIdx.x % {}) * Tile::tileM;", k.size(blocks));
  lines.line("{}long long rest = blockIdx.x / {};", parts == 1 ? "const " : "", k.size(blocks));
  if (parts > 1) {
    lines.line("const int firstSlice = (int)(rest % {}) * Attention::valueSlices;", parts);
    lines.line("rest /= {};", parts);
  }
  lines.line("const int keyHead = (int)(rest % {});", plan->keyHeads);
  lines.line("const long long batch = rest / {};", plan->keyHeads);
  lines.line("const int position = (int){}[0];", k.input(plan->position));
  auto printNew = [&](const char* name, const Slice& slice, int64_t width) {
    std::string start = slice.start == Size(0) ? "" : " + " + k.size(slice.start);
    lines.line("const {}* {} = {} + batch * {}{} + keyHead * {};", type, name, k.input(slice.input), k.size(plan->tokens * slice.width), start, width);
  };
  printNew("q", plan->q, sharing * plan->headDim);
  printNew("k", plan->k, plan->headDim);
  printNew("v", plan->v, plan->headDim);
  printKept(k, lines, *plan, "keys", plan->keys);
  printKept(k, lines, *plan, "values", plan->values);
  lines.line("{}* out = {} + batch * {} + keyHead * {};", type, k.output(0), k.size(plan->tokens * Size(plan->heads * plan->headDim)), sharing * plan->headDim);
  lines.line("// Row r is of token r / {0}, which stands at position + r / {0}.", sharing);
  lines.line("auto seenBy = [&](int m) {{ const long long token = (row0 + m) / {0}; return position + 1 + (int)(token < {1} ? token : {1} - 1); }};", sharing, tokens);
  lines.line("const int seen = seenBy(Tile::tileM - 1);");
  std::string inside = fmt::format("row0 + m < {}", rows);
  auto rowHole = [&](const char* base, const std::string& width, const char* constant) {
    return fmt::format("[&](int m) -> {}{}* {{ return {} ? {} + (row0 + m) / {} * (long long){} + (row0 + m) % {} * {} : nullptr; }}", constant, type, inside, base, sharing, width,
                       sharing, plan->headDim);
  };
  lines.line("attend<Attention>(shared, seen, {}, {}, {},", literal(plan->dtype, plan->scale), parts == 1 ? "0" : "firstSlice", k.input(plan->q.input));
  lines.line("                  {},", rowHole("q", k.size(plan->q.width), "const "));
  lines.line("                  {},", keyHole(k, *plan, "keys", "k", plan->k.width));
  lines.line("                  {},", keyHole(k, *plan, "values", "v", plan->v.width));
  lines.line("                  seenBy,");
  lines.line("                  {}{}", rowHole("out", k.size(Size(plan->heads * plan->headDim)), ""), plan->bias ? "," : ");");
  if (plan->bias) {
    std::string head = plan->bias->ofAllHeads ? "0" : fmt::format("(keyHead * {0} + (row0 + m) % {0})", sharing);
    std::string place = fmt::format("({} * (long long){} + (row0 + m) / {}) * {} + key", head, tokens, sharing, plan->context);
    lines.line("                  [&](int m, int key) -> {} {{ return {} ? {} : 0; }});", registerType(plan->dtype), inside, loadText(plan->dtype, k.input(plan->bias->input), place));
  }
  Size heads = plan->batch * Size(plan->keyHeads);
  k.stage({.name = "attend",
           .summary = fmt::format("A block computes {} rows of one head of keys, of {} columns.", schedule->queries(), plan->headDim),
           .blocks = heads * blocks * Size(parts),
           .threads = schedule->threads(),
           .residentBlocks = 2,
           .operations = heads * plan->rows() * Size(plan->context * 4 * plan->headDim),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr scheduleCachedAttention(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = CachedAttentionPlan::of(kernel);
  if (failed(plan))
    return {};
  auto schedule = chooseAttention(asAttention(*plan), target);
  if (!schedule) {
    kernel.emitOpError("attends with heads of ") << plan->headDim << " columns: a block's shared memory does not hold its queries";
    return {};
  }
  return schedule->attr(kernel.getContext());
}

} // namespace moec::codegen::cuda
