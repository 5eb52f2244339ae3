#include "models/Site.h"

#include "models/Choices.h"
#include "models/ModelBuilder.h"
#include "models/json/Words.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

Ops& Site::ops() {
  builder_.ops().moveTo(path_, position_);
  return builder_.ops();
}

Site Site::part(std::string_view name) const {
  Site part = *this;
  part.path_ = path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  return part;
}

bool Site::isTraining() const { return builder_.file().trains; }

bool Site::isGenerating() const { return builder_.file().generation.has_value(); }
mlir::Value Site::tokensBefore() const { return builder_.position(); }
int64_t Site::context() const { return builder_.file().generation->context; }

void Site::addLoss(std::string_view name, Value value, double coefficient) {
  if (!value)
    return;
  value = ops().reshape(value, {});
  builder_.losses().push_back({part(name).path_, value, coefficient});
}

void Site::addPooledLoss(const std::string& pool, std::string_view name, llvm::ArrayRef<Value> values, double coefficient, Finish finish) {
  if (!llvm::is_contained(values, Value()))
    builder_.addPooledLoss(ops(), position_, fmt::format("{}.{}", pool, name), values, coefficient, finish);
}

void Site::addGradient(Value value) {
  if (value)
    builder_.losses().push_back({"", ops().reshape(ops().sub(value, ops().unary<ir::DetachOp>(value)), {}), 1});
}

bool Site::wantsMetrics() const { return builder_.file().evaluates; }

void Site::addMetric(std::string_view name, Value value) {
  if (value && wantsMetrics())
    builder_.metrics().emplace_back(name, ops().reshape(ops().cast(value, ops().element(DType::F32)), {}));
}

bool Site::wantsStatistics() const { return builder_.file().statistics; }

bool Site::countsNonFinite() const { return builder_.file().countsNonFinite; }

void Site::addStatistic(std::string_view name, Value value) {
  if (value)
    builder_.statistics().emplace_back(part(name).path_, ops().cast(value, ops().element(DType::F32)));
}

Ops::Selection Site::choose(Value scores, int64_t k) {
  if (!scores)
    return {};
  ir::Sizes shape = ir::sizesOf(scores);
  if (Value given = replayed(shape[0], k, *shape[1].constant())) {
    record(given);
    return {ops().take(scores, given), given};
  }
  Ops::Selection chosen = ops().select(scores, k);
  record(chosen.indices);
  return chosen;
}

Value Site::replayed(const Size& tokens, int64_t choices, int64_t experts) {
  if (!builder_.file().replays)
    return {};
  return ops().choices(part("choices").path_, {tokens, choices}, experts);
}

Value Site::chosen(Value indices, int64_t experts) {
  if (!indices)
    return {};
  ir::Sizes shape = ir::sizesOf(indices);
  if (Value given = replayed(shape[0], *shape[1].constant(), experts))
    indices = given;
  record(indices);
  return indices;
}

bool Site::replays() const { return builder_.file().replays; }

void Site::record(Value indices, Value within) { addChoices(*this, indices, within); }

bool Site::records() const { return builder_.file().records; }

void Site::addRecord(std::string_view name, Value value) {
  if (value && records())
    builder_.records().emplace_back(part(name).path_, value);
}

Value Site::error(Position position, std::string message) {
  builder_.diagnostics().error(position, std::move(message));
  return {};
}

bool Site::expects(Value x, size_t rank, std::string_view shape) {
  if (!x)
    return false;
  auto type = mlir::cast<mlir::RankedTensorType>(x.getType());
  ir::Sizes sizes = ir::sizesOf(type);
  bool fits = type.getElementType() == element() && (rank ? sizes.size() == rank : !sizes.empty());
  if (!fits)
    error(fmt::format("{} takes {} of {}, and gets {}{}", inQuotes(path_), shape, name(builder_.file().dtype), name(ir::dtypeOf(type.getElementType())),
                      ir::describe(sizes)));
  return fits;
}

std::optional<int64_t> Site::width(Value x) {
  if (!expects(x, 0, "(.., width)"))
    return std::nullopt;
  std::optional<int64_t> width = ir::sizesOf(x).back().constant();
  if (!width)
    error(fmt::format("{} needs a last dimension that is a number, and gets {}{}", inQuotes(path_), ir::describe(ir::sizesOf(x)),
                      ir::sizesOf(x).size() == 1 ? ": one dimension, and it is symbolic; the width stands behind it, as in [\"batch\", 16]" : ""));
  return width;
}

mlir::Type Site::element() { return builder_.ops().element(builder_.file().dtype); }

mlir::Type Site::routerElement() { return builder_.ops().element(builder_.file().dtype == DType::F64 ? DType::F64 : DType::F32); }

Value Site::parameter(std::string_view name, const ir::Sizes& sizes, const Init& init, mlir::Type element, std::optional<double> signRate) {
  return ops().parameter(part(name).path_, sizes, element, init, signRate);
}

Value Site::sharedParameter(const Arguments& arguments, std::string_view name, const ir::Sizes& sizes, const Init& init) {
  if (!arguments.has(name))
    return parameter(name, sizes, init);
  const std::string& path = arguments.word(name);
  std::string wanted = fmt::format("{}{}", moec::name(builder_.file().dtype), ir::describe(sizes));
  Value shared = ops().known(path);
  if (!shared) {
    std::vector<std::string> fitting = ops().parameters(ir::tensorOf(sizes, element()));
    return error(arguments.at(name), fitting.empty() ? fmt::format("unknown parameter {}; no block before this one makes a {}", inQuotes(path), wanted)
                                                     : unknownWord("parameter", path, fitting));
  }
  auto type = mlir::cast<mlir::RankedTensorType>(shared.getType());
  if (ir::sizesOf(type) == sizes && type.getElementType() == element())
    return shared;
  return error(arguments.at(name), fmt::format("{} is {}{}; {} needs {} for its {}", inQuotes(path), moec::name(ir::dtypeOf(type.getElementType())),
                                               ir::describe(ir::sizesOf(type)), inQuotes(path_), wanted, inQuotes(name)));
}

