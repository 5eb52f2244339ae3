// moe.kernel of kind `moe_layer`: blocks of tokens go through a whole MoE layer by themselves.
//   for a block of tokens:              scores and what the rows' ops make of them (GateRows.h); places (token, choice) by experts (LayerPlaces.h)
//     for each expert, group of rows:   rows of x (gathered) x panels, ops behind; those rows x the next panels, ...; the last ones to their places
//     for each token:                   sum over its kept choices of weight times row, in choice order, ops behind
// Where capacities count the rows of all tokens, or the routing or rows of the experts are results, the scores and a count of the places are a stage in front.
// Sums have the terms and the order that they have in `gate`, `expert_up`, `expert_mid` and `expert_down`: results have the same bits.
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/GateRows.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/LayerPlaces.h"
#include "codegen/cpu/LayerSchedule.h"

#include <fmt/format.h>

namespace moec::codegen::cpu {
namespace {

/// Rows of a matrix in scratch, whole panels wide; those that are multiplied a line apart from the next, so that they spread over L1.
struct RowBuffer {
  DType dtype;
  Value base;
  int64_t stride;

  Value at(KernelBuilder& k, Value row) const { return k.at(base, k.mul(row, stride), dtype); }
};

/// What the ops behind a product make: its sink, then the rows that are results.
Values madeBehind(ir::KernelOp kernel, const LayerProduct& product) {
  Values made{product.sink};
  for (unsigned number : product.given)
    made.push_back(yieldOf(kernel)->getOperand(number));
  return made;
}

/// Whether the ops that make some values read another.
bool isReadFor(Values open, mlir::Value value) {
  llvm::DenseSet<mlir::Value> seen;
  while (!open.empty()) {
    mlir::Value next = open.pop_back_val();
    if (next == value)
      return true;
    if (!seen.insert(next).second)
      continue;
    mlir::Operation* op = next.getDefiningOp();
    if (op && ir::isElementwise(op))
      open.append(op->operand_begin(), op->operand_end());
  }
  return false;
}

/// Of few tokens blocks are smaller than the schedule's: threads share a call that would be one.
Size tokensOfBlock(const LayerPlan& plan, const LayerSchedule& schedule) {
  constexpr int64_t kLeastTokens = 16, kLeastBlocks = 4;
  return Size::min(Size(schedule.block), Size::max(Size(kLeastTokens), Size::ceilDiv(plan.tokens, kLeastBlocks)));
}

class LayerWriter {
public:
  LayerWriter(KernelBuilder& k, ir::KernelOp kernel, LayerPlan plan, const LayerSchedule& schedule)
      : k_(k), kernel_(kernel), plan_(std::move(plan)), schedule_(schedule), inBlock_(tokensOfBlock(plan_, schedule)),
        gate_(k, plan_.gate, schedulesOfScores()), places_(k, kernel, plan_, schedule.block, Size::ceilDiv(plan_.tokens, inBlock_)) {}
  mlir::LogicalResult write();

private:
  std::vector<ProductSchedule> schedulesOfScores() const;
  bool isLast(size_t i) const { return i + 1 == plan_.products.size(); }
  mlir::LogicalResult makeEpilogues();
  void bindGate();
  void beginBlock(Value item);
  Value baseOf(mlir::Value value);
  Value ofBlock(mlir::Value value);
  RowBuffer rowBuffer(int64_t rows, int64_t columns, bool isMultiplied);
  void experts();
  void chain(Value expert, Value from, Value rows);
  void behind(size_t i, Value expert, Value panel, Value rows, const Matrix& tile, llvm::function_ref<Value(Value row)> placeOf);
  void combine();
  Size operations() const;

