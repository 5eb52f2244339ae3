#include "codegen/cuda/AttentionText.h"

#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/ProductSchedule.h"

namespace moec::codegen::cuda {

int64_t headCopyBytes(DType dtype, int64_t headDim, llvm::ArrayRef<Slice> slices) {
  int64_t bytes = copyBytes(dtype, headDim);
  for (const Slice& slice : slices)
    bytes = std::min({bytes, copyBytes(dtype, slice.start), copyBytes(dtype, slice.width)});
  return bytes;
}

void printHead(KernelText& k, Lines& lines, const char* name, DType dtype, int64_t headDim, const Slice& slice, const Size& rows, const char* head) {
  std::string start = slice.start == Size(0) ? "" : " + " + k.size(slice.start);
  lines.line("const {}* {} = {} + batch * {}{} + {} * {};", memoryType(dtype), name, k.input(slice.input), k.size(rows * slice.width), start, head, headDim);
}

std::string rowHole(KernelText& k, const char* matrix, const char* index, const std::string& inside, DType dtype, const Size& width) {
  std::string row = fmt::format("{} + ({}) * (long long){}", matrix, index, k.size(width));
  return fmt::format("const {}* {{ return {}; }}", memoryType(dtype), inside.empty() ? row : fmt::format("{} ? {} : nullptr", inside, row));
}

std::string dropoutHole(KernelText& k, const AttentionPlan& plan, const char* parameters, const std::string& query, const std::string& key,
                        const std::string& inside) {
  if (!plan.dropout)
    return "NoDropout()";
  const AttentionDropout& dropout = *plan.dropout;
  DType dtype = sumType(plan.dtype);
  std::string index = fmt::format("(rows + {}) * (long long){} + {}", query, k.size(plan.keys), key), draw;
  if (dropout.random) {
    k.use("random.cuh");
    draw = fmt::format("uniform{}(seed, step, {}, (unsigned long long)({}))", dtype == DType::F64 ? "F64" : "F32", k.stream(dropout.random), index);
  } else {
    draw = loadText(dtype, k.input(dropout.input), index);
  }
  std::string there = dropout.random || inside.empty() ? "" : inside + " && ", stays = fmt::format("{}{} >= {}", there, draw, literal(dtype, dropout.p));
  return fmt::format("[&]({}) -> {} {{ return {} ? {} : {}; }}", parameters, registerType(dtype), stays, literal(dtype, 1 / (1 - dropout.p)),
                     literal(dtype, 0));
}

} // namespace moec::codegen::cuda
