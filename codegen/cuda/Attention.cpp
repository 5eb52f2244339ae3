// moe.kernel of kind `attention`: a block computes a block of queries of one head, by one pass over the keys (skeletons/attention.cuh).
#include "codegen/Limits.h"
#include "codegen/cuda/AttentionSchedule.h"
#include "codegen/cuda/AttentionText.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/ProductSchedule.h"

namespace moec::codegen::cuda {

mlir::LogicalResult buildAttention(KernelText& k, ir::KernelOp kernel) {
  auto plan = AttentionPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = AttentionSchedule::of(kernel, *plan);
  if (failed(schedule))
    return mlir::failure();
  k.use("attention.cuh");
  std::string type = memoryType(plan->dtype), queries = k.size(plan->queries), keys = k.size(plan->keys);
  k.declare(fmt::format("using Tile = ProductTile<{}, {}, 1, {}, {}, {}, {}>;\nusing Attention = AttentionTile<Tile, {}, {}>;\n", type, schedule->warps,
                        schedule->rows, schedule->keys / 8, headCopyBytes(plan->dtype, plan->headDim, {plan->q, plan->k, plan->v}), schedule->stages,
                        plan->headDim, schedule->valueSlices));

  int64_t parts = schedule->parts(plan->dtype, plan->headDim);
  Size blocks = Size::ceilDiv(plan->queries, schedule->queries());
  Lines lines;
  lines.line("__shared__ Attention::Shared shared;");
  lines.line("const int query0 = (int)(blockIdx.x % {}) * Tile::tileM;", k.size(blocks));
  lines.line("{}long long rest = blockIdx.x / {};", parts == 1 ? "const " : "", k.size(blocks));
  if (parts > 1) {
    lines.line("const int firstSlice = (int)(rest % {}) * Attention::valueSlices;", parts);
    lines.line("rest /= {};", parts);
  }
  lines.line("const int head = (int)(rest % {});", plan->heads);
  lines.line("const long long batch = rest / {};", plan->heads);
  printHead(k, lines, "q", plan->dtype, plan->headDim, plan->q, plan->queries);
  const char* keyHead = plan->sharing() == 1 ? "head" : "keyHead";
  if (plan->sharing() > 1)
    lines.line("const int keyHead = head / {};", plan->sharing());
  printHead(k, lines, "k", plan->dtype, plan->headDim, plan->k, plan->keys, keyHead);
  printHead(k, lines, "v", plan->dtype, plan->headDim, plan->v, plan->keys, keyHead);
  if (plan->bias)
    lines.line("const {}* bias = {}{};", type, k.input(plan->bias->input),
               plan->bias->ofAllHeads ? "" : fmt::format(" + head * (long long){}", k.size(plan->queries * plan->keys)));
  lines.line("{}* out = {} + batch * {} + head * {};", type, k.output(0), k.size(plan->queries * Size(plan->heads * plan->headDim)), plan->headDim);
  if (plan->dropout)
    lines.line("const long long rows = (batch * {} + head) * {};", plan->heads, queries);
  if (plan->causal) {
    lines.line("// Query i sees keys 0 .. i + {} - {}.", keys, queries);
    lines.line("auto seenBy = [&](int m) {{ const long long seen = query0 + m + 1 + ({0} - {1}); return (int)(seen < {0} ? seen : {0}); }};", keys, queries);
    lines.line("const int keys = seenBy(Tile::tileM - 1);");
  } else {
    lines.line("auto seenBy = [&](int) {{ return (int){}; }};", keys);
    lines.line("const int keys = (int){};", keys);
  }
  lines.line("attend<Attention>(shared, keys, {}, {}, {},", literal(plan->dtype, plan->scale), parts == 1 ? "0" : "firstSlice", k.input(plan->q.input));
  std::string inside = plan->queries.constant() && *plan->queries.constant() % schedule->queries() == 0 ? "" : fmt::format("query0 + m < {}", queries);
  lines.line("                  [&](int m) -> {},", rowHole(k, "q", "query0 + m", inside, plan->dtype, plan->q.width));
  lines.line("                  [&](int key) -> {},", rowHole(k, "k", "key", "", plan->dtype, plan->k.width));
  lines.line("                  [&](int key) -> {},", rowHole(k, "v", "key", "", plan->dtype, plan->v.width));
  lines.line("                  seenBy,");
  std::string out = fmt::format("out + (query0 + m) * (long long){}", plan->heads * plan->headDim);
  lines.line("                  [&](int m) -> {}* {{ return {}; }}{}", type, inside.empty() ? out : fmt::format("{} ? {} : nullptr", inside, out),
             plan->bias || plan->dropout ? "," : ");");
  if (plan->bias) {
    std::string added = loadText(plan->dtype, "bias", fmt::format("(query0 + m) * (long long){} + key", keys));
    lines.line("                  [&](int m, int key) -> {} {{ return {}; }}{}", registerType(plan->dtype),
               inside.empty() ? added : fmt::format("{} ? {} : 0", inside, added), plan->dropout ? "," : ");");
  } else if (plan->dropout) {
    lines.line("                  NoBias(),");
  }
  if (plan->dropout)
    lines.line("                  {});", dropoutHole(k, *plan, "int m, int key", "query0 + m", "key", inside));
  Size heads = plan->batch * Size(plan->heads);
  k.stage({.name = "attend",
           .summary = fmt::format("A block computes {} queries of one head of {} columns.", schedule->queries(), plan->headDim),
           .blocks = heads * blocks * Size(parts),
           .threads = schedule->threads(),
           .residentBlocks = 2,
           .operations = heads * plan->queries * plan->keys * Size(4 * plan->headDim),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr scheduleAttention(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = AttentionPlan::of(kernel);
  if (failed(plan))
    return {};
  auto schedule = chooseAttention(*plan, target);
  if (!schedule) {
    beyondTarget(kernel, target.name) << "it attends with heads of " << plan->headDim << " columns: a block's shared memory does not hold its queries";
    return {};
  }
  return schedule->attr(kernel.getContext());
}

} // namespace moec::codegen::cuda
