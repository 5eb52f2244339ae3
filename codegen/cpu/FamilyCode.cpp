#include "codegen/cpu/FamilyCode.h"

#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Schedule.h"

#include "llvm/Support/MathExtras.h"

namespace moec::codegen::cpu {

namespace {

// These kernels stream through memory: large pieces keep the prefetchers busy.
constexpr int64_t kPieceBytes = 4 * kItemBytes;
constexpr int64_t kLine = 64; // elements: a piece begins on a cache line
constexpr int64_t kSlot = 8;  // bytes of a number between two stages

} // namespace

int64_t blockOf(const TensorFamilies& parts) {
  int64_t bytes = 1;
  for (const TensorFamily& family : parts.families)
    bytes = std::max(bytes, family.bytesOfElement);
  return std::max<int64_t>(kPieceBytes / bytes / kLine, 1) * kLine;
}

void FamilyCode::addWorkspaces() {
  if (parts_.needsNumbers())
    numbers_ = k_.addWorkspace(Size(std::max<int64_t>(kSlot * static_cast<int64_t>(parts_.read.size()), kSlot)));
}

Value FamilyCode::numberAt(unsigned place) { return k_.at(k_.workspace(numbers_), k_.index(place * kSlot), k_.i8()); }

//===--- numbers ---===//

void FamilyCode::writeNumbers(llvm::function_ref<Value(ir::ReduceOp)> total) {
  k_.stage(Size(1), Size(static_cast<int64_t>(8 * parts_.numbers.size())), [&](Value) {
    Known known;
    // All that is read, before anything is written: a result may lie in an argument's memory.
    for (mlir::BlockArgument argument : k_.kernel().getBody().front().getArguments())
      if (isNumber(argument))
        known[argument] = loadNumber(argument);
    for (mlir::Operation* op : parts_.numbers) {
      mlir::Value result = op->getResult(0);
      if (mlir::isa<ir::ConstantOp>(op)) {
        known[result] = loadNumber(result);
        continue;
      }
      if (auto reduce = mlir::dyn_cast<ir::ReduceOp>(op)) {
        bool isOne = isNumber(reduce.getX());
        known[result] = isOne ? known[parts_.numberOf(reduce.getX())] : total(reduce);
        continue;
      }
      Values operands;
      for (mlir::Value operand : op->getOperands())
        operands.push_back(known[parts_.numberOf(operand)]);
      known[result] = elementwise(k_, op, operands);
    }
    for (auto [place, number] : llvm::enumerate(parts_.read))
      if (TensorFamilies::isComputed(number))
        k_.storeElements(dtypeOf(number), known[number], numberAt(static_cast<unsigned>(place)));
    for (auto [output, number] : parts_.results)
      k_.storeElements(dtypeOf(number), known[number], k_.output(output));
  });
}

/// An argument, a constant, or what the first stage has left.
Value FamilyCode::loadNumber(mlir::Value number) {
  DType dtype = dtypeOf(number);
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(number))
    return k_.loadElements(dtype, k_.input(argument.getArgNumber()), 1);
  if (TensorFamilies::isComputed(number))
    return k_.loadElements(dtype, numberAt(static_cast<unsigned>(std::distance(parts_.read.begin(), llvm::find(parts_.read, number)))), 1);
  auto constant = mlir::cast<mlir::DenseElementsAttr>(number.getDefiningOp<ir::ConstantOp>().getValue());
  return k_.loadElements(dtype, k_.constantData(constant), 1);
}

//===--- pieces ---===//

Size FamilyCode::operations() const { return parts_.operations(elementCost); }

void FamilyCode::writePiece(Value item, int64_t block, llvm::function_ref<void(const TensorFamily&, const Piece&)> write) {
  int64_t first = 0, all = parts_.pieces(block);
  for (const TensorFamily& family : parts_.families) {
    int64_t count = 0;
    for (const TensorFamily::Member& member : family.members)
      count += (member.elements + block - 1) / block;
    if (count == all)
      return write(family, pieceOf(family, item, 0, block));
    Value isIts = k_.bitAnd(k_.compare(ir::Predicate::GE, item, k_.index(first)), k_.compare(ir::Predicate::LT, item, k_.index(first + count)));
    if (count > 0)
      k_.when(isIts, [&] { write(family, pieceOf(family, item, first, block)); });
    first += count;
  }
}

