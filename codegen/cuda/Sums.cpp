// sums: the gradients of tables. Rows of dy are added to the entries that they came from, in their order (skeletons/sums.cuh).
//   embedding_grad:      a block does a few entries and columns, and looks through all ids for them
//   expert_sums:         a block does one expert and 32 columns
//   relative_bias_grad:  a thread sums a diagonal of dy, along which key and query lie equally far apart; a warp then sums the diagonals of a bucket
#include "codegen/analysis/Positions.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/ProductText.h"
#include "codegen/cuda/Schedule.h"

#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

namespace moec::codegen::cuda {

namespace {

mlir::FailureOr<mlir::Operation*> sumsOf(ir::KernelOp kernel) {
  mlir::Operation* found = nullptr;
  for (mlir::Operation& op : kernel.getBody().front())
    if (mlir::isa<ir::EmbeddingGradOp, ir::RelativeBiasGradOp, ir::ExpertSumsOp>(op)) {
      if (found)
        return kernel.emitOpError("holds two sums, ") << found->getName() << " and " << op.getName() << ": its kind takes one";
      found = &op;
    }
  if (!found)
    return kernel.emitOpError("of kind \"sums\" holds none of moe.embedding_grad, moe.relative_bias_grad and moe.expert_sums");
  for (mlir::Value operand : found->getOperands())
    if (failed(inputOf(kernel, operand, "an operand of the sums")))
      return mlir::failure();
  return found;
}

struct SumsKernel {
  KernelText& k;
  mlir::Operation* op;
  DType type, sum; // of dy, and what is summed in
  Size operations; // of the ops behind

  std::string pointer(unsigned operand) const { return k.input(mlir::cast<mlir::BlockArgument>(op->getOperand(operand)).getArgNumber()); }
  std::string sumName() const { return registerType(sum); }
  mlir::LogicalResult store(Lines& lines, const Coordinates& at, const std::string& value) const {
    mlir::Value result = op->getResult(0);
    return printResults(k, lines, {result, at, value, ""}, linearIndex(k, ir::sizesOf(result), at));
  }

