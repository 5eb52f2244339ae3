#include "codegen/cpu/TokenLanes.h"

#include "codegen/analysis/Rows.h"
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/TurnPanel.h"
#include "codegen/cpu/VectorMath.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen::cpu {

using ir::Predicate;

namespace {

constexpr int64_t kMostElements = 16; // of a row: more are no gain over rows along vectors, whose sums four vectors share

bool isTensor(mlir::Value value) { return mlir::isa<mlir::RankedTensorType>(value.getType()); }

/// Elements in a row; nothing for what is no row of few elements.
std::optional<int64_t> widthOf(mlir::Value value, const llvm::DenseSet<mlir::Value>& perRow) {
  ir::Sizes sizes = ir::sizesOf(value);
  if (sizes.empty() || perRow.contains(value))
    return 1;
  return sizes.back().constant();
}

/// As RowProgram has them, whose order of sums they set.
int64_t lanesFor(llvm::ArrayRef<mlir::Operation*> ops, const llvm::DenseSet<mlir::Value>& perRow, const CpuTarget& target) {
  size_t bytes = 4;
  auto see = [&](mlir::Value value) {
    if (isTensor(value) && widthOf(value, perRow) != 1)
      bytes = std::max(bytes, byteSize(dtypeOf(value)));
  };
  for (mlir::Operation* op : ops) {
    llvm::for_each(op->getOperands(), see);
    llvm::for_each(op->getResults(), see);
  }
  return target.vectorBytes / static_cast<int64_t>(bytes);
}

/// Whether every token has a row of it, or all share one.
bool isOfTokens(mlir::Value value, const Size& tokens) {
  ir::Sizes sizes = ir::sizesOf(value);
  return sizes.size() == 2 && sizes[0] == tokens;
}
bool isShared(mlir::Value value) {
  ir::Sizes leading = leadingSizes(ir::sizesOf(value));
  return leading.empty() || ir::product(leading) == Size(1);
}

bool takesOp(mlir::Operation* op) {
  if (mlir::isa<ir::ConstantOp, ir::SizeOp>(op))
    return isShared(op->getResult(0));
  if (auto reduce = mlir::dyn_cast<ir::ReduceOp>(op))
    return reduce.getAxis() == 1;
  if (auto slice = mlir::dyn_cast<ir::SliceOp>(op))
    return slice.getAxis() == 1 && Size::parse(slice.getStart().str()).constant();
  if (auto concat = mlir::dyn_cast<ir::ConcatOp>(op))
    return concat.getAxis() == 1;
  if (auto values = mlir::dyn_cast<ir::ChoiceValuesOp>(op))
    return mlir::isa<mlir::BlockArgument>(values.getColumn()) && dtypeOf(values.getColumn()) != DType::BF16;
  return ir::isElementwise(op) || mlir::isa<ir::SoftmaxOp, ir::SelectOp, ir::TakeOp, ir::SoftmaxGradOp, ir::SelectGradOp, ir::RandomOp>(op);
}

/// What an op reads row by row: of choice_values nothing, which finds its elements in a whole column.
mlir::OperandRange rowOperands(mlir::Operation* op) { return op->getOperands().take_front(mlir::isa<ir::ChoiceValuesOp>(op) ? 0 : op->getNumOperands()); }

} // namespace

bool TokenLanes::takes(llvm::ArrayRef<mlir::Operation*> ops, const Size& tokens, const CpuTarget& target) {
  llvm::DenseSet<mlir::Value> perRow = onePerRow(ops, {tokens});
  int64_t lanes = lanesFor(ops, perRow, target);
  auto isNarrow = [&](mlir::Value value) {
    std::optional<int64_t> width = isTensor(value) ? widthOf(value, perRow) : std::nullopt;
    bool isRow = isTensor(value) && (isOfTokens(value, tokens) || perRow.contains(value) || isShared(value));
    return isRow && width && *width >= 1 && *width <= kMostElements && *width < 8 * lanes;
  };
  // What others read is a row of each token.
  auto isAmongThese = [&](mlir::Operation* user) { return llvm::is_contained(ops, user); };
  auto isWhole = [&](mlir::Value value) { return isOfTokens(value, tokens) || perRow.contains(value) || llvm::all_of(value.getUsers(), isAmongThese); };
  return !ops.empty() && leadingOfRows(ops) == ir::Sizes{tokens} && llvm::all_of(ops, [&](mlir::Operation* op) {
    return takesOp(op) && llvm::all_of(rowOperands(op), isNarrow) && llvm::all_of(op->getResults(), isNarrow) && llvm::all_of(op->getResults(), isWhole);
  });
}