  KernelBuilder& k_;
  ir::KernelOp kernel_;
  LayerPlan plan_;
  LayerSchedule schedule_;
  Size inBlock_;
  GateRows gate_;
  LayerPlaces places_;
  std::vector<Epilogue> ofRows_; // of each product
  std::optional<Epilogue> ofTokens_;
  llvm::DenseMap<mlir::Value, unsigned> workspaces_; // of what the gate leaves for the experts in another stage
  // Of the block being written:
  Value block_, first_, tokens_;
  llvm::DenseMap<mlir::Value, Value> held_; // what the gate leaves for the block alone
  std::vector<RowBuffer> rows_;             // of a group, what each product leaves; of the block, what the last one does
};

std::vector<ProductSchedule> LayerWriter::schedulesOfScores() const {
  std::vector<ProductSchedule> schedules;
  for (const ScoreProduct& product : plan_.gate.products)
    schedules.push_back(schedule_.ofScores(product));
  return schedules;
}

mlir::LogicalResult LayerWriter::makeEpilogues() {
  for (auto [i, product] : llvm::enumerate(plan_.products)) {
    std::vector<HeldValue> held; // of products before, which go on behind this one
    for (size_t before = 0; before < i; ++before)
      held.push_back({plan_.products[before].sink, [this, before](const Piece& piece) {
                        return k_.loadElements(plan_.dtype, k_.at(rows_[before].at(k_, piece.row), piece.column, plan_.dtype), piece.lanes, piece.mask);
                      }});
    Values made = madeBehind(kernel_, product);
    std::erase_if(held, [&](const HeldValue& one) { return !isReadFor(made, one.value); });
    auto epilogue = Epilogue::make(k_, ir::GroupedMatmulOp(product.op).getResult(), made, 0, held);
    if (failed(epilogue))
      return mlir::failure();
    ofRows_.push_back(*epilogue);
  }
  Values sinks;
  for (unsigned i : plan_.results)
    sinks.push_back(yieldOf(kernel_)->getOperand(i));
  auto epilogue = Epilogue::make(k_, ir::CombineOp(plan_.combine).getResult(), sinks, 0);
  if (failed(epilogue))
    return mlir::failure();
  ofTokens_ = *epilogue;
  return mlir::success();
}

/// Rows of a value of tokens that the gate leaves: in a result; in a workspace, where the experts are another stage; or in scratch for the block alone.
void LayerWriter::bindGate() {
  for (mlir::BlockArgument argument : kernel_.getBody().front().getArguments())
    gate_.bindTensor(argument, [this, i = argument.getArgNumber()] { return k_.input(i); });
  for (mlir::Value value : plan_.wanted) {
    if (plan_.gate.isScores(value))
      continue;
    if (auto result = resultOf(kernel_, value))
      gate_.bindTensor(value, [this, result] { return k_.output(*result); });
    else if (places_.areOfAllTokens())
      gate_.bindTensor(value, [this, number = workspaces_[value] = k_.addWorkspace(bytesOf(dtypeOf(value), ir::product(ir::sizesOf(value))))] {
        return k_.workspace(number);
      });
    else
      gate_.bind(value, [this, value](Value token) {
        return k_.at(held_.lookup(value), k_.mul(k_.sub(token, first_), k_.size(ir::sizesOf(value).back())), dtypeOf(value));
      });
  }
  for (auto [i, product] : llvm::enumerate(plan_.gate.products))
    if (auto result = resultOf(kernel_, ir::MatmulOp(product.op).getResult()))
      gate_.writeScores(i, [this, result] { return k_.output(*result); });
}

/// Where a value of tokens lies, but for what the gate leaves for a block alone.
Value LayerWriter::baseOf(mlir::Value value) {
  auto result = resultOf(kernel_, value);
  auto argument = mlir::dyn_cast<mlir::BlockArgument>(value);
  return result ? k_.output(*result) : argument ? k_.input(argument.getArgNumber()) : k_.workspace(workspaces_.lookup(value));
}

/// Where the rows of the block's tokens begin.
Value LayerWriter::ofBlock(mlir::Value value) {
  if (Value held = held_.lookup(value))
    return held;
  return k_.at(baseOf(value), k_.mul(first_, k_.size(ir::sizesOf(value).back())), dtypeOf(value));
}

RowBuffer LayerWriter::rowBuffer(int64_t rows, int64_t columns, bool isMultiplied) {
  int64_t line = 64 / static_cast<int64_t>(byteSize(plan_.dtype)), stride = (columns + schedule_.nr - 1) / schedule_.nr * schedule_.nr;
  if (isMultiplied)
    stride = (stride + line - 1) / line * line + line;
  return {plan_.dtype, k_.scratch(bytesOf(plan_.dtype, Size(rows * stride))), stride};
}

void LayerWriter::experts() {
  for (auto [i, product] : llvm::enumerate(plan_.products))
    rows_.push_back(rowBuffer(isLast(i) ? schedule_.block * plan_.choices : schedule_.group, product.columns(), !isLast(i)));
  k_.loop(k_.index(0), k_.index(plan_.experts), k_.index(1), {k_.index(0)}, [&](Value expert, const Values& begin) {
    Value end = places_.end(expert);
    k_.loop(places_.start(expert, begin[0]), end, k_.index(schedule_.group),
            [&](Value from) { chain(expert, from, k_.min(k_.index(schedule_.group), k_.sub(end, from))); });
    return Values{end};
  });
}

// A group's rows, from their place in the list on, through one expert's products.
void LayerWriter::chain(Value expert, Value from, Value rows) {
  DType dtype = plan_.dtype, sums = sumType(dtype);
  RegisterBlock registers{sums, schedule_.rows, schedule_.nr / k_.lanes(sums), dtype};
  Matrix tile{k_.scratch(bytesOf(sums, Size(schedule_.group * schedule_.nr))), k_.index(schedule_.nr)};
  auto placeOf = [&](Value row) { return places_.place(k_.add(from, row)); };
  llvm::DenseMap<mlir::Value, Matrix> copies; // of the group's rows, which products side by side share
  for (auto [i, product] : llvm::enumerate(plan_.products)) {
    int64_t depth = product.depth(), panels = *product.w.panels(schedule_.nr).constant();
    const RowBuffer& before = rows_[product.from];
    Matrix a{before.base, k_.index(before.stride)};
    if (auto copy = copies.find(product.rows); copy != copies.end()) {
      a = copy->second;
    } else if (product.gathered || dtype != sums) {
      Value x = product.gathered ? ofBlock(product.rows) : Value();
      auto rowAt = [&](Value row) { return x ? k_.at(x, k_.mul(k_.div(placeOf(row), plan_.choices), depth), dtype) : before.at(k_, row); };
      a = copies[product.rows] = copyRows(k_, dtype, rows, schedule_.group, Size(depth), rowAt);
    }
    Value weights = k_.at(k_.input(product.w.input), k_.mul(expert, panels * depth * schedule_.nr), dtype);
    k_.loop(k_.index(0), k_.index(panels), k_.index(1), [&, i = i](Value panel) {
      multiply(k_, registers, rows, a, {k_.at(weights, k_.mul(panel, depth * schedule_.nr), dtype), k_.index(schedule_.nr)}, k_.index(depth), tile, false);
      behind(i, expert, panel, rows, tile, placeOf);
    });
  }
}

/// What stands behind a product, for the tile of one panel; row by row to where its elements belong: into the group's rows, of the last product to the places
/// of the block, and what is a result to the routing's slots.
void LayerWriter::behind(size_t i, Value expert, Value panel, Value rows, const Matrix& tile, llvm::function_ref<Value(Value row)> placeOf) {
  llvm::ArrayRef<unsigned> given = plan_.products[i].given;
  DType dtype = plan_.dtype;
  int64_t all = plan_.products[i].columns(), nr = schedule_.nr, lanes = Epilogue::lanesOfPieces(k_, dtype, Size(all), nr);
  mlir::Type vector = k_.vectorOf(k_.typeOf(dtype), lanes);
  Value start = k_.mul(panel, nr), columns = all % nr == 0 ? k_.index(nr) : k_.min(k_.index(nr), k_.sub(k_.index(all), start));
  k_.loop(0, rows, 1, [&](Value row) {
    Value from = k_.at(tile.base, k_.mul(row, tile.stride), k_.typeOf(dtype)), place = isLast(i) || !given.empty() ? placeOf(row) : Value();
    Value target = rows_[i].at(k_, isLast(i) ? place : row), first = given.empty() ? Value() : k_.mul(places_.slot(place), all);
    k_.vectorLoop(columns, lanes, [&](Value column, Value mask) {
      Piece piece{{}, row, expert, k_.add(start, column), lanes, mask};
      Values made = ofRows_[i].apply(piece, k_.load(vector, k_.at(from, column, k_.typeOf(dtype))));
      k_.storeElements(dtype, made[0], k_.at(target, piece.column, dtype), mask);
      for (auto [number, value] : llvm::zip(given, llvm::drop_begin(made))) {
        DType to = dtypeOf(yieldOf(kernel_)->getOperand(number));
        k_.storeElements(to, value, k_.at(k_.output(number), k_.add(first, piece.column), to), mask);
      }
    });
  });
}

void LayerWriter::combine() {
  auto op = ir::CombineOp(plan_.combine);
  DType dtype = plan_.dtype, ofWeights = dtypeOf(op.getWeights());
  Value weights = ofBlock(op.getWeights());
  int64_t lanes = k_.lanes(dtype);
  k_.loop(0, tokens_, 1, [&](Value token) {
    Value firstPlace = k_.mul(token, plan_.choices);
    auto term = [&](Value sum, Value choice, Value column, Value mask) {
      Value place = k_.add(firstPlace, choice), row = k_.loadElements(dtype, k_.at(rows_.back().at(k_, place), column, dtype), lanes, mask);
      Value more = k_.fma(k_.broadcast(k_.loadElements(ofWeights, k_.at(weights, place, ofWeights), 1), lanes), row, sum);
      Value kept = places_.isKept(place);
      return kept ? k_.choose(kept, more, sum) : more;
    };
    k_.vectorLoop(k_.index(plan_.width()), lanes, [&](Value column, Value mask) {
      Value sum = k_.zero(k_.vectorOf(k_.typeOf(dtype), lanes));
      if (plan_.choices <= 8) {
        for (int64_t choice = 0; choice < plan_.choices; ++choice)
          sum = term(sum, k_.index(choice), column, mask);
      } else {
        sum = k_.loop(k_.index(0), k_.index(plan_.choices), k_.index(1), {sum},
                      [&](Value choice, const Values& carried) { return Values{term(carried[0], choice, column, mask)}; })[0];
      }
      Piece piece{{}, k_.add(first_, token), {}, column, lanes, mask};
      for (auto [number, result] : llvm::zip(plan_.results, ofTokens_->apply(piece, sum))) {
        DType to = dtypeOf(yieldOf(kernel_)->getOperand(number));
        k_.storeElements(to, result, k_.at(k_.output(number), ofTokens_->offset(piece), to), mask);
      }
    });
  });
}

/// Of the experts and the combine.
Size LayerWriter::operations() const {
  Size operations = plan_.rows() * Size(16 + 2 * plan_.width());
  for (const LayerProduct& product : plan_.products)
    operations = operations + plan_.rows() * Size(2 * product.columns() * product.depth());
  return operations;
}

void LayerWriter::beginBlock(Value item) {
  block_ = item;
  first_ = k_.mul(item, k_.size(inBlock_));
  tokens_ = k_.min(k_.size(inBlock_), k_.sub(k_.size(plan_.tokens), first_));
}

mlir::LogicalResult LayerWriter::write() {
  bindGate();
  if (failed(makeEpilogues()) || failed(gate_.check()))
    return mlir::failure();
  Size blocks = Size::ceilDiv(plan_.tokens, inBlock_), ofGate = plan_.tokens * gate_.operations();
  auto rowsOf = [this](mlir::Value value) { return ofBlock(value); };
  if (places_.areOfAllTokens()) {
    k_.stage(blocks, ofGate, [&](Value item) {
      beginBlock(item);
      gate_.run(first_, tokens_, schedule_.block);
      places_.count(block_, tokens_, rowsOf);
    });
    places_.begin([this](mlir::Value value) -> Base { return [this, value] { return baseOf(value); }; });
  }
  k_.stage(blocks, places_.areOfAllTokens() ? operations() : ofGate + operations(), [&](Value item) {
    beginBlock(item);
    if (!places_.areOfAllTokens()) {
      for (mlir::Value value : plan_.wanted)
        if (!resultOf(kernel_, value))
          held_[value] = k_.scratch(bytesOf(dtypeOf(value), Size(schedule_.block) * ir::sizesOf(value).back()));
      gate_.run(first_, tokens_, schedule_.block);
    }
    places_.sort(block_, first_, tokens_, rowsOf);
    experts();
    combine();
  });
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildLayer(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = LayerPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  if (std::string why = obstacleToBlocks(*plan); !why.empty())
    return kernel.emitOpError("of kind \"moe_layer\" cannot go by blocks of tokens: ") << why;
  if (failed(checkScores(kernel, plan->gate)))
    return mlir::failure();
  auto schedule = LayerSchedule::of(kernel, *plan, k.target());
  if (failed(schedule))
    return mlir::failure();
  return LayerWriter(k, kernel, *plan, *schedule).write();
}

mlir::DictionaryAttr scheduleLayer(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = LayerPlan::of(kernel);
  if (failed(plan))
    return {};
  LayerSchedule schedule = chooseLayerSchedule(*plan, target);
  if (auto why = schedule.illegal(target, *plan)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

LayerChoice chooseLayer(ir::KernelOp kernel, const CpuTarget& target) {
  std::string refusal;
  mlir::ScopedDiagnosticHandler handler(kernel.getContext(), [&](mlir::Diagnostic& diagnostic) {
    refusal = diagnostic.str();
    return mlir::success();
  });
  auto plan = LayerPlan::of(kernel);
  if (failed(plan)) {
    constexpr std::string_view kWho = "'moe.kernel' op ";
    return {false, refusal.starts_with(kWho) ? "it " + refusal.substr(kWho.size()) : refusal};
  }
  if (std::string why = obstacleToBlocks(*plan); !why.empty())
    return {false, why};
  int64_t bytes = weightBytes(*plan);
  LayerSchedule schedule = chooseLayerSchedule(*plan, target);
  std::string figures = fmt::format("blocks of {} tokens read all experts' weights, {} KiB", schedule.block, (bytes + 1023) / 1024);
  if (bytes > kMostWeightBytes)
    return {false, fmt::format("{}: more than the {} KiB that stay in the cache", figures, kMostWeightBytes / 1024)};
  if (auto why = schedule.illegal(target, *plan))
    return {false, *why};
  return {true, figures + ", in the cache"};
}

} // namespace moec::codegen::cpu