  mlir::LogicalResult embedding(ir::EmbeddingGradOp grad) const;
  mlir::LogicalResult experts(ir::ExpertSumsOp sums) const;
  mlir::LogicalResult distances(ir::RelativeBiasGradOp grad) const;
};

mlir::LogicalResult SumsKernel::embedding(ir::EmbeddingGradOp grad) const {
  ir::KernelOp kernel = k.kernel();
  auto threads = fieldOf(kernel, "threads", 32, 512), entries = fieldOf(kernel, "entries", 1, 64);
  if (failed(threads) || failed(entries))
    return mlir::failure();
  if (*threads % 32 != 0 || *threads * (*entries * static_cast<int64_t>(byteSize(sum)) + 13) > kStaticSharedBytes)
    return kernel.emitOpError("has an illegal schedule: threads ")
           << *threads << " must be whole warps, whose sums of " << *entries << " entries fit shared memory";
  ir::Sizes table = ir::sizesOf(grad.getResult());
  Size ids = ir::product(ir::sizesOf(grad.getIds())), slabs = Size::ceilDiv(table[1], *threads);
  k.use("sums.cuh");
  k.declare(fmt::format("using Sums = EntrySums<{}, {}, {}>;", sumName(), *threads, *entries));
  Lines lines;
  lines.line("__shared__ Sums::Shared shared;");
  lines.line("const long long column = (long long)(blockIdx.x % {}) * Sums::threads + threadIdx.x, first = (long long)(blockIdx.x / {}) * Sums::entries;",
             k.size(slabs), k.size(slabs));
  lines.line("Sums::add(shared, {}, first, column < {}, [&](long long row) {{ return {}[row]; }},", k.size(ids), k.size(table[1]), pointer(0));
  lines.line("          [&](long long row) {{ return {}; }});", loadText(type, pointer(1), fmt::format("row * {} + column", k.size(table[1]))));
  lines.add("#pragma unroll 1");
  lines.open("for (int e = 0; e < Sums::entries; ++e)");
  lines.line("const long long entry = first + e;");
  lines.line("if (entry >= {} || column >= {})", k.size(table[0]), k.size(table[1]));
  lines.line("  break;");
  lines.line("const {} sum = shared.sums[e][threadIdx.x];", sumName());
  if (failed(store(lines, {"entry", "column"}, "sum")))
    return mlir::failure();
  lines.close();
  k.stage({.name = "entries",
           .summary = fmt::format("A block sums up the rows of {} entries, {} columns of them.", *entries, *threads),
           .blocks = Size::ceilDiv(table[0], *entries) * slabs,
           .threads = static_cast<int>(*threads),
           .operations = ids * table[1] + operations,
           .body = lines.str()});
  return mlir::success();
}

mlir::LogicalResult SumsKernel::experts(ir::ExpertSumsOp sums) const {
  constexpr int kWarps = 8;
  ir::Sizes table = ir::sizesOf(sums.getResult());
  Size slabs = Size::ceilDiv(table[1], 32);
  k.use("sums.cuh");
  Lines lines;
  lines.line("__shared__ {} parts[{}][32];", sumName(), kWarps);
  lines.line("const int expert = (int)(blockIdx.x / {});", k.size(slabs));
  lines.line("const long long column = (long long)(blockIdx.x % {}) * 32 + threadIdx.x % 32;", k.size(slabs));
  lines.line("const {} sum = sumOfRows(parts, {}[expert], {}[expert + 1], column < {},", sumName(), pointer(1), pointer(1), k.size(table[1]));
  lines.line("    [&](int row) {{ return {}; }});", loadText(type, pointer(0), fmt::format("(long long)row * {} + column", k.size(table[1]))));
  lines.line("if (threadIdx.x >= 32 || column >= {})", k.size(table[1]));
  lines.line("  return;");
  if (failed(store(lines, {"expert", "column"}, "sum")))
    return mlir::failure();
  k.stage({.name = "experts",
           .summary = "A block sums up the rows of one expert, 32 columns of them.",
           .blocks = table[0] * slabs,
           .threads = 32 * kWarps,
           .operations = ir::product(ir::sizesOf(sums.getRows())) + operations,
           .body = lines.str()});
  return mlir::success();
}

/// The first and the last relative position + 1 of each bucket, key minus query.
std::pair<std::vector<std::string>, std::vector<std::string>> rangesOf(const RelativeBuckets& buckets) {
  constexpr int64_t kFar = int64_t{1} << 40; // beyond every distance
  std::vector<std::string> first, end;
  auto startOf = [&](int64_t bucket) { return bucket == 0 ? 0 : bucket < buckets.count ? int64_t{buckets.starts[static_cast<size_t>(bucket) - 1]} : kFar; };
  auto add = [&](int64_t from, int64_t to) {
    first.push_back(fmt::format("{}ll", from));
    end.push_back(fmt::format("{}ll", to));
  };
  for (int64_t bucket = 0; bucket < buckets.count; ++bucket) // keys at and before the query
    add(1 - startOf(bucket + 1), !buckets.bidirectional && bucket == 0 ? kFar : 1 - startOf(bucket));
  for (int64_t bucket = 0; buckets.bidirectional && bucket < buckets.count; ++bucket)
    add(std::max<int64_t>(1, startOf(bucket)), startOf(bucket + 1));
  return {first, end};
}

mlir::LogicalResult SumsKernel::distances(ir::RelativeBiasGradOp grad) const {
  constexpr int kThreads = 128;
  ir::Sizes sizes = ir::sizesOf(grad.getDy()), table = ir::sizesOf(grad.getResult()); // (heads, Nq, Nk), (buckets, heads)
  std::string heads = k.size(sizes[0]), queries = k.size(sizes[1]), keys = k.size(sizes[2]);
  Size diagonals = sizes[1] + sizes[2]; // the last is empty
  std::string work = k.addWorkspace(sum, sizes[0] * diagonals), count = k.size(diagonals);
  Lines lines;
  lines.line("const long long index = blockIdx.x * {}ll + threadIdx.x;", kThreads);
  lines.line("if (index >= {})", k.size(sizes[0] * diagonals));
  lines.line("  return;");
  lines.line("const long long head = index / {0}, diagonal = index % {0}; // key = query + diagonal + 1 - {1}", count, queries);
  lines.line("const long long first = {0} - 1 - diagonal > 0 ? {0} - 1 - diagonal : 0, last = {1} + {0} - 1 - diagonal;", queries, keys);
  lines.line("const long long end = last < {0} ? last : {0};", queries);
  lines.line("{} sum = 0;", sumName());
  lines.line("for (long long query = first; query < end; ++query)");
  lines.line("  sum += {};", loadText(type, pointer(0), fmt::format("(head * {0} + query) * {1} + query + diagonal + 1 - {0}", queries, keys)));
  lines.line("{}[index] = sum;", work);
  k.stage({.name = "diagonals",
           .summary = "A thread sums up one diagonal of a head.",
           .blocks = Size::ceilDiv(sizes[0] * diagonals, kThreads),
           .threads = kThreads,
           .operations = ir::product(sizes),
           .body = lines.str()});

  k.use("rows.cuh");
  auto [first, end] = rangesOf(RelativeBuckets::of(grad));
  k.declare(fmt::format("__constant__ const long long firstOfBucket[{0}] = {{{1}}};\n__constant__ const long long endOfBucket[{0}] = {{{2}}};", first.size(),
                        fmt::join(first, ", "), fmt::join(end, ", ")));
  Lines buckets;
  buckets.line("const int bucket = (int)(blockIdx.x / {0}), head = (int)(blockIdx.x % {0}), lane = (int)threadIdx.x;", heads);
  buckets.line("const long long from = firstOfBucket[bucket] + {0} - 1, to = endOfBucket[bucket] + {0} - 1; // diagonal = key - query + {0} - 1", keys);
  buckets.line("const long long begin = from > 0 ? from : 0, end = to < {0} ? to : {0};", count);
  buckets.line("{} part = 0;", sumName());
  buckets.line("for (long long diagonal = begin + lane; diagonal < end; diagonal += 32)");
  buckets.line("  part += {}[head * {} + diagonal];", work, count);
  buckets.line("const {} sum = Group<32>::fold(part, Sum());", sumName());
  buckets.line("if (lane != 0)");
  buckets.line("  return;");
  if (failed(store(buckets, {"bucket", "head"}, "sum")))
    return mlir::failure();
  k.stage({.name = "buckets",
           .summary = "A warp sums up the diagonals of one bucket of a head.",
           .blocks = ir::product(table),
           .threads = 32,
           .operations = sizes[0] * diagonals + operations,
           .body = buckets.str()});
  return mlir::success();
}

} // namespace

mlir::DictionaryAttr scheduleSums(ir::KernelOp kernel, const CudaTarget&) {
  auto op = sumsOf(kernel);
  if (failed(op))
    return {};
  if (!mlir::isa<ir::EmbeddingGradOp>(*op))
    return toAttr(kernel.getContext(), {});
  int64_t width = ir::sizesOf((*op)->getResult(0))[1].constant().value_or(128);
  int64_t threads = std::clamp<int64_t>(static_cast<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(width))), 32, 128);
  return toAttr(kernel.getContext(), {{"threads", threads}, {"entries", 16}});
}

mlir::LogicalResult buildSums(KernelText& k, ir::KernelOp kernel) {
  auto op = sumsOf(kernel);
  if (failed(op))
    return mlir::failure();
  mlir::Value result = (*op)->getResult(0);
  DType type = codegen::dtypeOf(result);
  llvm::SmallVector<mlir::Value> sinks(yieldOf(kernel)->getOperands());
  SumsKernel sums{k, *op, type, sumType(type), epilogueOperations(result, sinks)};
  return llvm::TypeSwitch<mlir::Operation*, mlir::LogicalResult>(*op)
      .Case([&](ir::EmbeddingGradOp grad) { return sums.embedding(grad); })
      .Case([&](ir::ExpertSumsOp grad) { return sums.experts(grad); })
      .Case([&](ir::RelativeBiasGradOp grad) { return sums.distances(grad); })
      .Default([](mlir::Operation*) { return mlir::failure(); });
}

} // namespace moec::codegen::cuda