TokenLanes::TokenLanes(KernelBuilder& k, std::vector<mlir::Operation*> ops) : k_(k), ops_(std::move(ops)) {
  perRow_ = onePerRow(ops_, leadingOfRows(ops_));
  lanes_ = lanesFor(ops_, perRow_, k.target());
}

void TokenLanes::bind(mlir::Value value, Place place) { places_[value].push_back(std::move(place)); }

void TokenLanes::bindWide(mlir::Value value, Place place, int64_t stride) {
  strides_[value] = stride;
  bind(value, std::move(place));
}

void TokenLanes::bindTensor(mlir::Value value, std::function<Value()> base) {
  bool isOne = isShared(value) && !perRow_.contains(value);
  bind(value, [this, value, isOne, base = std::move(base)](Value token) {
    return isOne ? base() : k_.at(base(), k_.mul(token, *widthOf(value, perRow_)), dtypeOf(value));
  });
}

void TokenLanes::run(Value first, Value count) {
  Value whole = k_.mul(k_.div(count, lanes_), lanes_);
  k_.loop(k_.index(0), whole, k_.index(lanes_), [&](Value token) { runGroup(k_.add(first, token), {}); });
  k_.when(k_.compare(Predicate::LT, whole, count), [&] { runGroup(k_.add(first, whole), k_.sub(count, whole)); });
}

void TokenLanes::runGroup(Value first, Value count) {
  first_ = first;
  count_ = count;
  known_.clear();
  for (mlir::Operation* op : ops_) {
    if (auto top = mlir::dyn_cast<ir::SelectOp>(op))
      select(top);
    else
      known_[op->getResult(0)] = compute(op);
    for (mlir::Value result : op->getResults())
      if (places_.contains(result))
        store(result);
  }
}

//===--- memory ---===//

const Values& TokenLanes::elements(mlir::Value value) {
  if (auto found = known_.find(value); found != known_.end())
    return found->second;
  Values loaded = load(value);
  return known_[value] = std::move(loaded);
}

/// Rows of all tokens, turned; or the one row that they share.
Values TokenLanes::load(mlir::Value value) {
  DType dtype = dtypeOf(value);
  int64_t width = *widthOf(value, perRow_);
  Value base = places_.find(value)->second.front()(first_);
  Values result;
  if (isShared(value) && !perRow_.contains(value)) {
    for (int64_t j = 0; j < width; ++j)
      result.push_back(k_.broadcast(k_.loadElements(dtype, k_.at(base, k_.index(j), dtype), 1), lanes_));
    return result;
  }
  auto wide = strides_.find(value);
  int64_t stride = wide != strides_.end() ? wide->second : width;
  return loadRows(dtype, base, width, stride);
}

/// Rows of so many elements, `stride` apart, turned.
Values TokenLanes::loadRows(DType dtype, Value base, int64_t width, int64_t stride) {
  Values result;
  if (width == 1 && stride == 1)
    return {k_.loadElements(dtype, base, lanes_, count_ ? k_.mask(count_, lanes_) : Value())};
  for (int64_t start = 0; start < width; start += lanes_) {
    Values square;
    for (int64_t token = 0; token < lanes_; ++token) {
      Value there = k_.index(std::min(lanes_, width - start)), mask;
      if (count_)
        there = k_.choose(k_.compare(Predicate::LT, k_.index(token), count_), there, k_.index(0));
      if (count_ || std::max(width, stride) < start + lanes_)
        mask = k_.mask(there, lanes_);
      square.push_back(k_.loadElements(dtype, k_.at(base, k_.index(token * stride + start), dtype), lanes_, mask));
    }
    square = exchanged(k_, square);
    result.append(square.begin(), square.begin() + std::min(lanes_, width - start));
  }
  return result;
}

