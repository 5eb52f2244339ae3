// update: the tensors of one step, each changed element by element; a block does a piece of one of them.
//   numbers   one thread: the numbers that all read, and the launch's pointers as a table
//   update    a result may lie in the memory of an argument of the same tensor: a thread reads all that it needs of an element before it writes there, and no
//             other thread looks at it
#include "codegen/cuda/FamilyText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

mlir::DictionaryAttr scheduleUpdate(ir::KernelOp kernel, const CudaTarget&) { return toAttr(kernel.getContext(), {{"threads", 256}, {"elements", 4}}); }

mlir::LogicalResult buildUpdate(KernelText& k, ir::KernelOp kernel) {
  auto threads = fieldOf(kernel, "threads", 32, 1024), each = fieldOf(kernel, "elements", 1, 64);
  if (mlir::failed(threads) || mlir::failed(each))
    return mlir::failure();
  auto text = FamilyText::of(k);
  if (mlir::failed(text))
    return mlir::failure();
  k.allowInPlace();
  text->addWorkspaces();
  if (text->needsPointers() || text->parts().needsNumbers()) {
    Lines lines;
    lines.line("if (threadIdx.x != 0)");
    lines.line("  return;");
    if (text->needsPointers())
      text->printPointers(lines);
    if (text->parts().needsNumbers())
      text->printNumbers(lines);
    k.stage({.name = "numbers",
             .summary = "A thread computes what all elements share.",
             .blocks = 1,
             .threads = 32,
             .operations = Size(static_cast<int64_t>(8 * text->parts().numbers.size())),
             .body = lines.str()});
  }
  int64_t pieces = text->parts().pieces(*threads * *each);
  if (pieces == 0)
    return mlir::success();
  Lines lines;
  FamilyText::Piece piece{.threads = *threads, .each = *each};
  piece.use = [](Lines& out, const TensorFamily& family, const std::vector<std::string>& pointers, const std::vector<std::string>& values) {
    for (auto [i, value] : llvm::enumerate(family.values))
      out.add(storeText(dtypeOf(value), pointers[i], "element", values[i]));
  };
  text->printPieces(lines, piece);
  k.stage({.name = "update",
           .summary = fmt::format("A block updates {} elements of one tensor.", *each * *threads),
           .blocks = Size(pieces),
           .threads = static_cast<int>(*threads),
           .operations = text->operations(),
           .body = lines.str()});
  return mlir::success();
}

} // namespace moec::codegen::cuda
