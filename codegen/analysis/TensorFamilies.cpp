#include "codegen/analysis/TensorFamilies.h"

#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/raw_ostream.h"

#include <map>

namespace moec::codegen {

bool isNumber(mlir::Value value) { return ir::product(ir::sizesOf(value)) == Size(1); }

mlir::Value unshaped(mlir::Value value) {
  while (auto reshape = value.getDefiningOp<ir::ReshapeOp>())
    value = reshape.getX();
  return value;
}

namespace {

/// The parts of a kernel's body, found in one walk.
class Finder {
public:
  explicit Finder(ir::KernelOp kernel) : kernel_(kernel), body_(kernel.getBody().front()), isTotals_(kernel.getKind() == "totals") {}

  mlir::FailureOr<TensorFamilies> run() {
    for (mlir::BlockArgument argument : body_.getArguments()) {
      if (mlir::failed(checkSize(argument)))
        return mlir::failure();
      if (isNumber(argument))
        found_.equal[argument] = argument;
      else
        tensors_.insert(argument.getAsOpaquePointer());
    }
    for (mlir::Operation& op : body_.without_terminator())
      if (mlir::failed(add(&op)))
        return mlir::failure();
    for (auto [index, value] : llvm::enumerate(body_.getTerminator()->getOperands()))
      if (isNumber(value))
        found_.results.emplace_back(index, found_.numberOf(unshaped(value)));
      else if (isTotals_)
        return kernel_.emitError() << "internal: a kernel of totals gives a tensor of " << ir::describe(ir::sizesOf(value));
      else
        sinks_[unshaped(value)].push_back(static_cast<unsigned>(index));
    collectMembers();
    return std::move(found_);
  }

private:
  mlir::LogicalResult checkSize(mlir::Value value) {
    if (!ir::product(ir::sizesOf(value)).constant())
      return kernel_.emitError() << "internal: a kernel of kind \"" << kernel_.getKind() << "\" takes tensors of known sizes, not "
                                 << ir::describe(ir::sizesOf(value));
    return mlir::success();
  }

  mlir::LogicalResult add(mlir::Operation* op) {
    bool isView = mlir::isa<ir::ReshapeOp>(op), isTotal = mlir::isa<ir::ReduceOp>(op);
    if (!ir::isElementwise(op) && !mlir::isa<ir::ConstantOp>(op) && !(isTotals_ && (isView || isTotal)))
      return kernel_.emitError() << "internal: a kernel of kind \"" << kernel_.getKind() << "\" cannot hold " << op->getName();
    mlir::Value result = op->getResult(0);
    if (mlir::failed(checkSize(result)))
      return mlir::failure();
    if (isView) {
      if (isNumber(result))
        found_.equal[result] = found_.numberOf(unshaped(result));
      return mlir::success();
    }
    if (isNumber(result))
      return isTotal && !isNumber(op->getOperand(0)) ? addTotal(mlir::cast<ir::ReduceOp>(op)) : addNumber(op);
    if (isTotal)
      return kernel_.emitError() << "internal: a kernel of totals holds a reduction to " << ir::describe(ir::sizesOf(result));
    tensors_.insert(result.getAsOpaquePointer());
    for (mlir::Value operand : op->getOperands())
      if (!isNumber(operand)) {
        if (!(ir::sizesOf(operand) == ir::sizesOf(result)))
          return kernel_.emitError() << "internal: a kernel of kind \"" << kernel_.getKind() << "\" makes " << ir::describe(ir::sizesOf(result)) << " of "
                                     << ir::describe(ir::sizesOf(operand)) << ": it takes the same shape, or one element";
        tensors_.unionSets(result.getAsOpaquePointer(), unshaped(operand).getAsOpaquePointer());
      }
    return mlir::success();
  }

  mlir::LogicalResult addTotal(ir::ReduceOp reduce) {
    if (reduce.getKind() == ir::ReduceKind::Max)
      return kernel_.emitError() << "internal: a kernel of totals takes sums and means";
    sinks_[unshaped(reduce.getX())].push_back(static_cast<unsigned>(found_.totals.size()));
    found_.totals.push_back(reduce);
    found_.numbers.push_back(reduce);
    found_.equal[reduce.getResult()] = reduce.getResult();
    return mlir::success();
  }

