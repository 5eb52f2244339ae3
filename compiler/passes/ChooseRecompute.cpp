#include "compiler/passes/ChooseRecompute.h"

#include "runtime/core/Error.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"

#include <algorithm>

using namespace mlir;

namespace moec::compiler {

namespace {

constexpr int64_t kShortRow = 1024; // softmax of such a row needs one pass over what a core or a block holds
constexpr double kMostRead = 2.5;   // bytes read again for each byte that is not saved: two values of its size, and what is small
constexpr int64_t kUsualSize = 64;  // what a symbol counts as

int64_t usual(const Size& size) {
  Bindings bindings;
  for (const std::string& symbol : size.symbols())
    bindings[symbol] = kUsualSize;
  return std::max<int64_t>(1, size.evaluate(bindings));
}

/// Whether an op's result is cheap to have once its operands are there.
bool isCheap(Operation* op) {
  if (auto softmax = dyn_cast<ir::SoftmaxOp>(op))
    return usual(ir::sizesOf(softmax.getX()).back()) <= kShortRow;
  return ir::isElementwise(op) || isa<ir::LayerNormOp, ir::RmsNormOp, ir::ReshapeOp, ir::TransposeOp, ir::SliceOp, ir::BroadcastOp, ir::ConstantOp, ir::SizeOp,
                                      ir::RandomOp, ir::RelativeBiasOp, ir::DispatchOp, ir::ExpertRowsOp, ir::RowWeightsOp>(op);
}

double bytesOf(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return 0; // a routing is small beside its rows
  double bytes = static_cast<double>(byteSize(ir::dtypeOf(type.getElementType())));
  for (const Size& size : ir::sizesOf(type))
    bytes *= static_cast<double>(usual(size));
  return bytes;
}

/// For each value of the forward part: what is read to have it again.
class Costs {
public:
  /// Bytes by saved value.
  using Reads = llvm::SmallMapVector<Value, double, 4>;

  Costs(Block::iterator begin, Block::iterator end) {
    for (Operation& op : llvm::make_range(begin, end))
      if (isCheap(&op))
        consider(&op);
  }

  /// Whether a value is made again; it is saved otherwise.
  bool isAgain(Value value) const { return again_.count(value) != 0; }

private:
  void consider(Operation* op) {
    Value result = op->getResult(0);
    Reads reads;
    double total = 0;
    for (Value operand : op->getOperands()) {
      // A slice reads its part alone.
      double part = isa<ir::SliceOp>(op) ? bytesOf(result) / bytesOf(operand) : 1;
      auto known = again_.find(operand);
      if (known == again_.end())
        reads[operand] = std::max(reads[operand], part * bytesOf(operand));
      else
        for (const auto& [leaf, bytes] : known->second)
          reads[leaf] = std::max(reads[leaf], part * bytes);
    }
    for (const auto& [leaf, bytes] : reads)
      total += bytes;
    if (total <= kMostRead * bytesOf(result) || isa<ir::CompareOp>(op)) // a mask is small itself
      again_[result] = std::move(reads);
  }

  llvm::DenseMap<Value, Reads> again_;
};

/// The clones of one run of backward ops.
class Run {
public:
  explicit Run(const Costs& costs) : costs_(costs) {}

  /// Gives `user` clones of what it uses and is made again.
  void serve(Operation* user) {
    OpBuilder builder(user);
    for (OpOperand& operand : user->getOpOperands())
      operand.set(make(operand.get(), builder));
  }

private:
  Value make(Value value, OpBuilder& builder) {
    if (!costs_.isAgain(value))
      return value;
    if (Value known = clones_.lookupOrNull(value))
      return known;
    Operation* op = value.getDefiningOp();
    for (Value operand : op->getOperands())
      clones_.map(operand, make(operand, builder));
    return builder.clone(*op, clones_)->getResult(0);
  }

  const Costs& costs_;
  IRMapping clones_;
};

} // namespace

void chooseRecompute(Operation* firstBackward) {
  Block* block = firstBackward->getBlock();
  Costs costs(block->begin(), Block::iterator(firstBackward));
  SmallVector<Operation*> users; // before clones stand between them; the terminator returns values of the forward part as they are
  for (Operation& op : llvm::make_range(Block::iterator(firstBackward), block->end()))
    if (!op.hasTrait<OpTrait::IsTerminator>())
      users.push_back(&op);
  std::optional<Run> run;
  Location place = UnknownLoc::get(firstBackward->getContext());
  for (Operation* user : users) {
    if (!run || place != user->getLoc())
      run.emplace(costs);
    place = user->getLoc();
    run->serve(user);
  }
}

} // namespace moec::compiler
