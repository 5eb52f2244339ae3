#include "codegen/cpu/FamilyCode.h"

#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Schedule.h"

namespace moec::codegen::cpu {

namespace {

// These kernels stream through memory: large pieces keep the prefetchers busy.
constexpr int64_t kPieceBytes = 4 * kItemBytes;
constexpr int64_t kLine = 64;    // elements: a piece begins on a cache line
constexpr int64_t kSlot = 8;     // bytes of a number between two stages
constexpr int64_t kItems = 1024; // of a stage: some for each of many threads

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

Size FamilyCode::items(int64_t block) const { return Size(std::min((parts_.elements() + block - 1) / block, kItems)); }

/// One row for each member: its first piece, its elements, the places of its buffers among the launch's.
Value FamilyCode::tableOf(const TensorFamily& family, int64_t firstPiece, int64_t block) {
  std::vector<int64_t> table;
  for (const TensorFamily::Member& member : family.members) {
    table.insert(table.end(), {firstPiece, member.elements});
    for (unsigned input : member.inputs)
      table.push_back(input);
    for (size_t i = 0; i < outputsOf(family); ++i)
      table.push_back(k_.inputCount() + member.sinks[i]);
    firstPiece += (member.elements + block - 1) / block;
  }
  auto type = mlir::RankedTensorType::get({static_cast<int64_t>(table.size())}, mlir::IntegerType::get(k_.kernel().getContext(), 64));
  return k_.constantData(mlir::DenseElementsAttr::get(type, llvm::ArrayRef<int64_t>(table)));
}

void FamilyCode::writePieces(Value item, int64_t block, llvm::function_ref<void(const TensorFamily&, const Piece&)> write) {
  int64_t count = *items(block).constant(), first = 0;
  for (const TensorFamily& family : parts_.families) {
    Value table = tableOf(family, first, block);
    for (const TensorFamily::Member& member : family.members)
      first += (member.elements + block - 1) / block;
    k_.loop(k_.index(0), k_.index(static_cast<int64_t>(family.members.size())), k_.index(1), [&](Value row) {
      int64_t width = static_cast<int64_t>(2 + family.arguments.size() + outputsOf(family));
      auto field = [&](int64_t i) { return k_.load(k_.i64(), k_.at(table, k_.add(k_.mul(row, width), i), k_.i64())); };
      Value firstOfMember = field(0), elements = field(1), pieces = k_.div(k_.add(elements, block - 1), k_.index(block));
      // Members of few pieces begin at different items.
      Value shift = k_.rem(firstOfMember, k_.index(count));
      auto until = [&](Value ofItem) { return k_.div(k_.add(k_.mul(ofItem, pieces), shift), k_.index(count)); };
      k_.loop(until(item), until(k_.add(item, 1)), k_.index(1), [&](Value own) {
        Piece piece{k_.add(firstOfMember, own), k_.mul(own, block), {}, {}, {}};
        piece.count = k_.min(k_.index(block), k_.sub(elements, piece.first));
        for (size_t i = 0; i < family.arguments.size(); ++i)
          piece.inputs.push_back(k_.buffer(field(static_cast<int64_t>(2 + i))));
        for (size_t i = 0; i < outputsOf(family); ++i)
          piece.outputs.push_back(k_.buffer(field(static_cast<int64_t>(2 + family.arguments.size() + i))));
        write(family, piece);
      });
    });
  }
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
