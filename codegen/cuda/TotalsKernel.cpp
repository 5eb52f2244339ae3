// totals: sums of many tensors, each over all its elements, and what is made of them.
//   pointers  one thread: the launch's pointers as a table
//   pieces    a block sums up a piece of one tensor, its threads in a fixed tree: partials (pieces, values)
//   totals    a block sums up the pieces of one tensor
//   numbers   one thread: the sums rounded to their types, and the ops behind
// Sums of floats are of doubles, as everywhere.
#include "codegen/cuda/FamilyText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Schedule.h"

#include <fmt/ranges.h>

namespace moec::codegen::cuda {

namespace {

constexpr int kThreadsOfBlock = 256;

struct TotalsText {
  KernelText& k;
  FamilyText& text;
  int64_t elements;  // of a piece
  int64_t width = 1; // values of a piece
  std::string partials = {}, totals = {};

  void pointers() {
    Lines lines;
    lines.line("if (threadIdx.x != 0)");
    lines.line("  return;");
    text.printPointers(lines);
    k.stage({.name = "pointers", .summary = "A thread writes down where the tensors lie.", .blocks = 1, .threads = 32, .operations = 1, .body = lines.str()});
  }

  void pieces() {
    Lines lines;
    FamilyText::Piece piece{.threads = kThreadsOfBlock, .each = elements / kThreadsOfBlock};
    piece.before = [](Lines& out, const TensorFamily& family) {
      for (size_t i = 0; i < family.values.size(); ++i)
        out.line("double sum{} = 0;", i);
    };
    piece.use = [](Lines& out, const TensorFamily& family, const std::vector<std::string>&, const std::vector<std::string>& values) {
      for (size_t i = 0; i < values.size(); ++i)
        out.line("sum{} += (double){};", i, values[i]);
    };
    piece.behind = [this](Lines& out, const TensorFamily& family) {
      for (size_t i = 0; i < family.values.size(); ++i) {
        out.line("sum{0} = Group<{1}>::fold(sum{0}, Sum());", i, kThreadsOfBlock);
        out.line("if (threadIdx.x == 0)");
        out.line("  {}[blockIdx.x * {}ll + {}] = sum{};", partials, width, i, i);
      }
    };
    text.printPieces(lines, piece);
    k.stage({.name = "pieces",
             .summary = fmt::format("A block sums up {} elements of one tensor.", elements),
             .blocks = Size(text.parts().pieces(elements)),
             .threads = kThreadsOfBlock,
             .operations = text.operations(),
             .body = lines.str()});
  }

  void join() {
    std::vector<std::string> rows(text.parts().totals.size(), "{0ll, 0ll}"); // of nothing
    text.parts().eachMember(elements, [&](const TensorFamily&, const TensorFamily::Member& member, int64_t first, int64_t count) {
      for (auto [value, total] : llvm::enumerate(member.sinks))
        rows[total] = fmt::format("{{{}ll, {}ll}}", first * width + static_cast<int64_t>(value), (first + count) * width);
    });
    std::string table = fmt::format("pieces{}", k.freshTable());
    k.declare(fmt::format("// of each sum: its first partial sum, and the end\n{} const long long {}[{}][2] = {{\n  {}}};",
                          tableSpace(2 * static_cast<int64_t>(rows.size())), table, rows.size(), fmt::join(rows, ",\n  ")));
    Lines lines;
    lines.line("double sum = 0;");
    lines.line("for (long long i = {0}[blockIdx.x][0] + threadIdx.x * {1}ll; i < {0}[blockIdx.x][1]; i += {2})", table, width, width * kThreadsOfBlock);
    lines.line("  sum += {}[i];", partials);
    lines.line("sum = Group<{}>::fold(sum, Sum());", kThreadsOfBlock);
    lines.line("if (threadIdx.x == 0)");
    lines.line("  {}[blockIdx.x] = sum;", totals);
    k.stage({.name = "totals",
             .summary = "A block sums up the pieces of one tensor.",
             .blocks = Size(static_cast<int64_t>(rows.size())),
             .threads = kThreadsOfBlock,
             .operations = Size(text.parts().pieces(elements) * width),
             .body = lines.str()});
  }

  void numbers() {
    Lines lines;
    lines.line("if (threadIdx.x != 0)");
    lines.line("  return;");
    text.printNumbers(lines, [&](ir::ReduceOp reduce) {
      auto place = std::distance(text.parts().totals.begin(), llvm::find(text.parts().totals, reduce));
      std::string total = fmt::format("{}[{}]", totals, place);
      if (reduce.getKind() == ir::ReduceKind::Mean)
        total += fmt::format(" / {}.0", *ir::product(ir::sizesOf(reduce.getX())).constant());
      DType type = dtypeOf(reduce.getResult());
      lines.line("const {} total{} = {};", registerType(type), place,
                 type == DType::BF16 ? fmt::format("toFloat(toBfloat16((float)({})))", total) : fmt::format("({})({})", registerType(type), total));
      return fmt::format("total{}", place);
    });
    k.stage({.name = "numbers",
             .summary = "A thread computes what is made of the sums.",
             .blocks = 1,
             .threads = 32,
             .operations = Size(static_cast<int64_t>(8 * text.parts().numbers.size())),
             .body = lines.str()});
  }
};

} // namespace

mlir::DictionaryAttr scheduleTotals(ir::KernelOp kernel, const CudaTarget&) { return toAttr(kernel.getContext(), {{"elements", 16}}); }

mlir::LogicalResult buildTotals(KernelText& k, ir::KernelOp kernel) {
  auto each = fieldOf(kernel, "elements", 1, 1024);
  auto text = FamilyText::of(k);
  if (mlir::failed(each) || mlir::failed(text))
    return mlir::failure();
  if (text->parts().totals.empty())
    return kernel.emitError() << "internal: a kernel of totals without a sum";
  k.use("rows.cuh");
  text->addWorkspaces();
  TotalsText stages{k, *text, *each * kThreadsOfBlock};
  for (const TensorFamily& family : text->parts().families)
    stages.width = std::max<int64_t>(stages.width, static_cast<int64_t>(family.values.size()));
  stages.partials = k.addWorkspace(DType::F64, Size(text->parts().pieces(stages.elements) * stages.width));
  stages.totals = k.addWorkspace(DType::F64, Size(static_cast<int64_t>(text->parts().totals.size())));
  if (text->needsPointers())
    stages.pointers();
  stages.pieces();
  stages.join();
  stages.numbers();
  return mlir::success();
}

} // namespace moec::codegen::cuda
