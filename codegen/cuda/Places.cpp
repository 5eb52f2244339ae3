// places: a block orders the rows of one expert and group, with choice_major of one choice among them (skeletons/places.cuh).
#include "codegen/analysis/Operands.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

mlir::LogicalResult buildPlaces(KernelText& k, ir::KernelOp kernel) {
  auto op = onlyOp<ir::PlacesOp>(kernel);
  auto threads = fieldOf(kernel, "threads", 32, 1024);
  if (failed(op) || failed(threads))
    return mlir::failure();
  if (*threads % 32 != 0)
    return kernel.emitOpError("has an illegal schedule: threads ") << *threads << " must be whole warps";
  auto indices = inputOf(kernel, op->getIndices(), "the indices"), scores = inputOf(kernel, op->getScores(), "the scores");
  if (failed(indices) || failed(scores))
    return mlir::failure();
  std::string keep;
  if (op->getKeep()) {
    auto input = inputOf(kernel, op->getKeep(), "the mask");
    if (failed(input))
      return mlir::failure();
    keep = k.input(*input);
  }
  DType type = dtypeOf(op->getScores());
  Size tokens = ir::sizesOf(op->getIndices())[0], groups = op->getGroups() ? Size::parse(op->getGroups()->str()) : Size(1);
  int64_t choices = *ir::sizesOf(op->getIndices())[1].constant(), experts = static_cast<int64_t>(op->getExperts());
  int64_t ofExpert = op->getPriority() == ir::Priority::ChoiceMajor ? choices : 1, segments = experts * ofExpert;
  Size rows = tokens * Size(choices);
  k.use("places.cuh");
  bool isWide = type == DType::F64;
  std::string list = k.addWorkspace(DType::I32, rows * Size(2)), keys = k.addWorkspace(isWide ? DType::I64 : DType::I32, rows * Size(2));
  Lines lines;
  lines.line("const int group = (int)blockIdx.x / {0}, segment = (int)blockIdx.x % {0};", segments);
  std::string all = k.size(tokens);
  if (groups == Size(1)) {
    lines.line("const int first = 0, end = (int){};", all);
  } else {
    std::string count = k.size(groups);
    lines.line("const int tokens = (int){}, run = tokens / (int){} > 0 ? tokens / (int){} : 1; // inside, be the groups equal or not", all, count, count);
    lines.line("const int first = group * run < tokens ? group * run : tokens;");
    lines.line("const int end = group + 1 == (int){} || first + run > tokens ? tokens : first + run;", count);
  }
  std::string expert = fmt::format("{}[row]", k.input(*indices)), entering = keep.empty() ? "" : keep + "[row] != 0 && ";
  std::string own = ofExpert == 1 ? expert : fmt::format("{0} * {1} + row % {1}", expert, ofExpert);
  lines.line("const auto segmentOf = [&](int row) {{ return {}(unsigned){} < {}u ? {} : -1; }};", entering, expert, experts, own);
  lines.line("const auto keyOf = [&](int row) {{ return selectKey({}); }};", loadText(type, k.input(*scores), "row"));
  lines.line("placeSegment<{0}, {1}>(first * {2}, end * {2}, segment, SegmentLists<{3}>{{{4}, {5}, {6}}}, {7}, segmentOf, keyOf);", *threads, ofExpert, choices,
             isWide ? "long long" : "int", list, keys, k.size(rows), k.output(0));
  k.stage({.name = "places",
           .summary = fmt::format("A block orders the rows of one of {} segments of a group.", segments),
           .blocks = groups * Size(segments),
           .threads = static_cast<int>(*threads),
           .residentBlocks = static_cast<int>(1024 / *threads),
           .operations = rows * Size(64),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr schedulePlaces(ir::KernelOp kernel, const CudaTarget&) { return toAttr(kernel.getContext(), {{"threads", 256}}); }

} // namespace moec::codegen::cuda