/// Elements of the tokens' rows one behind the other: vector by vector, each from the elements that have a lane in it.
void TokenLanes::store(mlir::Value value) {
  DType dtype = dtypeOf(value);
  int64_t width = *widthOf(value, perRow_);
  Values rows = elements(value);
  if (dtype == DType::Bool) // lanes of single bits would be moved one by one
    for (Value& row : rows)
      row = k_.widenUnsigned(row, k_.i32());
  for (int64_t start = 0; start < width; ++start) {
    Value flat = at(rows, static_cast<size_t>(start * lanes_ % width));
    std::vector<int64_t> done{start * lanes_ % width};
    llvm::SmallVector<int32_t> from(lanes_);
    for (int64_t lane = 0; lane < lanes_; ++lane)
      from[lane] = static_cast<int32_t>((start * lanes_ + lane) / width);
    flat = k_.shuffle(flat, flat, from); // of the first element all lanes, which those of the others then replace
    for (int64_t lane = 1; lane < lanes_; ++lane) {
      int64_t element = (start * lanes_ + lane) % width;
      if (llvm::is_contained(done, element))
        continue;
      done.push_back(element);
      llvm::SmallVector<int32_t> merged;
      for (int64_t other = 0; other < lanes_; ++other)
        merged.push_back(static_cast<int32_t>((start * lanes_ + other) % width == element ? lanes_ + from[other] : other));
      flat = k_.shuffle(flat, at(rows, static_cast<size_t>(element)), merged);
    }
    Value mask = count_ ? k_.mask(k_.sub(k_.mul(count_, width), start * lanes_), lanes_) : Value();
    if (dtype == DType::Bool)
      flat = k_.compare(Predicate::NE, flat, k_.zero(flat.getType()));
    for (const Place& place : places_[value])
      k_.storeElements(dtype, flat, k_.at(place(first_), k_.index(start * lanes_), dtype), mask);
  }
}

//===--- ops ---===//

Values TokenLanes::constant(ir::ConstantOp op) {
  DType dtype = dtypeOf(op.getResult());
  auto attr = mlir::cast<mlir::DenseElementsAttr>(op.getValue());
  mlir::Type type = vectorOf(k_.typeOf(dtype));
  Values result;
  if (isFloat(dtype))
    for (const llvm::APFloat& number : attr.getValues<llvm::APFloat>())
      result.push_back(k_.real(type, number.convertToDouble()));
  else
    for (const llvm::APInt& number : attr.getValues<llvm::APInt>())
      result.push_back(k_.integer(type, dtype == DType::U8 || dtype == DType::Bool ? static_cast<int64_t>(number.getZExtValue()) : number.getSExtValue()));
  return result;
}

/// As RowProgram::foldRow: into the lane that the element has in a row's vector, then halves of lanes.
Value TokenLanes::fold(const Values& elements, double identity, Fold combine) {
  mlir::Type type = elements[0].getType();
  Values lanes(static_cast<size_t>(lanes_), k_.real(type, identity));
  for (size_t j = 0; j < elements.size(); ++j)
    lanes[j % lanes.size()] = combine(lanes[j % lanes.size()], elements[j]);
  for (size_t half = lanes.size() / 2; half > 0; half /= 2)
    for (size_t lane = 0; lane < half; ++lane)
      lanes[lane] = combine(lanes[lane], lanes[lane + half]);
  return lanes[0];
}

Values TokenLanes::softmax(mlir::Value x, DType to) {
  Values exponentials;
  Value highest = fold(elements(x), -kInfinity, [&](Value a, Value b) { return k_.choose(k_.compare(Predicate::GT, b, a), b, a); });
  for (Value element : elements(x))
    exponentials.push_back(exp(k_, k_.sub(element, highest)));
  Value divisor = fold(exponentials, 0, [&](Value a, Value b) { return k_.add(a, b); });
  for (Value& element : exponentials)
    element = k_.roundTo(to, k_.div(element, divisor));
  return exponentials;
}

