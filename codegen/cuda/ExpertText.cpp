#include "codegen/cuda/ExpertText.h"

namespace moec::codegen::cuda {

mlir::LogicalResult printTileSums(KernelText& k, Lines& lines, mlir::Value product, int64_t tileN, std::optional<int64_t> placeChoices, PrintRow printRow) {
  lines.add("#pragma unroll");
  lines.open("for (int m = 0; m < Tile::rows; ++m)");
  lines.line("if (Tile::rowOf(m) >= count) continue;");
  lines.line("const int row = first + Tile::rowOf(m);");
  if (placeChoices)
    lines.line("const int place = rows[row]; // token * {} + choice", *placeChoices);
  lines.add("#pragma unroll");
  lines.open("for (int n = 0; n < Tile::columns; ++n)");
  lines.line("const int column = column0 + Tile::columnOf(n);");
  if (std::string inside = guard(k, "column", ir::sizesOf(product).back(), tileN); !inside.empty())
    lines.line("if (!({})) continue;", inside);
  if (failed(printRow(lines, {product, {"row", "column"}, "sums[m][n]", "expert"})))
    return mlir::failure();
  lines.close();
  lines.close();
  return mlir::success();
}

void printCombine(KernelText& k, Lines& lines, DType dtype, int64_t choices, const Size& width, std::string_view slots, std::string_view rows, bool bySlot) {
  lines.line("const int* slots = {} + token * {};", slots, choices);
  if (bySlot)
    lines.line("const {0}* rows = {1} + column;", memoryType(dtype), rows);
  else
    lines.line("const {0}* rows = {1} + token * {2} + column;", memoryType(dtype), rows, k.size(Size(choices) * width));
  lines.line("{} sum = 0;", memoryType(dtype));
  if (choices <= 8)
    lines.add("#pragma unroll");
  lines.open("for (int choice = 0; choice < {}; ++choice)", choices);
  lines.line("if (slots[choice] >= 0)");
  lines.line("  sum += rows[(long long){} * {}];", bySlot ? "slots[choice]" : "choice", k.size(width));
  lines.close();
}

} // namespace moec::codegen::cuda
