#include "codegen/cuda/FamilyText.h"

#include "llvm/Support/MathExtras.h"

#include <fmt/ranges.h>

namespace moec::codegen::cuda {

const char* tableSpace(int64_t numbers) { return numbers * 8 <= 20 << 10 ? "__constant__" : "__device__"; }

mlir::FailureOr<FamilyText> FamilyText::of(KernelText& k) {
  ir::KernelOp kernel = k.kernel();
  auto parts = TensorFamilies::of(kernel);
  if (mlir::failed(parts))
    return mlir::failure();
  for (const TensorFamily& family : parts->families)
    for (mlir::Operation* op : family.ops)
      if (auto constant = mlir::dyn_cast<ir::ConstantOp>(op); constant && !mlir::cast<mlir::DenseElementsAttr>(constant.getValue()).isSplat())
        return kernel.emitError() << "internal: a kernel of kind \"" << kernel.getKind() << "\" holds a constant of many numbers";
  return FamilyText(k, std::move(*parts));
}

bool FamilyText::needsPointers() const {
  return llvm::any_of(parts_.families, [](const TensorFamily& family) { return family.members.size() > 1; });
}

void FamilyText::addWorkspaces() {
  ir::KernelOp kernel = k_.kernel();
  if (needsPointers())
    pointers_ = k_.addWorkspace(DType::I64, Size(kernel.getNumOperands() + kernel.getNumResults()));
  for (mlir::Value number : parts_.read)
    if (TensorFamilies::isComputed(number) && !numbers_.contains(dtypeOf(number)))
      numbers_[dtypeOf(number)] = k_.addWorkspace(dtypeOf(number), Size(static_cast<int64_t>(parts_.read.size())));
}

void FamilyText::printPointers(Lines& lines) {
  ir::KernelOp kernel = k_.kernel();
  for (unsigned i = 0; i < kernel.getNumOperands(); ++i)
    lines.line("{}[{}] = (long long){};", pointers_, i, k_.input(i));
  for (unsigned i = 0; i < kernel.getNumResults(); ++i)
    lines.line("{}[{}] = (long long){};", pointers_, kernel.getNumOperands() + i, k_.output(i));
}

//===--- numbers ---===//

std::string FamilyText::numberPlace(mlir::Value number) const { return std::to_string(std::distance(parts_.read.begin(), llvm::find(parts_.read, number))); }

void FamilyText::printNumbers(Lines& lines, llvm::function_ref<std::string(ir::ReduceOp)> total) {
  ElementText texts(k_, lines);
  auto origin = [](mlir::Value value) { return Coordinates(ir::sizesOf(value).size(), "0"); };
  // All that is read, before anything is written: a result may lie in an argument's memory.
  for (mlir::Operation* op : parts_.numbers) {
    if (mlir::isa<ir::ConstantOp>(op))
      continue;
    for (mlir::Value operand : op->getOperands())
      if (mlir::Value equal = parts_.numberOf(operand); equal && equal != operand)
        texts.bind(operand, [&texts, equal, origin](const Coordinates&) { return texts.element(equal, origin(equal)); });
    mlir::Value result = op->getResult(0);
    auto reduce = mlir::dyn_cast<ir::ReduceOp>(op);
    std::string name = !reduce                   ? texts.element(result, origin(result))
                       : isNumber(reduce.getX()) ? texts.element(parts_.numberOf(reduce.getX()), origin(parts_.numberOf(reduce.getX())))
                                                 : total(reduce);
    texts.bind(result, [name](const Coordinates&) { return name; });
  }
  std::vector<std::pair<unsigned, std::string>> results;
  for (auto [output, number] : parts_.results)
    results.emplace_back(output, texts.element(number, origin(number)));
  for (mlir::Value number : parts_.read)
    if (TensorFamilies::isComputed(number))
      lines.add(storeText(dtypeOf(number), numbers_.at(dtypeOf(number)), numberPlace(number), texts.element(number, origin(number))));
  for (const auto& [output, value] : results)
    lines.add(storeText(dtypeOf(yieldOf(k_.kernel())->getOperand(output)), k_.output(output), "0", value));
}

//===--- pieces ---===//

Size FamilyText::operations() const { return parts_.operations(elementCost); }

/// `first` and `end` of the piece; gives the names of the family's arguments and, in `outputs`, of its results. A table has one row for each member: its first
/// piece, its elements, the places of its buffers among the launch's; behind them rows that no piece reaches, to a power of two.
std::vector<std::string> FamilyText::printPlace(Lines& lines, const TensorFamily& family, int64_t firstPiece, int64_t elements,
                                                std::vector<std::string>& outputs) {
  ir::KernelOp kernel = k_.kernel();
  bool isUpdate = parts_.totals.empty();
  std::vector<std::string> inputs;
  std::string piece = firstPiece ? fmt::format("(blockIdx.x - {})", firstPiece) : "blockIdx.x";
  if (family.members.size() == 1) {
    const TensorFamily::Member& member = family.members.front();
    for (unsigned input : member.inputs)
      inputs.push_back(k_.input(input));
    for (size_t i = 0; isUpdate && i < member.sinks.size(); ++i)
      outputs.push_back(k_.output(member.sinks[i]));
    lines.line("const long long first = {} * {}ll, end = first + {} < {} ? first + {} : {};", piece, elements, elements, member.elements, elements,
               member.elements);
    return inputs;
  }
  std::vector<std::string> rows;
  int64_t first = 0, count = static_cast<int64_t>(llvm::PowerOf2Ceil(family.members.size()));
  size_t width = 2 + family.arguments.size() + (isUpdate ? family.values.size() : 0);
  for (const TensorFamily::Member& member : family.members) {
    std::vector<std::string> row{fmt::format("{}ll", first), fmt::format("{}ll", member.elements)};
    for (unsigned input : member.inputs)
      row.push_back(std::to_string(input));
    for (size_t i = 0; isUpdate && i < member.sinks.size(); ++i)
      row.push_back(std::to_string(kernel.getNumOperands() + member.sinks[i]));
    rows.push_back(fmt::format("{{{}}}", fmt::join(row, ", ")));
    first += (member.elements + elements - 1) / elements;
  }
  while (static_cast<int64_t>(rows.size()) < count)
    rows.push_back("{0x7fffffffffffffffll}");
  std::string table = fmt::format("members{}", k_.freshTable());
  k_.declare(fmt::format("// first piece, elements, places of the buffers\n{} const long long {}[{}][{}] = {{\n  {}}};",
                         tableSpace(count * static_cast<int64_t>(width)), table, count, width, fmt::join(rows, ",\n  ")));
  lines.line("const long long piece = {};", piece);
  lines.line("int member = 0;");
  lines.line("for (int step = {}; step > 0; step /= 2)", count / 2);
  lines.line("  if ({}[member + step][0] <= piece)", table);
  lines.line("    member += step;");
  lines.line("const long long first = (piece - {0}[member][0]) * {1}, last = first + {1}, end = last < {0}[member][1] ? last : {0}[member][1];", table,
             elements);
  for (auto [i, argument] : llvm::enumerate(family.arguments)) {
    inputs.push_back(fmt::format("from{}", i));
    lines.line("const {0}* {1} = (const {0}*){2}[{3}[member][{4}]];", memoryType(dtypeOf(argument)), inputs.back(), pointers_, table, 2 + i);
  }
  for (size_t i = 0; isUpdate && i < family.values.size(); ++i) {
    outputs.push_back(fmt::format("to{}", i));
    lines.line("{0}* {1} = ({0}*){2}[{3}[member][{4}]];", memoryType(dtypeOf(family.values[i])), outputs.back(), pointers_, table,
               2 + family.arguments.size() + i);
  }
  return inputs;
}

std::vector<std::string> FamilyText::printValues(Lines& lines, const TensorFamily& family, const std::vector<std::string>& inputs) {
  ElementText texts(k_, lines);
  auto at = [](mlir::Value value) { return Coordinates(ir::sizesOf(value).size(), "element"); };
  for (auto [argument, pointer] : llvm::zip(family.arguments, inputs))
    texts.bind(argument, [&texts, &lines, argument, pointer](const Coordinates&) {
      DType type = dtypeOf(argument);
      std::string name = texts.fresh("old");
      lines.line("const {} {} = {};", registerType(type), name, loadText(type, pointer, "element"));
      return name;
    });
  llvm::DenseSet<mlir::Value> bound;
  for (mlir::Operation* op : family.ops)
    for (mlir::Value operand : op->getOperands()) {
      if (isNumber(operand)) {
        mlir::Value number = parts_.numberOf(operand);
        if (mlir::isa_and_nonnull<ir::ConstantOp>(number.getDefiningOp()) || !bound.insert(operand).second)
          continue;
        std::string text = TensorFamilies::isComputed(number)
                               ? loadText(dtypeOf(number), numbers_.at(dtypeOf(number)), numberPlace(number))
                               : loadText(dtypeOf(number), k_.input(mlir::cast<mlir::BlockArgument>(number).getArgNumber()), "0");
        texts.bind(operand, [text](const Coordinates&) { return text; });
      } else if (mlir::Value whole = unshaped(operand); whole != operand && bound.insert(operand).second) {
        texts.bind(operand, [&texts, whole, at](const Coordinates&) { return texts.element(whole, broadcastPlace(ir::sizesOf(whole), at(whole))); });
      }
    }
  std::vector<std::string> values;
  for (mlir::Value value : family.values)
    values.push_back(texts.element(value, broadcastPlace(ir::sizesOf(value), at(value))));
  return values;
}

void FamilyText::printPieces(Lines& lines, const Piece& piece) {
  int64_t elements = piece.threads * piece.each, first = 0, all = parts_.pieces(elements);
  for (const TensorFamily& family : parts_.families) {
    int64_t count = 0;
    for (const TensorFamily::Member& member : family.members)
      count += (member.elements + elements - 1) / elements;
    if (count == 0)
      continue;
    if (count < all)
      lines.open("if (blockIdx.x >= {} && blockIdx.x < {})", first, first + count);
    std::vector<std::string> outputs, inputs = printPlace(lines, family, first, elements, outputs);
    if (piece.before)
      piece.before(lines, family);
    lines.add("#pragma unroll 1");
    lines.open("for (long long element = first + threadIdx.x; element < end; element += {})", piece.threads);
    std::vector<std::string> values = printValues(lines, family, inputs);
    piece.use(lines, family, outputs, values);
    lines.close();
    if (piece.behind)
      piece.behind(lines, family);
    if (count < all)
      lines.close();
    first += count;
  }
}

} // namespace moec::codegen::cuda
