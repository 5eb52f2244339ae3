#include "ir/RowCoupling.h"

#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>

namespace moec::ir {

namespace {

using Reason = std::optional<std::string>;

class CouplingRule {
public:
  CouplingRule(mlir::Operation* op, const RowSymbol& rows) : op_(op), rows_(rows) {}

  Reason reason() const {
    if (auto size = mlir::dyn_cast<SizeOp>(op_)) // a number, which has no dimension
      return countsText(size.getValue()) ? Reason("is how many rows a call has") : Reason();
    if (auto slice = mlir::dyn_cast<SliceOp>(op_)) // of a constant, too: its place and its size may be a call's
      if (Reason why = sliceOf(slice))
        return why;
    auto has = [&](mlir::Value value) { return hasRows(value, rows_); };
    if (llvm::none_of(op_->getOperands(), has) && llvm::none_of(op_->getResults(), has))
      return {};
    for (mlir::Value result : op_->getResults())
      if (mlir::isa<mlir::RankedTensorType>(result.getType()) && axesOf(result).size() > 1)
        return "pairs rows of a call with each other";
    if (isElementwise(op_) || mlir::isa<ConstantOp, BroadcastOp, TransposeOp>(op_))
      return {};
    return llvm::TypeSwitch<mlir::Operation*, Reason>(op_)
        .Case([&](ReshapeOp reshape) { return keepsRowsWhole(reshape) ? Reason() : Reason("cuts a call's rows anew"); })
        .Case([](SliceOp) { return Reason(); })
        .Case([&](SliceAtOp slice) {
          if (isAxis(slice.getX(), 0))
            return Reason("takes rows by where they stand");
          return isAxis(slice.getResult(), 0) ? ofTokens() : Reason();
        })
        .Case([&](ConcatOp concat) { return isAxis(concat.getResult(), concat.getAxis()) ? Reason("puts rows behind each other") : Reason(); })
        .Case([&](ReduceOp reduce) { return isAxis(reduce.getX(), reduce.getAxis()) ? Reason("makes one number of the rows of a call") : Reason(); })
        .Case([&](MatmulOp matmul) { return isLast(matmul.getA()) ? Reason("adds up over the rows of a call") : Reason(); })
        .Case<LayerNormOp, RmsNormOp, SoftmaxOp, LogSumExpOp, CrossEntropyOp, IsTopOp>(
            [&](auto op) { return isLast(op->getOperand(0)) ? Reason("works on all rows of a call together") : Reason(); })
        .Case<SelectOp, TakeOp>([](auto) { return Reason(); }) // of columns, whose number is constant
        .Case([&](AttentionOp attention) { return attentionOf(attention); })
        .Case([&](CachedAttentionOp) { return ofTokens(); })
        .Case([&](AppendOp) { return ofTokens(); })
        .Case([&](RelativeBiasOp bias) { return countsText(bias.getQueries()) || countsText(bias.getKeys()) ? ofTokens() : Reason(); })
        .Case([&](RotaryOp rotary) { return isAxis(rotary.getX(), 1) ? ofTokens() : Reason(); })
        .Case([&](EmbeddingOp embedding) { return has(embedding.getTable()) ? Reason("reads other rows of the call") : Reason(); })
        .Case([&](RandomOp) { return Reason("draws by where a row stands"); })
        .Case([&](PlacesOp places) { return isWithinRows(places.getGroups()) ? Reason() : Reason("ranks the rows of a call"); })
        .Case([&](SwipeOp) { return Reason("shares workers out among the rows of a call"); })
        .Case([&](AssignOp assign) { return capacityOf(assign); })
        .Case([&](ExpertCountsOp) { return Reason("counts the rows of a call"); })
        // Where a row lies among its expert's depends on the others, what it holds does not.
        .Case<DropOp, ExpertsOfOp, DispatchOp, GroupedMatmulOp, ExpertRowsOp, RowWeightsOp, ChoiceValuesOp, CombineOp>([](auto) { return Reason(); })
        .Default([](mlir::Operation* op) { return "is " + op->getName().getStringRef().str() + ", of which nothing is known"; });
  }

private:
  bool isAxis(mlir::Value value, int64_t axis) const { return countsRows(sizesOf(value)[static_cast<size_t>(axis)], rows_); }
  bool isLast(mlir::Value value) const {
    Sizes sizes = sizesOf(value);
    return !sizes.empty() && countsRows(sizes.back(), rows_);
  }
  bool countsText(llvm::StringRef text) const {
    std::optional<Size> size = parseSize(text);
    return !size || countsRows(*size, rows_);
  }
  std::vector<size_t> axesOf(mlir::Value value) const {
    Sizes sizes = sizesOf(value);
    std::vector<size_t> axes;
    for (size_t i = 0; i < sizes.size(); ++i)
      if (countsRows(sizes[i], rows_))
        axes.push_back(i);
    return axes;
  }