  /// Ops on equal numbers are one.
  mlir::LogicalResult addNumber(mlir::Operation* op) {
    for (mlir::Value operand : op->getOperands())
      if (!isNumber(operand))
        return kernel_.emitError() << "internal: " << op->getName() << " makes one number of " << ir::describe(ir::sizesOf(operand));
    auto [place, isNew] = known_.try_emplace(describe(op), op->getResult(0));
    if (isNew)
      found_.numbers.push_back(op);
    found_.equal[op->getResult(0)] = place->second;
    return mlir::success();
  }

  /// What makes ops equal: numbers by what they are, tensors by the order in which a member names them.
  std::string describe(mlir::Operation* op, llvm::DenseMap<mlir::Value, unsigned>* tensors = nullptr) {
    std::string text;
    llvm::raw_string_ostream out(text);
    auto type = mlir::cast<mlir::RankedTensorType>(op->getResult(0).getType());
    out << op->getName() << " " << type.getElementType();
    if (auto constant = mlir::dyn_cast<ir::ConstantOp>(op)) {
      auto numbers = mlir::cast<mlir::DenseElementsAttr>(constant.getValue());
      if (numbers.isSplat())
        out << " all " << numbers.resizeSplat(numbers.getType().clone(llvm::ArrayRef<int64_t>{1}));
      else
        out << " " << numbers;
    } else {
      for (mlir::NamedAttribute attribute : op->getAttrDictionary())
        out << " " << attribute.getName() << "=" << attribute.getValue();
    }
    for (mlir::Value operand : op->getOperands()) {
      if (isNumber(operand))
        out << " number " << found_.numberOf(operand).getAsOpaquePointer();
      else
        out << " %" << nameOf(unshaped(operand), *tensors);
    }
    if (tensors)
      out << " -> %" << nameOf(op->getResult(0), *tensors);
    out << "\n";
    return text;
  }

  static unsigned nameOf(mlir::Value value, llvm::DenseMap<mlir::Value, unsigned>& names) { return names.try_emplace(value, names.size()).first->second; }

  /// A member's arguments in the order in which its ops name them, whatever their order among the kernel's.
  struct Part {
    std::vector<mlir::BlockArgument> arguments;
    std::vector<mlir::Operation*> ops;
    std::vector<mlir::Value> values;
    std::vector<unsigned> sinks;
  };

  void collectMembers() {
    llvm::MapVector<const void*, Part> parts;
    auto partOf = [&](mlir::Value tensor) -> Part& { return parts[tensors_.getLeaderValue(tensor.getAsOpaquePointer())]; };
    for (mlir::Operation& op : body_.without_terminator())
      if (mlir::Value result = op.getResult(0); !isNumber(result) && !mlir::isa<ir::ReshapeOp>(op))
        partOf(result).ops.push_back(&op);
    for (mlir::BlockArgument argument : body_.getArguments())
      if (!isNumber(argument))
        partOf(argument).arguments.push_back(argument);
    for (const auto& [value, sinks] : sinks_)
      for (unsigned sink : sinks) {
        partOf(value).values.push_back(value);
        partOf(value).sinks.push_back(sink);
      }
    std::map<std::string, size_t> places;
    for (auto& [leader, part] : parts)
      if (!part.values.empty())
        addMember(part, places);
  }