Value Site::named(const Arguments& arguments, std::string_view name) {
  const std::string& word = arguments.word(name);
  if (Value value = surroundings_.values->find(word))
    return value;
  return error(arguments.at(name), unknownValue(word, surroundings_.values->names()));
}

Value Site::body(const Arguments& arguments, std::string_view parameter, Value x, std::optional<std::string> under) {
  const Json& json = arguments.get(parameter);
  if (!under)
    return builder_.body(json, arguments.environment(), x, surroundings_);
  NameScope names{.path = part(*under).path_, .taken = {}};
  Surroundings inside = surroundings_;
  inside.names = &names;
  return builder_.body(json, arguments.environment(), x, inside);
}

std::optional<GateResult> Site::gate(const Arguments& arguments, std::string_view parameter, Value tokens, const Size& groups, int64_t experts) {
  return builder_.gate(arguments.get(parameter), arguments.environment(), tokens, groups, experts, part(parameter).path_, surroundings_.values);
}

std::optional<int64_t> Site::expertCount(const Arguments& arguments, std::string_view parameter) {
  return builder_.expertCount(arguments.get(parameter), arguments.environment());
}

Value Site::expert(const Arguments& arguments, std::string_view parameter, Value rows, const ExpertSpace& space, const std::string& path) {
  return builder_.expert(arguments.get(parameter), arguments.environment(), rows, space, path);
}

std::optional<std::vector<ExpertGroup>> Site::expertGroups(const Arguments& arguments, std::string_view parameter) {
  const Json& json = arguments.get(parameter);
  std::vector<ExpertGroup> groups;
  auto add = [&](const Json& one, const std::string& path) {
    std::optional<int64_t> count = builder_.expertCount(one, arguments.environment());
    if (count)
      groups.push_back({&one, *count, path});
    return count.has_value();
  };
  std::string path = part(parameter).path_;
  if (json.isObject())
    return add(json, path) ? std::optional(groups) : std::nullopt;
  for (size_t i = 0; i < json.list().size(); ++i)
    if (!add(json.list()[i], fmt::format("{}.{}", path, i)))
      return std::nullopt;
  return groups;
}

Value Site::expert(const Arguments& arguments, const ExpertGroup& group, Value rows, const ExpertSpace& space) {
  return builder_.expert(*group.json, arguments.environment(), rows, space, group.path);
}

Value Site::plainExpert(const Arguments& arguments, std::string_view parameter, Value x) {
  return builder_.plainExpert(arguments.get(parameter), arguments.environment(), x, surroundings_, part(parameter).path_);
}

bool Site::limitIds(Value ids, int64_t below, std::optional<int64_t> except) {
  // Through ops that only move elements.
  if (mlir::Operation* op = ids.getDefiningOp()) {
    if (auto constant = mlir::dyn_cast<ir::ConstantOp>(op)) {
      for (const llvm::APInt& id : mlir::cast<mlir::DenseElementsAttr>(constant.getValue()).getValues<llvm::APInt>())
        if ((id.getSExtValue() < 0 || id.getSExtValue() >= below) && id.getSExtValue() != except) {
          error(fmt::format("among its ids is the constant {}; ids lie below {}", id.getSExtValue(), below));
          return false;
        }
      return true;
    }
    assert((mlir::isa<ir::ReshapeOp, ir::TransposeOp, ir::SliceOp, ir::BroadcastOp, ir::ConcatOp>(op)));
    return llvm::all_of(op->getOperands(), [&](Value operand) { return limitIds(operand, below, except); });
  }
  auto argument = mlir::cast<mlir::BlockArgument>(ids);
  auto function = mlir::cast<mlir::func::FuncOp>(argument.getOwner()->getParentOp());
  unsigned index = argument.getArgNumber();
  mlir::Builder attributes(function.getContext());
  auto known = function.getArgAttrOfType<mlir::IntegerAttr>(index, "moe.below");
  auto exception = function.getArgAttrOfType<mlir::IntegerAttr>(index, "moe.except");
  // An exception is one only where all that read the ids make it.
  bool isFirst = !known;
  if (known)
    below = std::min(below, known.getInt());
  function.setArgAttr(index, "moe.below", attributes.getI64IntegerAttr(below));
  if (isFirst && except)
    function.setArgAttr(index, "moe.except", attributes.getI64IntegerAttr(*except));
  else if (exception && exception.getInt() != except)
    function.removeArgAttr(index, "moe.except");
  return true;
}

void Site::limitSize(const Size& size, int64_t most) {
  mlir::ModuleOp module = builder_.module();
  mlir::NamedAttrList limits;
  if (auto known = module->getAttrOfType<mlir::DictionaryAttr>("moe.at_most"))
    limits = known;
  if (auto known = limits.getNamed(size.str()))
    most = std::min(most, mlir::cast<mlir::IntegerAttr>(known->getValue()).getInt());
  limits.set(size.str(), mlir::Builder(module.getContext()).getI64IntegerAttr(most));
  module->setAttr("moe.at_most", limits.getDictionary(module.getContext()));
}

void Site::markPerExpert(Value value) {
  if (value)
    builder_.perExpert().insert(value);
}

bool Site::isPerExpert(Value value) { return builder_.perExpert().contains(value); }

} // namespace moec::models
