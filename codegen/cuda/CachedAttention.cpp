// moe.kernel of kind `cached_attention`. A row is a new token's query of one of the heads that share a head of keys.
//   several tokens: a block computes a block of rows, by one pass over the kept keys and the new ones (skeletons/attention.cuh)
//   one token: blocks share the keys of its rows (skeletons/cached_attention.cuh), and a stage more puts their sums together
// Which of the two it is, is known at the call: the blocks of the other stages leave at once.
#include "codegen/Limits.h"
#include "codegen/analysis/CachedPlans.h"
#include "codegen/cuda/AttentionSchedule.h"
#include "codegen/cuda/AttentionText.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/ProductSchedule.h"
#include "codegen/cuda/Schedule.h"

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

/// Kernels count rows and keys in 31 bits.
mlir::LogicalResult checkCounts(ir::KernelOp kernel, const CachedAttentionPlan& plan, const CudaTarget& target) {
  constexpr int64_t most = INT32_MAX - (1 << 17); // tiles, and ranges of one token's keys, end behind the last one by less
  if (plan.context <= most / plan.sharing())
    return mlir::success();
  return beyondTarget(kernel, target.name) << "it attends to a context of " << plan.context << " tokens, of each of which " << plan.sharing()
                                           << " heads share keys: a CUDA kernel counts at most " << most << " rows; compile it for a context of at most "
                                           << most / plan.sharing();
}

/// "[&](int key) -> const float* { return key < position ? keys + key * 64 : k + (key - position) * 192; }"
std::string keyHole(KernelText& k, const CachedAttentionPlan& plan, const char* kept, const char* fresh, const Size& width) {
  return fmt::format("[&](int key) -> const {}* {{ return key < position ? {} + key * (long long){} : {} + (key - position) * (long long){}; }}",
                     memoryType(plan.dtype), kept, plan.cacheWidth(), fresh, k.size(width));
}

void printKept(KernelText& k, Lines& lines, const CachedAttentionPlan& plan, const char* name, unsigned input) {
  lines.line("const {}* {} = {} + batch * {} + keyHead * {};", memoryType(plan.dtype), name, k.input(input), k.size(Size(plan.context * plan.cacheWidth())),
             plan.headDim);
}

constexpr int64_t kWarps = 4; // of a block that has one token

/// One token: rows of a block, blocks that share the keys of these, and the width of its loads. No rows: the block of several tokens is as good.
struct OneTokenRule {
  int64_t rows = 0, splits = 1;

  static OneTokenRule of(const CachedAttentionPlan& plan, const CudaTarget& target) {
    int64_t words = static_cast<int64_t>(byteSize(sumType(plan.dtype))) / 4, own = (plan.headDim + 7) / 8;
    OneTokenRule rule;
    for (int64_t rows : {1, 2, 3, 4}) // q, k, v and sums of a thread are registers
      if (plan.sharing() % rows == 0 && (2 * rows + 2) * own * words <= (rows == 1 ? 160 : 128) && kWarps * rows * (plan.headDim + 2) * words * 4 <= 40 * 1024)
        rule.rows = rows;
    if (rule.rows == 0)
      return rule;
    // Two blocks for each multiprocessor, each of 64 keys at least when the context is full.
    int64_t blocks = plan.batch.constant().value_or(1) * plan.heads / rule.rows;
    rule.splits = std::clamp<int64_t>((2 * target.multiprocessors + blocks - 1) / blocks, 1, std::max<int64_t>(1, plan.context / 64));
    return rule;
  }
};

