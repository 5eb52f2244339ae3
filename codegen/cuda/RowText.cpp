#include "codegen/cuda/RowText.h"

#include "codegen/Limits.h"
#include "codegen/analysis/Rows.h"
#include "codegen/cuda/Schedule.h"

#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

namespace moec::codegen::cuda {

namespace {

/// A row of more elements for each thread would spill: it is walked in a loop.
constexpr int64_t kMostTurns = 32;

/// Rows that a group holds at once for the op.
int64_t rowsHeldBy(mlir::Operation* op) { return mlir::isa<ir::LayerNormGradOp, ir::RmsNormGradOp, ir::SoftmaxGradOp>(op) ? 2 : 1; }

/// About how many operations the op takes for each element of its row.
int64_t rowCost(mlir::Operation* op) {
  if (mlir::isa<ir::SoftmaxOp, ir::LogSumExpOp, ir::CrossEntropyOp, ir::CrossEntropyGradOp>(op))
    return 40;
  if (mlir::isa<ir::LayerNormGradOp, ir::RmsNormGradOp>(op))
    return 20;
  if (mlir::isa<ir::LayerNormOp, ir::RmsNormOp>(op))
    return 10;
  if (auto grad = mlir::dyn_cast<ir::SelectGradOp>(op))
    return 2 * *ir::sizesOf(grad.getDy()).back().constant();
  return mlir::isa<ir::SoftmaxGradOp, ir::IsTopOp>(op) ? 4 : elementCost(op);
}

} // namespace

//===--- schedule ---===//

std::optional<std::string> RowSchedule::illegal() const {
  if (!llvm::isPowerOf2_64(static_cast<uint64_t>(groupThreads)) || groupThreads < 1 || groupThreads > 1024)
    return "group_threads " + std::to_string(groupThreads) + " must be a power of two up to 1024";
  if (rowsPerBlock < 1 || threads() > 1024 || threads() % 32 != 0)
    return "rows_per_block " + std::to_string(rowsPerBlock) + " times group_threads " + std::to_string(groupThreads) +
           " must be whole warps, at most 1024 threads";
  if (groupThreads > 32 && rowsPerBlock != 1)
    return "groups of more than a warp are whole blocks: rows_per_block must be 1, not " + std::to_string(rowsPerBlock);
  return std::nullopt;
}

RowSchedule RowSchedule::of(const std::optional<int64_t>& width, int64_t words, int64_t threads) {
  if (!width)
    return {threads, 1};
  auto size = static_cast<uint64_t>(*width);
  int64_t group = std::min<int64_t>(32, static_cast<int64_t>(llvm::PowerOf2Ceil(size)));
  if (*width * words > 32 * kMostTurns) // about 16 words for a thread, which leaves each 128 registers
    group = std::clamp<int64_t>(static_cast<int64_t>(llvm::bit_floor(size * static_cast<uint64_t>(words) / 16)), threads, 512);
  return {group, std::max<int64_t>(1, threads / group)};
}

mlir::FailureOr<RowSchedule> RowSchedule::of(ir::KernelOp kernel) {
  auto group = fieldOf(kernel, "group_threads", 1, 1024), rows = fieldOf(kernel, "rows_per_block", 1, 1024);
  if (mlir::failed(group) || mlir::failed(rows))
    return mlir::failure();
  RowSchedule schedule{*group, *rows};
  if (auto why = schedule.illegal())
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  return schedule;
}

//===--- rows ---===//

RowText::RowText(KernelText& k, Lines& out, std::vector<mlir::Operation*> ops, ir::Sizes leading, const RowSchedule& schedule)
    : k_(k), out_(out), texts_(k, out), ops_(std::move(ops)), leading_(std::move(leading)), schedule_(schedule), perRow_(onePerRow(ops_, leading_)) {
  k_.use("rows.cuh");
}

Size RowText::widthOf(mlir::Value value) const {
  ir::Sizes sizes = ir::sizesOf(value);
  return isPerRow(value) || sizes.empty() ? Size(1) : sizes.back();
}

std::optional<int64_t> RowText::widest(llvm::ArrayRef<mlir::Operation*> ops) {
  int64_t most = 1;
  llvm::DenseSet<mlir::Value> perRow = onePerRow(ops, leadingOfRows(ops));
  auto see = [&](mlir::Value value) {
    ir::Sizes sizes = ir::sizesOf(value);
    if (sizes.empty() || perRow.contains(value))
      return true;
    most = std::max(most, sizes.back().constant().value_or(1));
    return sizes.back().constant().has_value();
  };
  for (mlir::Operation* op : ops) {
    bool along = worksAlongRows(op) && !mlir::isa<ir::SliceOp, ir::ConcatOp>(op);
    if (!llvm::all_of(op->getResults(), see) || (along && !see(rowOperand(op))))
      return std::nullopt;
  }
  return most;
}

int64_t RowText::wordsOf(llvm::ArrayRef<mlir::Operation*> ops) {
  bool wide = llvm::any_of(ops, [](mlir::Operation* op) { return byteSize(dtypeOf(op->getResult(0))) > 4; });
  bool two = llvm::any_of(ops, [](mlir::Operation* op) { return mlir::isa<ir::SelectOp>(op) || rowsHeldBy(op) > 1; });
  return (wide ? 2 : 1) * (two ? 2 : 1);
}

mlir::LogicalResult RowText::check() {
  ir::KernelOp kernel = k_.kernel();
  for (mlir::Operation* op : ops_) {
    if (!holdsRows(op))
      return kernel.emitError() << "internal: a kernel over rows cannot hold " << op->getName();
    if (isRouted(op) && mlir::failed(checkRouted(op)))
      return mlir::failure();
    if (auto select = mlir::dyn_cast<ir::SelectOp>(op); select && !turnsOf(widthOf(select.getScores())))
      return beyondTarget(kernel, k_.target().name) << "moe.select from rows of " << widthOf(select.getScores()).str() << " does not fit the registers of "
                                                    << schedule_.groupThreads << " threads";
    for (mlir::Value value : op->getResults()) {
      ir::Sizes own = ir::sizesOf(value);
      own = isPerRow(value) ? own : leadingSizes(own);
      if (!mlir::isa<ir::ConstantOp>(op) && !(ir::product(own) == ir::product(leading_)) && !(ir::product(own) == Size(1)))
        return kernel.emitError() << "internal: " << op->getName() << " gives " << ir::describe(ir::sizesOf(value)) << " in a kernel over rows "
                                  << ir::describe(leading_);
    }
  }
  return mlir::success();
}

Size RowText::operations() const {
  Size total = 0;
  for (mlir::Operation* op : ops_) {
    if (mlir::isa<ir::ConstantOp>(op))
      continue;
    int64_t cost = rowCost(op);
    if (auto select = mlir::dyn_cast<ir::SelectOp>(op))
      cost = 4 * select.getK();
    if (auto combine = mlir::dyn_cast<ir::CombineOp>(op))
      cost = 2 * *ir::sizesOf(combine.getWeights()).back().constant();
    total = total + widthOf(givesOnePerRow(op) || mlir::isa<ir::SelectOp>(op) ? op->getOperand(0) : op->getResult(0)) * Size(cost);
  }
  return total;
}

bool RowText::isWide() const {
  return llvm::any_of(ops_, [&](mlir::Operation* op) {
    mlir::Value x = worksAlongRows(op) ? rowOperand(op) : mlir::Value();
    return x && turnsOf(widthOf(x)) * static_cast<int64_t>(std::max<size_t>(4, byteSize(dtypeOf(x)))) * rowsHeldBy(op) > 64;
  });
}

void RowText::print(const Row& row) {
  row_ = row;
  for (mlir::Operation* op : ops_)
    if (isRouted(op))
      printRouted(op);
  for (mlir::Operation* op : ops_)
    llvm::TypeSwitch<mlir::Operation*>(op)
        .Case([&](ir::SoftmaxOp softmax) { printSoftmax(softmax); })
        .Case([&](ir::LayerNormOp norm) { printNorm(norm); })
        .Case([&](ir::RmsNormOp norm) { printRmsNorm(norm); })
        .Case([&](ir::ReduceOp reduce) { printReduce(reduce); })
        .Case([&](ir::SelectOp select) { printSelect(select); })
        .Case([&](ir::TakeOp take) { printTake(take); })
        .Case([&](ir::LayerNormGradOp grad) { printNormGrad(grad, grad.getDy(), grad.getX(), grad.getWeight(), grad.getEps().convertToDouble()); })
        .Case([&](ir::RmsNormGradOp grad) { printNormGrad(grad, grad.getDy(), grad.getX(), grad.getWeight(), grad.getEps().convertToDouble()); })
        .Case([&](ir::SoftmaxGradOp grad) { printSoftmaxGrad(grad); })
        .Case([&](ir::LogSumExpOp sum) { printLogSumExp(sum); })
        .Case([&](ir::CrossEntropyOp loss) { printCrossEntropy(loss); })
        .Case([&](ir::IsTopOp top) { printIsTop(top); })
        .Case([&](ir::CrossEntropyGradOp grad) { printCrossEntropyGrad(grad); })
        .Case([&](ir::SelectGradOp grad) { printSelectGrad(grad); });
  printSinks();
}

//===--- a row's elements ---===//

/// The place of a value's element in the current row.
Coordinates RowText::placeOf(mlir::Value value, const std::string& column) const {
  ir::Sizes sizes = ir::sizesOf(value);
  Coordinates at = row_.at;
  if (!isPerRow(value))
    at.push_back(column);
  return broadcastPlace(sizes, at);
}

int64_t RowText::turnsOf(const Size& width) const {
  int64_t turns = (width.constant().value_or(0) + schedule_.groupThreads - 1) / schedule_.groupThreads;
  return turns <= kMostTurns ? turns : 0;
}

void RowText::openLoop(const Size& width) {
  texts_.forget();
  turns_ = turnsOf(width);
  int64_t group = schedule_.groupThreads;
  if (!turns_) {
    out_.open("for (long long column = lane; column < {}; column += {})", k_.size(width), group);
    return;
  }
  out_.add("#pragma unroll");
  out_.open("for (int j = 0; j < {}; ++j)", turns_);
  out_.line("const int column = lane + j * {};", group);
  if (*width.constant() % group != 0) {
    out_.line("if (column >= {})", k_.size(width));
    out_.line("  continue;");
  }
}

void RowText::closeLoop() {
  out_.close();
  texts_.forget();
}

std::string RowText::define(DType type, std::string_view name, const std::string& expression) {
  std::string variable = texts_.fresh(name);
  out_.line("const {} {} = {};", registerType(type), variable, expression);
  return variable;
}

std::string RowText::rounded(DType type, const std::string& expression) const {
  return type == DType::BF16 ? fmt::format("toFloat(toBfloat16({}))", expression) : expression;
}

/// What an element costs that is computed again; where that is more than `most`, any number above it.
int64_t RowText::costOf(mlir::Value value, int64_t most) const {
  mlir::Operation* op = value.getDefiningOp();
  if (!op || held_.contains(value))
    return 1;
  int64_t cost = mlir::isa<ir::SoftmaxOp>(op) ? 40 : elementCost(op);
  for (mlir::Value operand : op->getOperands()) {
    if (cost > most) // an op that others share is asked for each of them
      break;
    cost += costOf(operand, most - cost);
  }
  return cost;
}

void RowText::hold(mlir::Value value) {
  constexpr int64_t kCheap = 8; // operations that take no longer than a read of global memory
  if (held_.contains(value))
    return;
  Size width = widthOf(value);
  bool known = turnsOf(width) > 0;
  if (!known && costOf(value, kCheap) <= kCheap)
    return;
  DType type = dtypeOf(value) == DType::BF16 ? DType::F32 : dtypeOf(value);
  std::string name, place;
  if (known) {
    name = texts_.fresh("held");
    bool whole = *width.constant() % schedule_.groupThreads == 0;
    out_.line("{} {}[{}]{};", registerType(type), name, turnsOf(width), whole ? "" : " = {}");
    place = name + "[j]";
  } else {
    ir::Sizes sizes = leading_;
    sizes.push_back(width);
    name = k_.addWorkspace(type, ir::product(sizes));
    Coordinates at = row_.at;
    at.push_back("column");
    place = fmt::format("{}[{}]", name, linearIndex(k_, sizes, at));
  }
  openLoop(width);
  std::string element = texts_.element(value, placeOf(value, "column"));
  if (!known && !row_.live.empty())
    out_.line("if ({})", row_.live);
  out_.line("{} = {};", place, element);
  closeLoop();
  held_[value] = name;
  // Elsewhere in the row the element is computed again: it stands in another thread's registers.
  ElementText::Source before = texts_.sourceOf(value);
  int64_t turns = turnsOf(width);
  texts_.bind(value, [this, place, before, turns](const Coordinates& at) {
    if (!at.empty() && at.back() == "column" && turns_ <= turns)
      return place;
    return before ? before(at) : std::string();
  });
}

std::string RowText::registersOf(mlir::Value value) {
  hold(value);
  return held_.lookup(value);
}

//===--- ops that see a whole row ---===//

/// Folds map(element of x) over the row; gives the result's name.
std::string RowText::fold(mlir::Value x, std::string_view name, const std::string& first, std::string_view with,
                          const std::function<std::string(std::string)>& map) {
  DType type = dtypeOf(x);
  std::string part = texts_.fresh("part");
  out_.line("{} {} = {};", registerType(type), part, first);
  openLoop(widthOf(x));
  out_.line("{0} = {1}()({0}, {2});", part, with, map(texts_.element(x, placeOf(x, "column"))));
  closeLoop();
  return define(type, name, fmt::format("Rows::fold({}, {}())", part, with));
}

std::string RowText::countOf(mlir::Value x) const { return fmt::format("({}){}", registerType(dtypeOf(x)), k_.size(widthOf(x))); }

void RowText::printSoftmax(ir::SoftmaxOp op) {
  mlir::Value x = op.getX(), result = op.getResult();
  DType type = dtypeOf(x);
  ElementText::Source share = sharesOf(x);
  bind(result, [this, type, share](const Coordinates& at) { return define(type, "softmax", rounded(type, share(at))); });
}

/// Prints the row's maximum and the sum of its powers; gives an expression for exp(x - maximum) / sum of an element.
ElementText::Source RowText::sharesOf(mlir::Value x) {
  DType type = dtypeOf(x);
  auto same = [](std::string element) { return element; };
  hold(x);
  std::string most = fold(x, "most", literal(type, -std::numeric_limits<double>::infinity()), "Maximum", same);
  auto power = [most](const std::string& element) { return fmt::format("math::exp({} - {})", element, most); };
  std::string powers, sum;
  int64_t turns = turnsOf(widthOf(x));
  if (turns) {
    powers = texts_.fresh("power");
    out_.line("{} {}[{}]{};", registerType(type), powers, turns, *widthOf(x).constant() % schedule_.groupThreads == 0 ? "" : " = {}");
    sum = fold(x, "sum", literal(type, 0), "Sum", [&](const std::string& element) {
      out_.line("{}[j] = {};", powers, power(element));
      return powers + "[j]";
    });
  } else {
    sum = fold(x, "sum", literal(type, 0), "Sum", power);
  }
  return [this, x, powers, sum, power, turns](const Coordinates& at) {
    bool own = turns && at.back() == "column" && turns_ <= turns;
    std::string numerator = own ? powers + "[j]" : power(texts_.element(x, broadcastPlace(ir::sizesOf(x), at)));
    return fmt::format("{} / {}", numerator, sum);
  };
}

/// Two passes: the mean, then the mean of squared distances from it.
void RowText::printNorm(ir::LayerNormOp op) {
  mlir::Value x = op.getX(), weight = op.getWeight(), bias = op.getBias();
  DType type = dtypeOf(x);
  hold(x);
  std::string total = fold(x, "total", literal(type, 0), "Sum", [](std::string element) { return element; });
  std::string mean = define(type, "mean", fmt::format("{} / {}", total, countOf(x)));
  std::string squares =
      fold(x, "squares", literal(type, 0), "Sum", [&](const std::string& element) { return fmt::format("({0} - {1}) * ({0} - {1})", element, mean); });
  DType computed = type == DType::F64 ? DType::F64 : DType::F32;
  std::string scale = define(
      type, "scale", fmt::format("{} / math::sqrt({} / {} + {})", literal(computed, 1), squares, countOf(x), literal(computed, op.getEps().convertToDouble())));
  bind(op.getResult(), [this, x, weight, bias, type, mean, scale](const Coordinates& at) {
    std::string text = fmt::format("({} - {}) * {}", texts_.element(x, at), mean, scale);
    if (weight)
      text = fmt::format("{} * {}", text, texts_.element(weight, {at.back()}));
    if (bias)
      text = fmt::format("{} + {}", text, texts_.element(bias, {at.back()}));
    return define(type, "norm", rounded(type, text));
  });
}

void RowText::printRmsNorm(ir::RmsNormOp op) {
  mlir::Value x = op.getX(), weight = op.getWeight();
  DType type = dtypeOf(x), computed = type == DType::F64 ? DType::F64 : DType::F32;
  hold(x);
  std::string squares = fold(x, "squares", literal(type, 0), "Sum", [](const std::string& element) { return fmt::format("{0} * {0}", element); });
  std::string scale = define(
      type, "scale", fmt::format("{} / math::sqrt({} / {} + {})", literal(computed, 1), squares, countOf(x), literal(computed, op.getEps().convertToDouble())));
  bind(op.getResult(), [this, x, weight, type, scale](const Coordinates& at) {
    std::string text = fmt::format("{} * {}", texts_.element(x, at), scale);
    if (weight)
      text = fmt::format("{} * {}", text, texts_.element(weight, {at.back()}));
    return define(type, "norm", rounded(type, text));
  });
}

void RowText::printReduce(ir::ReduceOp op) {
  mlir::Value x = op.getX();
  DType type = dtypeOf(x);
  bool isMax = op.getKind() == ir::ReduceKind::Max;
  hold(x);
  std::string result = fold(x, isMax ? "most" : "total", literal(type, isMax ? -std::numeric_limits<double>::infinity() : 0), isMax ? "Maximum" : "Sum",
                            [](std::string element) { return element; });
  if (op.getKind() == ir::ReduceKind::Mean)
    result = define(type, "mean", fmt::format("{} / {}", result, countOf(x)));
  if (type == DType::BF16)
    result = define(type, "reduced", rounded(type, result));
  bind(op.getResult(), [result](const Coordinates&) { return result; });
}

void RowText::printSelect(ir::SelectOp op) {
  mlir::Value x = op.getScores();
  DType type = dtypeOf(x);
  int64_t width = *widthOf(x).constant(), choices = static_cast<int64_t>(op.getK());
  std::string scores = registersOf(x), best = texts_.fresh("best"), chosen = texts_.fresh("chosen");
  out_.line("__shared__ {} {}[{}][{}];", registerType(type), best, schedule_.rowsPerBlock, choices);
  out_.line("__shared__ int {}[{}][{}];", chosen, schedule_.rowsPerBlock, choices);
  out_.line("selectLargest<Rows, {}, {}>({}, {}[{}], {}[{}]);", width, choices, scores, best, row_.slot, chosen, row_.slot);
  auto at = [this](DType type, std::string name) {
    return [this, type, name](const Coordinates& place) { return define(type, "choice", fmt::format("{}[{}][{}]", name, row_.slot, place.back())); };
  };
  bind(op.getValues(), at(type, best));
  bind(op.getIndices(), at(DType::I32, chosen));
}

/// An element is computed where it is taken.
void RowText::printTake(ir::TakeOp op) {
  mlir::Value x = op.getX(), indices = op.getIndices();
  DType type = dtypeOf(x);
  bind(op.getResult(), [=, this](const Coordinates& at) {
    std::string index = texts_.element(indices, at), isThere = texts_.fresh("isThere"), place = texts_.fresh("taken");
    out_.line("const bool {} = (unsigned){} < {}u;", isThere, index, *widthOf(x).constant());
    out_.line("const int {} = {} ? {} : 0;", place, isThere, index);
    return define(type, "take",
                  fmt::format("{} ? {} : {}", isThere, texts_.element(x, placeOf(x, place)), literal(type == DType::BF16 ? DType::F32 : type, 0)));
  });
}

//===--- results ---===//

/// Values of one width in one loop; those with one element per row by the group's first thread.
void RowText::printSinks() {
  std::vector<Sink> open = row_.sinks;
  auto print = [&](const Sink& sink, const std::string& column) {
    Coordinates at = placeOf(sink.value, column);
    out_.add(storeText(dtypeOf(sink.value), sink.pointer, linearIndex(k_, ir::sizesOf(sink.value), at), texts_.element(sink.value, at)));
  };
  // A value that all rows share is written by the first.
  auto condition = [&](const Sink& sink, const char* first) {
    ir::Sizes sizes = ir::sizesOf(sink.value);
    bool shared = !isPerRow(sink.value) && !(ir::product(leadingSizes(sizes)) == ir::product(leading_));
    std::string text = first;
    for (const std::string& part : {row_.live, std::string(shared ? "row == 0" : "")})
      if (!part.empty())
        text += (text.empty() ? "" : " && ") + part;
    return text;
  };
  while (!open.empty()) {
    Sink first = open.front();
    Size width = widthOf(first.value);
    bool one = width == Size(1);
    std::string when = condition(first, one ? "lane == 0" : "");
    auto same = [&](const Sink& sink) { return widthOf(sink.value) == width && condition(sink, one ? "lane == 0" : "") == when; };
    if (!when.empty())
      out_.open("if ({})", when);
    texts_.forget();
    turns_ = 1;
    if (!one)
      openLoop(width);
    for (const Sink& sink : open)
      if (same(sink))
        print(sink, one ? "0" : "column");
    if (!one)
      closeLoop();
    if (!when.empty())
      out_.close();
    texts_.forget();
    llvm::erase_if(open, same);
  }
}

} // namespace moec::codegen::cuda
