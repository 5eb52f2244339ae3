// moe.kernel of kind `attention_grad`: stages that each own what they write (skeletons/attention_grad.cuh).
//   statistics   a block of queries of one head: the highest score, log sum exp of the scores less that, sum of P dP; to workspaces (batch, heads, queries)
//   queries      a block of queries of one head: dq
//   keys         a block of keys of one head of k and v, from all heads of q that read it: dk and dv
//   bias         a tile of queries and keys, from all that the bias served: dbias
#include "codegen/Limits.h"
#include "codegen/cuda/AttentionGradSchedule.h"
#include "codegen/cuda/AttentionText.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"

namespace moec::codegen::cuda {
namespace {

class GradWriter {
public:
  GradWriter(KernelText& k, AttentionGradPlan plan, const AttentionGradSchedule& schedule)
      : k_(k), grad_(std::move(plan)), plan_(grad_.forward), schedule_(schedule), queries_(k.size(plan_.queries)), keys_(k.size(plan_.keys)) {}
  void write();

private:
  void statistics();
  void gradientOfQueries();
  void gradientsOfKeys();
  void gradientOfBias();

  /// `first`, `head`, `batch` and, where blocks share columns, `firstSlice` of a block of `rows` in tiles.
  void printPlace(Lines& lines, const char* first, const Size& rows, int64_t heads, bool shares);
  void printOperands(Lines& lines, const char* head, const char* keyHead);
  void printSeenBy(Lines& lines);
  void printStatisticsOfRows(Lines& lines);
  std::string hole(const char* name, const char* row, const char* index, const Size& rows, const Slice& slice);
  std::string holesOfQueries(std::string_view indent);
  std::string biasOfQuery();
  std::string readable() const { return k_.input(plan_.q.input); }
  std::string scale() const { return literal(sumType(plan_.dtype), plan_.scale); }
  std::string sum() const { return registerType(sumType(plan_.dtype)); }
  std::string statisticsAt(const char* head) const { return fmt::format("(batch * {} + {}) * {}", plan_.heads, head, queries_); }
  /// Where the columns of `head` begin in the result of a gradient of `rows`.
  std::string resultOf(const Slice& result, const Size& rows) {
    std::string start = result.start == Size(0) ? "" : " + " + k_.size(result.start);
    return fmt::format("{} + batch * {}{} + head * {}", k_.output(result.input), k_.size(rows * result.width), start, plan_.headDim);
  }
  std::string firstSlice() const { return parts() == 1 ? "0" : "firstSlice"; }
  int64_t parts() const { return schedule_.parts(plan_.dtype, plan_.headDim); }
  Size products(int64_t count) const { return plan_.batch * Size(plan_.heads) * plan_.queries * plan_.keys * Size(2 * count * plan_.headDim); }
  void stage(const char* name, std::string summary, const Size& blocks, const Size& operations, const Lines& lines) {
    k_.stage({.name = name,
              .summary = std::move(summary),
              .blocks = blocks,
              .threads = schedule_.threads(),
              .residentBlocks = 2,
              .operations = operations,
              .body = lines.str()});
  }