/// The stages of one token, and what stands in front of that of several.
void buildOneToken(KernelText& k, const CachedAttentionPlan& plan, const OneTokenRule& rule, int64_t copyBytes) {
  k.use("cached_attention.cuh");
  std::string type = memoryType(plan.dtype), sum = registerType(sumType(plan.dtype));
  int64_t vec = copyBytes / static_cast<int64_t>(byteSize(plan.dtype)), groups = plan.heads / rule.rows, perKeyHead = plan.sharing() / rule.rows;
  k.declare(fmt::format("using One = OneToken<{}, {}, {}, {}, {}>;\n", type, plan.headDim, vec, rule.rows, kWarps));
  Size rows = plan.batch * Size(plan.heads * rule.splits);
  DType computed = sumType(plan.dtype);
  std::string sums = k.addWorkspace(computed, rows * Size(plan.headDim)), most = k.addWorkspace(computed, rows), total = k.addWorkspace(computed, rows);
  bool isKnown = plan.tokens.isConstant();
  auto leave = [&](Lines& lines) {
    if (!isKnown)
      lines.line("if ({} != 1)\n  return;", k.size(plan.tokens));
  };
  Lines lines;
  leave(lines);
  lines.line("__shared__ One::Shared shared;");
  lines.line("const int split = (int)(blockIdx.x % {});", rule.splits);
  lines.line("const long long group = blockIdx.x / {}; // of the heads of all of the batch", rule.splits);
  lines.line("const int head = (int)(group % {}) * {}, keyHead = (int)(group % {}) / {};", groups, rule.rows, groups, perKeyHead);
  lines.line("const long long batch = group / {};", groups);
  lines.line("const int position = (int){}[0], seen = position + 1;", k.input(plan.position));
  lines.line("const int span = ((seen + {0} - 1) / {0} + {1} - 1) / {1} * {1}, from = split * span, to = from + span < seen ? from + span : seen;", rule.splits,
             4 * kWarps);
  auto start = [&](const Slice& slice) { return slice.start == Size(0) ? std::string() : " + " + k.size(slice.start); };
  lines.line("const {}* q = {} + batch * {}{} + head * {};", type, k.input(plan.q.input), k.size(plan.q.width), start(plan.q), plan.headDim);
  lines.line("const {}* k = {} + batch * {}{} + keyHead * {};", type, k.input(plan.k.input), k.size(plan.k.width), start(plan.k), plan.headDim);
  lines.line("const {}* v = {} + batch * {}{} + keyHead * {};", type, k.input(plan.v.input), k.size(plan.v.width), start(plan.v), plan.headDim);
  printKept(k, lines, plan, "keys", plan.keys);
  printKept(k, lines, plan, "values", plan.values);
  lines.line("const long long place = (group * {} + split) * {};", rule.splits, rule.rows);
  lines.line("attendRange<One>(shared, from, to, {},", literal(plan.dtype, plan.scale));
  lines.line("                 [&](int row) -> const {}* {{ return q + row * {}; }},", type, plan.headDim);
  lines.line("                 {},", keyHole(k, plan, "keys", "k", plan.k.width));
  lines.line("                 {},", keyHole(k, plan, "values", "v", plan.v.width));
  std::string bias = "0";
  if (plan.bias)
    bias = loadText(plan.dtype, k.input(plan.bias->input), fmt::format("{} * (long long){} + key", plan.bias->ofAllHeads ? "0" : "(head + row)", plan.context));
  lines.line("                 [&](int row, int key) -> {} {{ return {}; }},", sum, bias);
  lines.line("                 {} + place * {}, {} + place, {} + place);", sums, plan.headDim, most, total);
  Size blocks = plan.batch * Size(groups);
  k.stage({.name = "attend_one",
           .summary = fmt::format("A block attends with {} rows of one token to one of {} ranges of its keys.", rule.rows, rule.splits),
           .blocks = blocks * Size(rule.splits),
           .threads = static_cast<int>(32 * kWarps),
           .residentBlocks = 2, // rows of f64 take more registers than ptxas would give them
           .operations = blocks * Size(rule.rows * plan.context * 4 * plan.headDim),
           .body = lines.str()});

  Lines join;
  leave(join);
  join.line("const long long group = blockIdx.x;");
  join.open("for (int element = threadIdx.x; element < {}; element += {})", rule.rows * plan.headDim, 32 * kWarps);
  join.line("const int row = element / {};", plan.headDim);
  join.line("const long long place = group * {} + row;", rule.splits * rule.rows);
  join.line("{} highest = {}[place], sum = 0, all = 0;", sum, most);
  join.line("for (int split = 1; split < {}; ++split)", rule.splits);
  join.line("  highest = {0}[place + split * {1}] > highest ? {0}[place + split * {1}] : highest;", most, rule.rows);
  join.open("for (int split = 0; split < {}; ++split)", rule.splits);
  join.line("const {} shrink = shrinkOf({}[place + split * {}], highest);", sum, most, rule.rows);
  join.line("sum += {}[(group * {} + split) * {} + element] * shrink;", sums, rule.splits, rule.rows * plan.headDim);
  join.line("all += {}[place + split * {}] * shrink;", total, rule.rows);
  join.close();
  join.line("{}", storeText(plan.dtype, k.output(0), fmt::format("group * {} + element", rule.rows * plan.headDim), "sum / all"));
  join.close();
  k.stage({.name = "join_one",
           .summary = fmt::format("A block puts the {} ranges of {} rows together.", rule.splits, rule.rows),
           .blocks = blocks,
           .threads = static_cast<int>(32 * kWarps),
           .operations = blocks * Size(rule.rows * rule.splits * plan.headDim * 2),
           .body = join.str()});
}

} // namespace