Values TokenLanes::reduce(ir::ReduceOp op) {
  const Values& x = elements(op.getX());
  Value result;
  if (op.getKind() == ir::ReduceKind::Max) {
    result = fold(x, -kInfinity, [&](Value a, Value b) { return k_.choose(k_.bitOr(k_.isNan(b), k_.compare(Predicate::GT, b, a)), b, a); });
  } else {
    result = fold(x, 0, [&](Value a, Value b) { return k_.add(a, b); });
    if (op.getKind() == ir::ReduceKind::Mean)
      result = k_.div(result, k_.real(result.getType(), static_cast<double>(x.size())));
  }
  return {k_.roundTo(dtypeOf(op.getResult()), result)};
}

/// k rounds, as RowProgram::runSelect has them: the largest key of those not yet taken, at the lowest index.
void TokenLanes::select(ir::SelectOp op) {
  Values scores = elements(op.getScores()), keys;
  bool isWide = KernelBuilder::elementOf(scores[0]).isF64();
  mlir::Type type = vectorOf(isWide ? k_.i64() : k_.i32()), indexType = vectorOf(k_.i32());
  int64_t lowest = isWide ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int32_t>::min();
  auto key = [&](int64_t value) { return k_.integer(type, value); };
  for (Value score : scores) {
    Value word = k_.bits(k_.add(score, k_.real(score.getType(), 0)), KernelBuilder::elementOf(type)); // -0 becomes 0
    Value ordered = k_.choose(k_.compare(Predicate::LT, word, key(0)), k_.bitXor(word, key(~lowest)), word);
    keys.push_back(k_.choose(k_.isNan(score), key(lowest + 1), ordered)); // NaN below all numbers, and below NaN what is taken
  }
  Values values, indices;
  for (int64_t turn = 0; turn < static_cast<int64_t>(op.getK()); ++turn) {
    Value best = keys[0];
    for (Value other : llvm::ArrayRef(keys).drop_front())
      best = k_.max(best, other);
    Value index, value, isFree; // isFree: of lanes whose place is not found yet
    for (size_t j = 0; j < keys.size(); ++j) {
      Value here = k_.compare(Predicate::EQ, keys[j], best);
      if (isFree)
        here = k_.bitAnd(here, isFree);
      index = index ? k_.choose(here, k_.integer(indexType, static_cast<int64_t>(j)), index) : k_.integer(indexType, 0);
      value = value ? k_.choose(here, scores[j], value) : scores[0];
      isFree = isFree ? k_.bitAnd(isFree, k_.notOf(here)) : k_.notOf(here);
      keys[j] = k_.choose(here, key(lowest), keys[j]);
    }
    values.push_back(value);
    indices.push_back(index);
  }
  known_[op.getValues()] = values;
  known_[op.getIndices()] = indices;
}

/// Elements at indices; 0 where there is none.
Values TokenLanes::take(ir::TakeOp op) {
  Values x = elements(op.getX()), result;
  for (Value index : elements(op.getIndices())) {
    Value element = k_.zero(x[0].getType());
    for (size_t j = 0; j < x.size(); ++j)
      element = k_.choose(k_.compare(Predicate::EQ, index, k_.integer(index.getType(), static_cast<int64_t>(j))), x[j], element);
    result.push_back(element);
  }
  return result;
}

/// y (dy - the sum of dy y), as RowProgram has it.
Values TokenLanes::softmaxGrad(ir::SoftmaxGradOp op) {
  Values y = elements(op.getY()), dy = elements(op.getDy()), products, result;
  for (size_t j = 0; j < y.size(); ++j)
    products.push_back(k_.mul(dy[j], y[j]));
  Value sum = fold(products, 0, [&](Value a, Value b) { return k_.add(a, b); });
  for (size_t j = 0; j < y.size(); ++j)
    result.push_back(k_.roundTo(dtypeOf(op.getResult()), k_.mul(y[j], k_.sub(dy[j], sum))));
  return result;
}