/// One row for each member: its first piece, its elements, the places of its buffers among the launch's. Behind them rows that no piece reaches, to a power
/// of two: the search needs no bounds.
FamilyCode::Piece FamilyCode::pieceOf(const TensorFamily& family, Value item, int64_t firstPiece, int64_t block) {
  bool isUpdate = parts_.totals.empty();
  size_t outputs = isUpdate ? family.values.size() : 0;
  Piece piece{item, {}, {}, {}, {}};
  Value own = firstPiece ? k_.sub(item, firstPiece) : item; // among the family's
  Value firstOfMember = k_.index(0), elements;
  if (family.members.size() == 1) {
    const TensorFamily::Member& member = family.members.front();
    elements = k_.index(member.elements);
    for (unsigned input : member.inputs)
      piece.inputs.push_back(k_.input(input));
    for (size_t i = 0; i < outputs; ++i)
      piece.outputs.push_back(k_.output(member.sinks[i]));
  } else {
    std::vector<int64_t> table;
    int64_t first = 0, rows = static_cast<int64_t>(llvm::PowerOf2Ceil(family.members.size()));
    for (const TensorFamily::Member& member : family.members) {
      table.insert(table.end(), {first, member.elements});
      for (unsigned input : member.inputs)
        table.push_back(input);
      for (size_t i = 0; i < outputs; ++i)
        table.push_back(k_.inputCount() + member.sinks[i]);
      first += (member.elements + block - 1) / block;
    }
    int64_t width = static_cast<int64_t>(2 + family.arguments.size() + outputs);
    table.resize(static_cast<size_t>(rows * width), std::numeric_limits<int64_t>::max());
    mlir::MLIRContext* context = k_.kernel().getContext();
    auto type = mlir::RankedTensorType::get({rows * width}, mlir::IntegerType::get(context, 64));
    Value data = k_.constantData(mlir::DenseElementsAttr::get(type, llvm::ArrayRef<int64_t>(table)));
    Value row = k_.index(0);
    auto field = [&](Value ofRow, int64_t i) { return k_.load(k_.i64(), k_.at(data, k_.add(k_.mul(ofRow, width), i), k_.i64())); };
    for (int64_t step = rows / 2; step > 0; step /= 2) {
      Value next = k_.add(row, step);
      row = k_.choose(k_.compare(ir::Predicate::LE, field(next, 0), own), next, row);
    }
    firstOfMember = field(row, 0);
    elements = field(row, 1);
    for (size_t i = 0; i < family.arguments.size(); ++i)
      piece.inputs.push_back(k_.buffer(field(row, static_cast<int64_t>(2 + i))));
    for (size_t i = 0; i < outputs; ++i)
      piece.outputs.push_back(k_.buffer(field(row, static_cast<int64_t>(2 + family.arguments.size() + i))));
  }
  piece.first = k_.mul(k_.sub(own, firstOfMember), block);
  piece.count = k_.min(k_.index(block), k_.sub(elements, piece.first));
  return piece;
}

//===--- elements ---===//

int64_t FamilyCode::lanesOf(const TensorFamily& family) const { return k_.target().vectorBytes / std::max<int64_t>(family.widest, 4); }

/// Of an argument or a constant.
Value FamilyCode::loadTensor(mlir::Value value, Value pointer, Value place, int64_t lanes, Value mask) {
  DType dtype = dtypeOf(value);
  if (pointer)
    return k_.loadElements(dtype, k_.at(pointer, place, dtype), lanes, mask);
  auto constant = mlir::cast<mlir::DenseElementsAttr>(value.getDefiningOp<ir::ConstantOp>().getValue());
  if (constant.isSplat())
    return k_.broadcast(k_.loadElements(dtype, k_.constantData(constant.resizeSplat(constant.getType().clone(llvm::ArrayRef<int64_t>{1}))), 1), lanes);
  return k_.loadElements(dtype, k_.at(k_.constantData(constant), place, dtype), lanes, mask);
}

void FamilyCode::writeElements(const TensorFamily& family, const Piece& piece, llvm::function_ref<void(Value, Value, const Values&)> use) {
  int64_t lanes = lanesOf(family);
  Known numbers;
  for (mlir::Operation* op : family.ops)
    for (mlir::Value operand : op->getOperands())
      if (mlir::Value number = isNumber(operand) ? parts_.numberOf(operand) : mlir::Value(); number && !numbers.contains(number)) {
        Value one = loadNumber(number);
        numbers[number] = k_.broadcast(one, lanes);
      }
  k_.vectorLoop(piece.count, lanes, [&](Value i, Value mask) {
    Value place = k_.add(piece.first, i);
    Known known;
    for (auto [argument, pointer] : llvm::zip(family.arguments, piece.inputs))
      known[argument] = loadTensor(argument, pointer, place, lanes, mask);
    for (mlir::Operation* op : family.ops) {
      mlir::Value result = op->getResult(0);
      if (mlir::isa<ir::ConstantOp>(op)) {
        known[result] = loadTensor(result, {}, place, lanes, mask);
        continue;
      }
      Values operands;
      for (mlir::Value operand : op->getOperands())
        operands.push_back(isNumber(operand) ? numbers[parts_.numberOf(operand)] : known[unshaped(operand)]);
      known[result] = elementwise(k_, op, operands);
    }
    Values values;
    for (mlir::Value value : family.values)
      values.push_back(known[value]);
    use(i, mask, values);
  });
}

} // namespace moec::codegen::cpu