  void addMember(Part& part, std::map<std::string, size_t>& places) {
    llvm::DenseMap<mlir::Value, unsigned> names;
    std::string text;
    for (mlir::Operation* op : part.ops)
      text += describe(op, &names);
    // The same way of a value to its sink may have been found in another order.
    std::vector<size_t> order(part.values.size());
    for (size_t i = 0; i < order.size(); ++i)
      order[i] = i;
    for (mlir::Value value : part.values)
      nameOf(value, names);
    llvm::sort(order, [&](size_t a, size_t b) { return std::pair(names.lookup(part.values[a]), a) < std::pair(names.lookup(part.values[b]), b); });
    llvm::erase_if(part.arguments, [&](mlir::BlockArgument argument) { return !names.contains(argument); });
    llvm::sort(part.arguments, [&](mlir::BlockArgument a, mlir::BlockArgument b) { return names.lookup(a) < names.lookup(b); });
    for (mlir::BlockArgument argument : part.arguments)
      text += "argument " + std::to_string(names.lookup(argument)) + " " + std::to_string(static_cast<int>(dtypeOf(argument))) + "\n";
    for (size_t i : order)
      text += "value " + std::to_string(names.lookup(part.values[i])) + "\n";

    auto [place, isNew] = places.try_emplace(text, found_.families.size());
    if (isNew)
      found_.families.push_back(familyOf(part, order));
    TensorFamily::Member member;
    member.elements = *ir::product(ir::sizesOf(part.values.front())).constant();
    for (mlir::BlockArgument argument : part.arguments)
      member.inputs.push_back(argument.getArgNumber());
    for (size_t i : order)
      member.sinks.push_back(part.sinks[i]);
    if (member.elements > 0)
      found_.families[place->second].members.push_back(std::move(member));
  }

  TensorFamily familyOf(const Part& part, llvm::ArrayRef<size_t> order) {
    TensorFamily family;
    family.arguments = part.arguments;
    family.ops = part.ops;
    for (size_t i : order)
      family.values.push_back(part.values[i]);
    auto see = [&](mlir::Value value) { family.widest = std::max(family.widest, static_cast<int64_t>(byteSize(dtypeOf(value)))); };
    for (mlir::Value argument : family.arguments) {
      see(argument);
      family.bytesOfElement += static_cast<int64_t>(byteSize(dtypeOf(argument)));
    }
    for (mlir::Operation* op : family.ops) {
      see(op->getResult(0));
      for (mlir::Value operand : op->getOperands())
        if (isNumber(operand))
          found_.read.insert(found_.numberOf(operand));
    }
    for (mlir::Value value : family.values)
      if (!isTotals_)
        family.bytesOfElement += static_cast<int64_t>(byteSize(dtypeOf(value)));
    return family;
  }

  ir::KernelOp kernel_;
  mlir::Block& body_;
  bool isTotals_;
  TensorFamilies found_;
  std::map<std::string, mlir::Value> known_;      // numbers, by what they are
  llvm::EquivalenceClasses<const void*> tensors_; // values of one member
  llvm::MapVector<mlir::Value, std::vector<unsigned>> sinks_;
};

} // namespace

bool TensorFamilies::isComputed(mlir::Value number) { return number.getDefiningOp() && !mlir::isa<ir::ConstantOp>(number.getDefiningOp()); }

bool TensorFamilies::needsNumbers() const { return !results.empty() || llvm::any_of(read, isComputed); }

int64_t TensorFamilies::elements() const {
  int64_t elements = 0;
  for (const TensorFamily& family : families)
    for (const TensorFamily::Member& member : family.members)
      elements += member.elements;
  return elements;
}

int64_t TensorFamilies::pieces(int64_t elements) const {
  int64_t pieces = 0;
  eachMember(elements, [&](const TensorFamily&, const TensorFamily::Member&, int64_t first, int64_t count) { pieces = first + count; });
  return pieces;
}

Size TensorFamilies::operations(llvm::function_ref<int64_t(mlir::Operation*)> cost) const {
  Size total = 0;
  for (const TensorFamily& family : families) {
    int64_t ofElement = 1, elements = 0;
    for (mlir::Operation* op : family.ops)
      ofElement += cost(op);
    for (const TensorFamily::Member& member : family.members)
      elements += member.elements;
    total = total + Size(ofElement) * Size(elements);
  }
  return total;
}

mlir::FailureOr<TensorFamilies> TensorFamilies::of(ir::KernelOp kernel) { return Finder(kernel).run(); }

} // namespace moec::codegen