  KernelText& k_;
  AttentionGradPlan grad_;
  const AttentionPlan& plan_;
  AttentionGradSchedule schedule_;
  std::string queries_, keys_;
  std::string mosts_, totals_, dots_; // workspaces
};

//===--- where a block is ---===//

void GradWriter::printPlace(Lines& lines, const char* first, const Size& rows, int64_t heads, bool shares) {
  std::string blocks = k_.size(Size::ceilDiv(rows, schedule_.tile()));
  lines.line("__shared__ Attention::Shared shared;");
  lines.line("const int {} = (int)(blockIdx.x % {}) * Tile::tileM;", first, blocks);
  std::string rest = fmt::format("blockIdx.x / {}", blocks);
  if (shares && parts() > 1) {
    lines.line("const int firstSlice = (int)({} % {}) * Attention::valueSlices;", rest, parts());
    rest = fmt::format("{} / {}", rest, parts());
  }
  lines.line("const int head = (int)({} % {});", rest, heads);
  lines.line("const long long batch = {} / {};", rest, heads);
}

// q and dy of `head`, k and v of `keyHead`.
void GradWriter::printOperands(Lines& lines, const char* head, const char* keyHead) {
  for (auto [name, slice] : {std::pair{"q", &plan_.q}, {"dy", &grad_.dy}})
    printHead(k_, lines, name, plan_.dtype, plan_.headDim, *slice, plan_.queries, head);
  for (auto [name, slice] : {std::pair{"k", &plan_.k}, {"v", &plan_.v}})
    if (keyHead)
      printHead(k_, lines, name, plan_.dtype, plan_.headDim, *slice, plan_.keys, keyHead);
  if (plan_.bias)
    lines.line("const {}* bias = {}{};", memoryType(plan_.dtype), k_.input(plan_.bias->input),
               plan_.bias->ofAllHeads ? "" : fmt::format(" + {} * (long long){}", head, k_.size(plan_.queries * plan_.keys)));
}

void GradWriter::printSeenBy(Lines& lines) {
  if (plan_.causal)
    lines.line("auto seenBy = [&](int m) {{ const long long seen = query0 + m + 1 + ({0} - {1}); return (int)(seen < {0} ? seen : {0}); }};", keys_, queries_);
  else
    lines.line("auto seenBy = [&](int) {{ return (int){}; }};", keys_);
}

// The numbers of this thread's queries.
void GradWriter::printStatisticsOfRows(Lines& lines) {
  lines.line("const long long rows = {};", statisticsAt("head"));
  lines.line("RowStatistics<{}> of[Tile::rows];", sum());
  lines.add("#pragma unroll");
  lines.open("for (int m = 0; m < Tile::rows; ++m)");
  lines.line("const int query = query0 + Tile::rowOf(m);");
  lines.line("const bool inside = query < {};", queries_);
  lines.line("of[m].most = inside ? {}[rows + query] : 0;", mosts_);
  lines.line("of[m].total = inside ? {}[rows + query] : 0;", totals_);
  lines.line("of[m].dot = inside ? {}[rows + query] : 0;", dots_);
  lines.close();
}

std::string GradWriter::hole(const char* name, const char* row, const char* index, const Size& rows, const Slice& slice) {
  return fmt::format("[&](int {}) -> {}", name, rowHole(k_, row, index, fmt::format("{} < {}", index, k_.size(rows)), plan_.dtype, slice.width));
}

// The functions that find rows of q, dy, k and v for a block of queries, what a query sees, its bias, and the factors of its dropout.
std::string GradWriter::holesOfQueries(std::string_view indent) {
  std::string factors = dropoutHole(k_, plan_, "int m, int key", "query0 + m", "key", fmt::format("query0 + m < {}", queries_));
  return fmt::format("{5}{0},\n{5}{1},\n{5}{2},\n{5}{3},\n{5}seenBy, {4},\n{5}{6}", hole("m", "q", "query0 + m", plan_.queries, plan_.q),
                     hole("m", "dy", "query0 + m", plan_.queries, grad_.dy), hole("key", "k", "key", plan_.keys, plan_.k),
                     hole("key", "v", "key", plan_.keys, plan_.v), biasOfQuery(), indent, factors);
}

std::string GradWriter::biasOfQuery() {
  if (!plan_.bias)
    return "NoBias()";
  return fmt::format("[&](int m, int key) -> {} {{ return query0 + m < {} ? {} : 0; }}", sum(), queries_,
                     loadText(plan_.dtype, "bias", fmt::format("(query0 + m) * (long long){} + key", keys_)));
}

//===--- stages ---===//

void GradWriter::statistics() {
  Lines lines;
  printPlace(lines, "query0", plan_.queries, plan_.heads, false);
  std::string keyHead = plan_.sharing() == 1 ? "head" : fmt::format("(head / {})", plan_.sharing());
  printOperands(lines, "head", keyHead.c_str());
  printSeenBy(lines);
  lines.line("const long long rows = {};", statisticsAt("head"));
  lines.line("attentionStatistics<Attention>(shared, seenBy(Tile::tileM - 1), {}, {},", scale(), readable());
  lines.add(holesOfQueries("    ") + ",");
  lines.line("    [&](int m, {0} most, {0} total, {0} dot) {{", sum());
  lines.line("      if (query0 + m < {})", queries_);
  lines.line("        {}[rows + query0 + m] = most, {}[rows + query0 + m] = total, {}[rows + query0 + m] = dot;", mosts_, totals_, dots_);
  lines.line("    }});");
  stage("statistics", fmt::format("A block computes the log sum exp and the sum of P dP of {} queries of one head.", schedule_.tile()),
        plan_.batch * Size(plan_.heads) * Size::ceilDiv(plan_.queries, schedule_.tile()), products(2), lines);
}

void GradWriter::gradientOfQueries() {
  Lines lines;
  printPlace(lines, "query0", plan_.queries, plan_.heads, true);
  std::string keyHead = plan_.sharing() == 1 ? "head" : fmt::format("(head / {})", plan_.sharing());
  printOperands(lines, "head", keyHead.c_str());
  printSeenBy(lines);
  printStatisticsOfRows(lines);
  lines.line("{} dq[Tile::rows][Attention::columns], products[Tile::rows][Tile::columns];", sum());
  lines.line("clearSums<Attention>(dq);");
  lines.line("const int keys = seenBy(Tile::tileM - 1);");
  lines.add("#pragma unroll 1");
  lines.open("for (int key0 = 0; key0 < keys; key0 += Tile::tileN)");
  lines.line("scoreGradients<Attention>(shared, products, key0, {}, {}, of,", scale(), readable());
  lines.add(holesOfQueries("    ") + ");");
  lines.line("addWeighted<Attention>(shared, dq, products, {}, {}, {});", firstSlice(), readable(), hole("n", "k", "key0 + n", plan_.keys, plan_.k));
  lines.close();
  std::string type = memoryType(plan_.dtype), width = k_.size(grad_.dq->width);
  lines.line("{}* out = {};", type, resultOf(*grad_.dq, plan_.queries));
  lines.line("storeSums<Attention>(dq, {}, {}, [&](int m) -> {}* {{ return query0 + m < {} ? out + (query0 + m) * (long long){} : nullptr; }});", scale(),
             firstSlice(), type, queries_, width);
  stage("queries", fmt::format("A block computes dq of {} queries of one head.", schedule_.tile()),
        plan_.batch * Size(plan_.heads) * Size::ceilDiv(plan_.queries, schedule_.tile()) * Size(parts()), products(3), lines);
}

void GradWriter::gradientsOfKeys() {
  Lines lines;
  std::string type = memoryType(plan_.dtype);
  printPlace(lines, "key0", plan_.keys, plan_.keyHeads, true);
  for (auto [name, slice] : {std::pair{"k", &plan_.k}, {"v", &plan_.v}})
    printHead(k_, lines, name, plan_.dtype, plan_.headDim, *slice, plan_.keys);
  lines.line("{0} dk[Tile::rows][Attention::columns], dv[Tile::rows][Attention::columns];", sum());
  lines.line("clearSums<Attention>(dk);");
  lines.line("clearSums<Attention>(dv);");
  std::string none = "0x7fffffff", first = "0";
  if (plan_.causal) {
    lines.line("auto seenFrom = [&](int m) {{ return key0 + m < {0} ? (int)(key0 + m - ({0} - {1})) : {2}; }};", keys_, queries_, none);
    lines.line("const int query0 = seenFrom(0) > 0 ? seenFrom(0) / Tile::tileN * Tile::tileN : 0;");
    first = "query0";
  } else {
    lines.line("auto seenFrom = [&](int m) {{ return key0 + m < {} ? 0 : {}; }};", keys_, none);
  }
  if (plan_.sharing() > 1) {
    lines.add("#pragma unroll 1");
    lines.open("for (int queryHead = head * {0}; queryHead < (head + 1) * {0}; ++queryHead)", plan_.sharing());
  } else {
    lines.line("const int queryHead = head;");
  }
  printOperands(lines, "queryHead", nullptr);
  lines.line("const long long rows = {};", statisticsAt("queryHead"));
  lines.line("addGradientsOfKeys<Attention>(shared, dk, dv, {}, (int){}, {}, {}, {},", first, queries_, scale(), firstSlice(), readable());
  for (auto [name, row, index, rows, slice] : {std::tuple{"m", "k", "key0 + m", &plan_.keys, &plan_.k},
                                               {"m", "v", "key0 + m", &plan_.keys, &plan_.v},
                                               {"query", "q", "query", &plan_.queries, &plan_.q},
                                               {"query", "dy", "query", &plan_.queries, &grad_.dy}})
    lines.line("    {},", hole(name, row, index, *rows, *slice));
  std::string bias = "NoBias()";
  if (plan_.bias)
    bias = fmt::format("[&](int query, int m) -> {} {{ return {}; }}", sum(),
                       loadText(plan_.dtype, "bias", fmt::format("query * (long long){} + key0 + m", keys_)));
  lines.line("    seenFrom, {}, {},", bias, dropoutHole(k_, plan_, "int query, int m", "query", "key0 + m", ""));
  lines.line("    [&](int query) {{ return RowStatistics<{}>{{{}[rows + query], {}[rows + query], {}[rows + query]}}; }});", sum(), mosts_, totals_, dots_);
  if (plan_.sharing() > 1)
    lines.close();
  for (auto [name, result, factor] : {std::tuple{"dk", grad_.dk, scale()}, {"dv", grad_.dv, literal(sumType(plan_.dtype), 1)}}) {
    if (!result)
      continue;
    lines.line("{}* outOf{} = {};", type, name + 1, resultOf(*result, plan_.keys));
    lines.line("storeSums<Attention>({0}, {1}, {2}, [&](int m) -> {3}* {{ return key0 + m < {4} ? outOf{5} + (key0 + m) * (long long){6} : nullptr; }});", name,
               factor, firstSlice(), type, keys_, name + 1, k_.size(result->width));
  }
  stage("keys", fmt::format("A block computes dk and dv of {} keys of one head of them.", schedule_.tile()),
        plan_.batch * Size(plan_.keyHeads) * Size::ceilDiv(plan_.keys, schedule_.tile()) * Size(parts()), products(4), lines);
}

void GradWriter::gradientOfBias() {
  bool ofAll = plan_.bias->ofAllHeads;
  std::string tilesM = k_.size(Size::ceilDiv(plan_.queries, schedule_.tile())), tilesN = k_.size(Size::ceilDiv(plan_.keys, schedule_.others));
  Lines lines;
  lines.line("__shared__ Attention::Shared shared;");
  lines.line("const int key0 = (int)(blockIdx.x % {}) * Tile::tileN;", tilesN);
  lines.line("const int query0 = (int)(blockIdx.x / {} % {}) * Tile::tileM;", tilesN, tilesM);
  if (!ofAll)
    lines.line("const int head = (int)(blockIdx.x / {} / {});", tilesN, tilesM);
  printSeenBy(lines);
  lines.line("{0} sums[Tile::rows][Tile::columns] = {{}}, products[Tile::rows][Tile::columns];", sum());
  lines.add("#pragma unroll 1");
  lines.open("for (long long batch = 0; batch < {}; ++batch)", k_.size(plan_.batch));
  if (ofAll) {
    lines.add("#pragma unroll 1");
    lines.open("for (int head = 0; head < {}; ++head)", plan_.heads);
  }
  std::string keyHead = plan_.sharing() == 1 ? "head" : fmt::format("(head / {})", plan_.sharing());
  printOperands(lines, "head", keyHead.c_str());
  printStatisticsOfRows(lines);
  lines.line("scoreGradients<Attention>(shared, products, key0, {}, {}, of,", scale(), readable());
  lines.add(holesOfQueries("    ") + ");");
  auto each = [&](const std::string& text) {
    lines.add("#pragma unroll");
    lines.line("for (int m = 0; m < Tile::rows; ++m)");
    lines.add("#pragma unroll");
    lines.line("  for (int n = 0; n < Tile::columns; ++n)");
    lines.add(text);
  };
  each("    sums[m][n] += products[m][n];");
  lines.close();
  if (ofAll)
    lines.close();
  std::string index = fmt::format("{}(query0 + Tile::rowOf(m)) * (long long){} + key0 + Tile::columnOf(n)",
                                  ofAll ? "" : fmt::format("head * (long long){} + ", k_.size(plan_.queries * plan_.keys)), keys_);
  each(fmt::format("    if (query0 + Tile::rowOf(m) < {} && key0 + Tile::columnOf(n) < {})\n      {}", queries_, keys_,
                   storeText(plan_.dtype, k_.output(*grad_.dbias), index, "sums[m][n]")));
  stage("bias", fmt::format("A block computes dbias of {} queries and {} keys.", schedule_.tile(), schedule_.others),
        Size(ofAll ? 1 : plan_.heads) * Size::ceilDiv(plan_.queries, schedule_.tile()) * Size::ceilDiv(plan_.keys, schedule_.others), products(2), lines);
}

void GradWriter::write() {
  k_.use("attention_grad.cuh");
  k_.declare(fmt::format("using Tile = ProductTile<{}, {}, 1, {}, {}, {}, {}>;\nusing Attention = AttentionGradTile<Tile, {}, {}>;\n", memoryType(plan_.dtype),
                         schedule_.warps, schedule_.rows, schedule_.others / 8,
                         headCopyBytes(plan_.dtype, plan_.headDim, {plan_.q, plan_.k, plan_.v, grad_.dy}), schedule_.stages, plan_.headDim,
                         schedule_.valueSlices));
  Size rows = plan_.batch * Size(plan_.heads) * plan_.queries;
  mosts_ = k_.addWorkspace(sumType(plan_.dtype), rows);
  totals_ = k_.addWorkspace(sumType(plan_.dtype), rows);
  dots_ = k_.addWorkspace(sumType(plan_.dtype), rows);
  statistics();
  if (grad_.dq)
    gradientOfQueries();
  if (grad_.dk || grad_.dv)
    gradientsOfKeys();
  if (grad_.dbias)
    gradientOfBias();
}

} // namespace

mlir::LogicalResult buildAttentionGrad(KernelText& k, ir::KernelOp kernel) {
  auto plan = AttentionGradPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = AttentionGradSchedule::of(kernel, plan->forward);
  if (failed(schedule))
    return mlir::failure();
  GradWriter(k, *plan, *schedule).write();
  return mlir::success();
}

mlir::DictionaryAttr scheduleAttentionGrad(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = AttentionGradPlan::of(kernel);
  if (failed(plan))
    return {};
  AttentionGradSchedule schedule = chooseAttentionGrad(plan->forward);
  if (auto why = schedule.illegal(plan->forward.dtype, plan->forward.headDim)) {
    beyondTarget(kernel, target.name) << "it attends with heads of " << plan->forward.headDim << " columns: " << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cuda