  /// So many for each row: twice as many for twice the rows.
  bool isForEachRow(const Size& size) const { return size.substitute({{rows_.name, Size::symbol(rows_.name) * Size(2)}}) == size * Size(2); }

  Reason ofTokens() const { return rows_.ofTokens ? Reason() : Reason("depends on where a row stands"); }

  Reason sliceOf(SliceOp slice) const {
    auto axis = static_cast<size_t>(slice.getAxis());
    Size size = sizesOf(slice.getX())[axis];
    if (!countsText(slice.getStart()) && !countsRows(size, rows_) && !isAxis(slice.getResult(), slice.getAxis()))
      return {};
    // Of a text's tokens, as the last one, or of what stands at their places.
    bool isATexts = rows_.ofTokens && (size == Size::symbol(rows_.name) || !countsRows(size, rows_));
    return isATexts ? Reason() : Reason("takes rows by where they stand");
  }

  bool keepsRowsWhole(ReshapeOp reshape) const {
    Size before[2];
    for (auto [side, value] : {std::pair(0, mlir::Value(reshape.getX())), std::pair(1, mlir::Value(reshape.getResult()))}) {
      Sizes sizes = sizesOf(value);
      std::vector<size_t> axes = axesOf(value);
      if (axes.size() != 1 || !isForEachRow(sizes[axes.front()]))
        return false;
      before[side] = product(Sizes(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(axes.front())));
    }
    // Of generation the symbol stands behind the texts: their dimension may join it.
    return before[0] == before[1] || (rows_.ofTokens && before[0].isConstant() && before[1].isConstant());
  }

  Reason attentionOf(AttentionOp attention) const {
    if (attention.getDraws() && attention.getDraws().getDefiningOp<RandomOp>())
      return "draws by where a row stands";
    return isAxis(attention.getQ(), 1) || isAxis(attention.getK(), 1) ? Reason("lets the rows of a call see each other") : Reason();
  }

  /// Groups that are runs of one row's tokens each.
  bool isWithinRows(std::optional<llvm::StringRef> groups) const {
    std::optional<Size> size = groups ? parseSize(*groups) : std::nullopt;
    return size && countsRows(*size, rows_) && isForEachRow(*size);
  }

  Reason capacityOf(AssignOp assign) const {
    if (!assign.getCapacity() || (isWithinRows(assign.getGroups()) && !countsText(*assign.getCapacity())))
      return {};
    return "shares an expert's capacity out among the rows of a call";
  }

  mlir::Operation* op_;
  const RowSymbol& rows_;
};

} // namespace

bool countsRows(const Size& size, const RowSymbol& rows) {
  std::vector<std::string> symbols = size.symbols();
  return std::ranges::find(symbols, rows.name) != symbols.end();
}

bool hasRows(mlir::Value value, const RowSymbol& rows) {
  return !mlir::isa<mlir::RankedTensorType>(value.getType()) || llvm::any_of(sizesOf(value), [&](const Size& size) { return countsRows(size, rows); });
}

std::optional<std::string> couplingOf(mlir::Operation* op, const RowSymbol& rows) { return CouplingRule(op, rows).reason(); }

} // namespace moec::ir