/// At each place the sum over the choices whose index it is, in their order.
Values TokenLanes::selectGrad(ir::SelectGradOp op) {
  Values dy = elements(op.getDy()), indices = elements(op.getIndices()), result;
  for (int64_t j = 0; j < *widthOf(op.getResult(), perRow_); ++j) {
    Value sum = k_.zero(dy[0].getType());
    for (auto [index, gradient] : llvm::zip(indices, dy))
      sum = k_.choose(k_.compare(Predicate::EQ, index, k_.integer(index.getType(), j)), k_.add(sum, gradient), sum);
    result.push_back(k_.roundTo(dtypeOf(op.getResult()), sum));
  }
  return result;
}

/// The column at the tokens' slots; 0 where a choice has none.
Values TokenLanes::choiceValues(ir::ChoiceValuesOp op) {
  DType dtype = dtypeOf(op.getColumn());
  int64_t choices = *widthOf(op.getResult(), perRow_);
  RoutingView routing = RoutingView::of(k_, op.getRouting(), routings_.lookup(op.getRouting())());
  Value column = places_.find(op.getColumn())->second.front()(k_.index(0));
  Values result;
  for (Value slot : loadRows(DType::I32, k_.at(routing.slots(k_), k_.mul(first_, choices), DType::I32), choices, choices)) {
    Value isKept = k_.compare(Predicate::GE, slot, k_.zero(slot.getType()));
    if (count_)
      isKept = k_.bitAnd(isKept, k_.mask(count_, lanes_));
    result.push_back(k_.gather(vectorOf(k_.typeOf(dtype)), column, slot, isKept));
  }
  return result;
}

/// The draws of all lanes side by side: of one token they are twenty products one behind the other.
Values TokenLanes::draws(ir::RandomOp op) {
  mlir::Value value = op.getResult();
  int64_t width = *widthOf(value, perRow_);
  unsigned stream = 0;
  for (ir::RandomOp other : op->getBlock()->getOps<ir::RandomOp>()) {
    if (other == op)
      break;
    ++stream;
  }
  Value rows = k_.mul(k_.add(k_.broadcast(first_, lanes_), k_.iota(k_.i64(), lanes_)), width);
  if (isShared(value) && !perRow_.contains(value)) // one row for all
    rows = k_.zero(rows.getType());
  Values result;
  for (int64_t j = 0; j < width; ++j)
    result.push_back(drawAt(k_, op.getDistribution(), dtypeOf(value), stream, k_.add(rows, j)));
  return result;
}

Values TokenLanes::compute(mlir::Operation* op) {
  mlir::Value result = op->getResult(0);
  size_t width = static_cast<size_t>(*widthOf(result, perRow_));
  return llvm::TypeSwitch<mlir::Operation*, Values>(op)
      .Case([&](ir::ConstantOp constant) { return this->constant(constant); })
      .Case([&](ir::SizeOp size) { return Values{k_.broadcast(numberOf(k_, size), lanes_)}; })
      .Case([&](ir::SoftmaxOp softmax) { return this->softmax(softmax.getX(), dtypeOf(result)); })
      .Case([&](ir::ReduceOp reduce) { return this->reduce(reduce); })
      .Case([&](ir::TakeOp take) { return this->take(take); })
      .Case([&](ir::SoftmaxGradOp grad) { return softmaxGrad(grad); })
      .Case([&](ir::SelectGradOp grad) { return selectGrad(grad); })
      .Case([&](ir::ChoiceValuesOp values) { return choiceValues(values); })
      .Case([&](ir::RandomOp random) { return draws(random); })
      .Case([&](ir::SliceOp slice) {
        auto start = static_cast<size_t>(*Size::parse(slice.getStart().str()).constant());
        return Values(llvm::ArrayRef(elements(slice.getX())).slice(start, width));
      })
      .Case([&](ir::ConcatOp concat) {
        Values all;
        for (mlir::Value x : concat.getXs())
          all.append(elements(x));
        return all;
      })
      .Default([&](mlir::Operation*) {
        std::vector<Values> operands;
        for (mlir::Value operand : op->getOperands())
          operands.push_back(elements(operand));
        Values made;
        for (size_t j = 0; j < width; ++j) {
          Values of;
          for (const Values& operand : operands)
            of.push_back(at(operand, j));
          made.push_back(elementwise(k_, op, of));
        }
        return made;
      });
}

} // namespace moec::codegen::cpu
