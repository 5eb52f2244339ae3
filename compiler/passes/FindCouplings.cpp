// find-couplings: where the results of a row of a call depend on its other rows. Goes back from the results through kernels and their ops: what no row's
// result reads (a count of a gate's logits) couples nothing.
#include "compiler/passes/Functions.h"
#include "compiler/passes/Passes.h"
#include "ir/RowCoupling.h"

#include <set>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

class CouplingFinder {
public:
  CouplingFinder(func::FuncOp function, codegen::KernelEmitter& emitter) : function_(function), emitter_(emitter) {}

  std::vector<FoundCoupling> find() {
    std::vector<RowSymbol> symbols = rowSymbols();
    if (symbols.empty())
      add(function_.getLoc(), "", "no input's first dimension is a symbol, as \"batch\": a call always has the same rows");
    for (const RowSymbol& symbol : symbols)
      follow(symbol);
    return std::move(found_);
  }

private:
  /// What counts rows: symbols that are an input's first dimension; of generation, whose texts are a fixed number, those that count their new tokens.
  std::vector<RowSymbol> rowSymbols() {
    bool generates = purposeOf(function_->getParentOfType<ModuleOp>()) == Purpose::Generation;
    std::vector<RowSymbol> symbols;
    for (Type type : function_.getArgumentTypes()) {
      Sizes sizes = sizesOf(cast<RankedTensorType>(type));
      sizes.resize(generates ? sizes.size() : std::min<size_t>(sizes.size(), 1));
      for (const Size& size : sizes)
        if (std::optional<std::string> name = size.asSymbol())
          if (llvm::none_of(symbols, [&](const RowSymbol& known) { return known.name == *name; }))
            symbols.push_back({*name, generates});
    }
    return symbols;
  }

  void follow(const RowSymbol& symbol) {
    seen_.clear();
    ofExperts_.clear();
    bool hasResult = false;
    function_.walk([&](Operation* op) {
      if (!isa<func::ReturnOp, WriteOp>(op))
        return;
      for (Value value : op->getOperands())
        if (symbol.ofTokens || hasRows(value, symbol)) {
          hasResult = true;
          visit(value, symbol);
        }
    });
    if (!hasResult)
      add(function_.getLoc(), "", "no result has a dimension of \"" + symbol.name + "\": all of them are of the whole call");
  }

  void visit(Value value, const RowSymbol& symbol) {
    std::vector<Value> open{value};
    auto push = [&](Value next) {
      if (seen_.insert(next).second)
        open.push_back(next);
    };
    while (!open.empty()) {
      Value next = open.back();
      open.pop_back();
      if (auto argument = dyn_cast<BlockArgument>(next)) {
        if (auto kernel = dyn_cast<KernelOp>(argument.getOwner()->getParentOp()))
          push(kernel.getInputs()[argument.getArgNumber()]);
        continue;
      }
      Operation* op = next.getDefiningOp();
      if (auto kernel = dyn_cast<KernelOp>(op)) {
        if (auto why = emitter_.dependsOnNeighbours(kernel))
          add(kernel.getLoc(), kernel.getLabel().str(), *why);
        push(kernel.getBody().front().getTerminator()->getOperand(cast<OpResult>(next).getResultNumber()));
        continue;
      }
      if (auto why = couplingOf(op, symbol))
        add(op, *why);
      if (meetsExpertsRows(op, symbol))
        add(op, "gives experts' rows what lies in the order of the call");
      for (Value operand : op->getOperands())
        push(operand);
    }
  }

  /// Whether a value lies in the order in which experts took its rows, which hangs on all of them. What lies so comes back by the routing alone.
  bool isOfExperts(Value value, const RowSymbol& symbol) {
    if (!isa<RankedTensorType>(value.getType()) || !hasRows(value, symbol))
      return false;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      auto kernel = dyn_cast<KernelOp>(argument.getOwner()->getParentOp());
      return kernel && isOfExperts(kernel.getInputs()[argument.getArgNumber()], symbol);
    }
    if (auto known = ofExperts_.find(value); known != ofExperts_.end())
      return known->second;
    Operation* op = value.getDefiningOp();
    auto isOne = [&](Value operand) { return isOfExperts(operand, symbol); };
    bool result = isa<DispatchOp, GroupedMatmulOp, ExpertRowsOp, RowWeightsOp>(op);
    if (auto kernel = dyn_cast<KernelOp>(op))
      result = isOne(kernel.getBody().front().getTerminator()->getOperand(cast<OpResult>(value).getResultNumber()));
    else if (auto combine = dyn_cast<CombineOp>(op))
      result = isOne(combine.getWeights()); // its tokens may be rows of an outer level
    else if (!result && !isa<ChoiceValuesOp>(op))
      result = llvm::any_of(op->getOperands(), isOne);
    return ofExperts_[value] = result;
  }

  bool meetsExpertsRows(Operation* op, const RowSymbol& symbol) {
    if (!isElementwise(op) && !isa<ConcatOp>(op))
      return false;
    bool some = false, all = true;
    for (Value operand : op->getOperands())
      if (hasRows(operand, symbol)) {
        bool one = isOfExperts(operand, symbol);
        some |= one;
        all &= one;
      }
    return some && !all;
  }

  void add(Operation* op, const std::string& why) {
    auto kernel = op->getParentOfType<KernelOp>();
    std::string path = pathOf(op->getLoc());
    add(op->getLoc(), path.empty() && kernel ? kernel.getLabel().str() : path, op->getName().stripDialect().str() + " " + why);
  }

  void add(Location place, std::string label, std::string why) {
    if (known_.insert(label + "\n" + why).second)
      found_.push_back({place, {std::move(label), std::move(why)}});
  }

  func::FuncOp function_;
  codegen::KernelEmitter& emitter_;
  llvm::DenseSet<Value> seen_;
  llvm::DenseMap<Value, bool> ofExperts_;
  std::set<std::string> known_;
  std::vector<FoundCoupling> found_;
};

} // namespace

std::vector<FoundCoupling> findCouplings(ModuleOp module, codegen::KernelEmitter& emitter) {
  return CouplingFinder(functionOf(module, LaunchList::Forward), emitter).find();
}

} // namespace moec::compiler
