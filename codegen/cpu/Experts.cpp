// moe.kernel of kinds `expert_up`, `expert_mid` and `expert_down`: products of each expert's rows with its own weights.
//   for each (expert, block of its rows, run of panels):  rows of x (gathered) or of the rows so far  x  panels of the expert, epilogue
//   expert_down only, for each token:                     sum over its kept choices of weight times row, in choice order, epilogue
// Results of expert_down may be values of the rows, too: those that the combine reads then lie in the result instead of a workspace.
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/RoutingView.h"

namespace moec::codegen::cpu {
namespace {

RoutingView viewOf(KernelBuilder& k, const ExpertPlan& plan) { return RoutingView::of(k, ir::GroupedMatmulOp(plan.op).getRouting(), k.input(plan.routing)); }

/// Where a value of the rows goes: an output, or a workspace.
struct Destination {
  bool inWorkspace = false;
  unsigned number = 0;

  Value base(KernelBuilder& k) const { return inWorkspace ? k.workspace(number) : k.output(number); }
};

mlir::LogicalResult requirePacked(ir::KernelOp kernel, const ProductOperand& b) {
  if (!b.nr)
    return kernel.emitOpError("takes plain weights: the experts' weights must be packed (moe.pack)");
  return mlir::success();
}

void productStage(KernelBuilder& k, const ExpertPlan& plan, const ProductSchedule& schedule, const Epilogue& epilogue,
                  llvm::ArrayRef<Destination> destinations) {
  const ProductOperand& b = plan.b;
  Size panels = b.panels(schedule.nr), blocks = mostExpertBlocks(plan.rows(), plan.experts(), schedule.rowBlock);
  Size inItem = panelsOfItem(schedule, blocks, panels), groups = Size::ceilDiv(panels, inItem);
  k.stage(blocks * groups, plan.rows() * b.columns * b.depth * Size(2), [&](Value item) {
    RoutingView routing = viewOf(k, plan);
    Value group = k.rem(item, k.size(groups)), depth = k.size(b.depth);
    ExpertBlock block = expertBlock(k, routing, k.div(item, k.size(groups)), schedule.rowBlock, schedule.rows);
    k.when(k.compare(ir::Predicate::GE, block.expert, k.index(0)), [&] {
      Matrix a{k.at(k.input(plan.a), k.mul(block.first, depth), plan.dtype), depth};
      auto rowAt = [&](Value row) {
        if (!plan.gathered)
          return k.at(a.base, k.mul(row, depth), plan.dtype);
        Value choice = RoutingView::element(k, routing.rowList(k), k.add(block.first, row));
        return k.at(k.input(plan.a), k.mul(k.div(choice, plan.choices), depth), plan.dtype);
      };
      Value matrix = k.mul(block.expert, k.size(panels * b.depth * Size(schedule.nr)));
      Value begin = k.mul(group, k.size(inItem)), end = k.min(k.add(begin, k.size(inItem)), k.size(panels));
      ProductBlock product{sumType(plan.dtype), a, block.rows, k.at(k.input(b.input), matrix, b.dtype), depth, begin, end, b.dtype};
      if (b.scaled) {
        product.group = b.scaled->size;
        Size scales = panels * Size::ceilDiv(b.depth, product.group) * Size(schedule.nr);
        product.scales = k.at(k.input(b.scaled->input), k.mul(block.expert, k.size(scales)), DType::BF16);
      }
      if (plan.gathered || schedule.packRows)
        product.rowAt = rowAt;
      product.rowType = plan.dtype;
      Values bases;
      for (const Destination& destination : destinations)
        bases.push_back(destination.base(k));
      Piece piece{{}, block.first, block.expert, {}, 1, {}};
      product.read = epilogue.reads(piece);
      multiplyPanels(k, schedule, product, [&](Value panel, Value first, Value rows, const Matrix& tile) {
        epilogue.storePanel(piece.below(k, first), rows, panel, schedule.nr, tile, bases);
      });
    });
  });
}

//===--- expert_down: the rows of a token become one ---===//

// Tokens of an item: enough that calling it costs nothing.
constexpr int64_t tokenBlock = 16;

void combineStage(KernelBuilder& k, const ExpertPlan& plan, const CombinePlan& combine, const Epilogue& epilogue, const Destination& rows) {
  ir::Sizes sizes = ir::sizesOf(mlir::Value(ir::CombineOp(combine.op).getResult())); // (T, D)
  Size tokens = sizes[0], width = sizes[1];
  mlir::Type element = k.typeOf(plan.dtype);
  DType ofWeights = dtypeOf(mlir::Value(ir::CombineOp(combine.op).getWeights()));
  int64_t lanes = k.lanes(plan.dtype);
  k.stage(Size::ceilDiv(tokens, tokenBlock), tokens * width * Size(plan.choices * 2), [&](Value item) {
    RoutingView routing = viewOf(k, plan);
    Value first = k.mul(item, tokenBlock), last = k.min(k.add(first, tokenBlock), k.size(tokens));
    k.loop(first, last, k.index(1), [&](Value token) {
      Value firstChoice = k.mul(token, plan.choices);
      auto term = [&](Value choice) { // its weight, whether it is kept, where its row starts
        Value place = k.add(firstChoice, choice), slot = RoutingView::element(k, routing.slots(k), place);
        Value kept = k.compare(ir::Predicate::GE, slot, k.index(0));
        Value row = k.at(rows.base(k), k.mul(k.max(slot, k.index(0)), k.size(width)), plan.dtype);
        return Values{k.loadElements(ofWeights, k.at(k.input(combine.weights), place, ofWeights), 1), kept, row};
      };
      auto add = [&](Value sum, const Values& t, Value column, Value mask) {
        Value row = k.loadElements(plan.dtype, k.at(t[2], column, plan.dtype), lanes, mask);
        return k.choose(t[1], k.fma(k.broadcast(t[0], lanes), row, sum), sum);
      };
      std::vector<Values> terms;
      bool few = plan.choices <= 8;
      for (int64_t choice = 0; few && choice < plan.choices; ++choice)
        terms.push_back(term(k.index(choice)));
      k.vectorLoop(k.size(width), lanes, [&](Value column, Value mask) {
        Value sum = k.zero(k.vectorOf(element, lanes));
        for (const Values& t : terms)
          sum = add(sum, t, column, mask);
        if (!few)
          sum = k.loop(k.index(0), k.index(plan.choices), k.index(1), {sum},
                       [&](Value choice, const Values& carried) { return Values{add(carried[0], term(choice), column, mask)}; })[0];
        Piece piece{{}, token, {}, column, lanes, mask};
        for (auto [i, result] : llvm::enumerate(epilogue.apply(piece, sum))) {
          unsigned number = combine.ofTokens[i];
          DType to = dtypeOf(yieldOf(k.kernel())->getOperand(number));
          k.storeElements(to, result, k.at(k.output(number), epilogue.offset(piece), to), mask);
        }
      });
    });
  });
}

mlir::DictionaryAttr scheduleExperts(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = ExpertPlan::of(kernel);
  if (failed(plan))
    return {};
  ProductShape shape{plan->dtype, Size::ceilDiv(plan->rows(), plan->experts()), plan->b.columns, plan->b.depth, plan->gathered, plan->b.nr};
  if (plan->b.scaled)
    shape.group = plan->b.scaled->size;
  shape.inPairs = !plan->b.nr || plan->b.inPairs; // plain weights of experts are packed before they are used
  ProductSchedule schedule = chooseProduct(shape, target);
  if (auto why = schedule.illegal(target, plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace

mlir::LogicalResult buildExpertUp(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = ExpertPlan::of(kernel);
  if (failed(plan) || failed(requirePacked(kernel, plan->b)))
    return mlir::failure();
  auto schedule = productScheduleOf(kernel, k.target(), plan->dtype, plan->b);
  if (failed(schedule))
    return mlir::failure();
  Values sinks(yieldOf(kernel)->getOperands());
  auto epilogue = Epilogue::make(k, plan->op.getResult(), sinks, 0);
  if (failed(epilogue))
    return mlir::failure();
  llvm::SmallVector<Destination> outputs;
  for (unsigned i = 0; i < k.outputCount(); ++i)
    outputs.push_back(Destination{false, i});
  productStage(k, *plan, *schedule, *epilogue, outputs);
  return mlir::success();
}

mlir::LogicalResult buildExpertDown(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = ExpertPlan::of(kernel);
  if (failed(plan) || failed(requirePacked(kernel, plan->b)))
    return mlir::failure();
  auto schedule = productScheduleOf(kernel, k.target(), plan->dtype, plan->b);
  auto combine = CombinePlan::of(kernel, *plan);
  if (failed(schedule) || failed(combine))
    return mlir::failure();
  Values rowSinks{combine->op.getRows()}, tokenSinks;
  llvm::SmallVector<Destination> destinations;
  destinations.push_back(Destination{!combine->rows, combine->rows.value_or(0)});
  for (unsigned i : combine->ofRows)
    if (i != combine->rows) {
      rowSinks.push_back(yieldOf(kernel)->getOperand(i));
      destinations.push_back(Destination{false, i});
    }
  for (unsigned i : combine->ofTokens)
    tokenSinks.push_back(yieldOf(kernel)->getOperand(i));
  auto ofRows = Epilogue::make(k, plan->op.getResult(), rowSinks, 0);
  auto ofTokens = Epilogue::make(k, combine->op.getResult(), tokenSinks, 0);
  if (failed(ofRows) || failed(ofTokens))
    return mlir::failure();
  if (destinations[0].inWorkspace)
    destinations[0].number = k.addWorkspace(bytesOf(plan->dtype, plan->rows() * plan->b.columns));
  productStage(k, *plan, *schedule, *ofRows, destinations);
  combineStage(k, *plan, *combine, *ofTokens, destinations[0]);
  return mlir::success();
}

mlir::DictionaryAttr scheduleExpertUp(ir::KernelOp kernel, const CpuTarget& target) { return scheduleExperts(kernel, target); }
mlir::DictionaryAttr scheduleExpertDown(ir::KernelOp kernel, const CpuTarget& target) { return scheduleExperts(kernel, target); }

} // namespace moec::codegen::cpu