mlir::LogicalResult buildCachedAttention(KernelText& k, ir::KernelOp kernel) {
  auto plan = CachedAttentionPlan::of(kernel);
  if (failed(plan) || failed(checkCounts(kernel, *plan, k.target())))
    return mlir::failure();
  auto schedule = AttentionSchedule::of(kernel, asAttention(*plan));
  if (failed(schedule))
    return mlir::failure();
  auto rowsOfOne = fieldOf(kernel, "one_rows", 0, 4), splits = fieldOf(kernel, "one_splits", 1, 4096);
  if (failed(rowsOfOne) || failed(splits))
    return mlir::failure();
  Slice cache{plan->keys, 0, plan->cacheWidth()};
  int64_t copied = headCopyBytes(plan->dtype, plan->headDim, {plan->q, plan->k, plan->v, cache});
  bool hasOne = *rowsOfOne > 0 && (!plan->tokens.isConstant() || plan->tokens == Size(1));
  if (hasOne && plan->sharing() % *rowsOfOne != 0)
    return kernel.emitOpError("has an illegal schedule: one_rows ") << *rowsOfOne << " must divide the " << plan->sharing() << " heads that share keys";
  if (hasOne)
    buildOneToken(k, *plan, {*rowsOfOne, *splits}, copied);
  if (hasOne && plan->tokens.isConstant())
    return mlir::success();
  k.use("attention.cuh");
  std::string type = memoryType(plan->dtype), tokens = k.size(plan->tokens), rows = k.size(plan->rows());
  k.declare(fmt::format("using Tile = ProductTile<{}, {}, 1, {}, {}, {}, {}>;\nusing Attention = AttentionTile<Tile, {}, {}>;\n", type, schedule->warps,
                        schedule->rows, schedule->keys / 8, copied, schedule->stages, plan->headDim, schedule->valueSlices));
  int64_t parts = schedule->parts(plan->dtype, plan->headDim), sharing = plan->sharing();
  Size blocks = Size::ceilDiv(plan->rows(), schedule->queries());
  Lines lines;
  if (hasOne)
    lines.line("if ({} == 1)\n  return;", tokens);
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
  lines.line("auto seenBy = [&](int m) {{ const long long token = (row0 + m) / {0}; return position + 1 + (int)(token < {1} ? token : {1} - 1); }};", sharing,
             tokens);
  lines.line("const int seen = seenBy(Tile::tileM - 1);");
  std::string inside = fmt::format("row0 + m < {}", rows);
  auto rowHole = [&](const char* base, const std::string& width, const char* constant) {
    return fmt::format("[&](int m) -> {}{}* {{ return {} ? {} + (row0 + m) / {} * (long long){} + (row0 + m) % {} * {} : nullptr; }}", constant, type, inside,
                       base, sharing, width, sharing, plan->headDim);
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
    lines.line("                  [&](int m, int key) -> {} {{ return {} ? {} : 0; }});", registerType(plan->dtype), inside,
               loadText(plan->dtype, k.input(plan->bias->input), place));
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
    beyondTarget(kernel, target.name) << "it attends with heads of " << plan->headDim << " columns: a block's shared memory does not hold its queries";
    return {};
  }
  OneTokenRule one = OneTokenRule::of(*plan, target);
  return toAttr(kernel.getContext(), {{"warps", schedule->warps},
                                      {"rows", schedule->rows},
                                      {"keys", schedule->keys},
                                      {"value_slices", schedule->valueSlices},
                                      {"stages", schedule->stages},
                                      {"one_rows", one.rows},
                                      {"one_splits", one.splits}});
}

} // namespace moec::codegen::cuda
