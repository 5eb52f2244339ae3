#include "models/gates/GShardGate.h"
#include "models/gates/Gates.h"
#include "models/gates/Priority.h"
#include "models/gates/Workers.h"

namespace moec::models {

namespace {

/// The routing without the second choices whose weight (T, 2) is less than half of a uniform draw.
mlir::Value dropAtRandom(Site& site, mlir::Value routing, mlir::Value weights) {
  mlir::Type element = site.routerElement();
  Size tokens = ir::sizesOf(weights)[0];
  Ops& ops = site.ops();
  mlir::Value draws = ops.random(ir::Distribution::Uniform, site.part("random_routing").path(), {tokens, 1}, element);
  // A first choice is compared with 0: it always stays. So does a weight that is NaN, which must not vanish unseen.
  mlir::Value thresholds = ops.mul(draws, ops.constant({1, 2}, {0, 1}, element));
  mlir::Value doubled = ops.mul(weights, ops.constant({1}, {2}, element));
  mlir::Value drops = ops.cast(ops.compare(ir::Predicate::LT, doubled, thresholds), element);
  return ops.drop(routing, ops.compare(ir::Predicate::EQ, drops, ops.constant({1}, {0}, element)));
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  Size count = ir::sizesOf(tokens)[0], rows = capacityGroups(site, arguments);
  std::optional<int64_t> workers = workersOf(site, arguments, count, experts);
  if (!workers)
    return std::nullopt;
  Size groups = *workers > 1 ? Size(*workers) : rows;
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Whole, Size::floorDiv(count, groups), 2, experts}, capacity))
    return std::nullopt;
  return gshardResult(site, arguments, tokens, experts, {*capacity, groups, groups});
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = gshardParameters("Each fills floor(ceil(rate * T / W) * 2 / E) places of every expert.");
  all.insert(all.begin() + 2, capacityPerParameter("\"call\"", "row: the paper's groups"));
  return all;
}

} // namespace

std::optional<GateResult> gshardResult(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts, const GShardRooms& rooms) {
  if (!checkChoices(site, arguments, experts))
    return std::nullopt;
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"), initsOf(arguments));
  Ops& ops = site.ops();
  auto [values, indices] = site.choose(logits, 2);
  mlir::Value weights = ops.softmax(values); // (T, 2)
  mlir::Value routing = assignByPriority(site, arguments, indices, weights, {.experts = experts, .capacity = rooms.capacity, .groups = rooms.groups});
  if (weights && arguments.flag("random_routing"))
    routing = dropAtRandom(site, routing, weights);
  if (site.isTraining())
    addLosses(site, arguments, firstChoices(ops, indices, experts, site.routerElement()), ops.softmax(logits), logits, rooms.workers);
  return GateResult{.routing = routing, .weights = weights, .logits = logits};
}

std::vector<Parameter> gshardParameters(std::string workersDoc) {
  return {
      {.name = "top_k", .fallback = "2", .least = 2, .most = 2, .doc = "Choices per token (K): always 2."},
      capacityParameter("{\"train\": 1.2, \"eval\": 2.4}", "Rows of an expert, as a rate."),
      workersParameter(std::move(workersDoc), "fastmoe ee3c561 (world_size)"),
      priorityParameter({"token_major", "choice_major", "score", "batch"}),
      {.name = "random_routing", .type = ParameterType::Bool, .fallback = "true", .doc = "Drop weak second choices at random?"},
      balanceLossParameter("0", "E * the sum over e of (share of tokens whose best expert is e) * (mean of e's softmax over all "
                                "logits), of several workers, and with per: row, its mean over them. The paper's l_aux is this over "
                                "E^2."),
      zLossParameter(),
      routerBiasParameter(),
      routerInitParameter(),
  };
}

const Kind& gshardGate() {
  static const Kind kind{
      .name = "gshard",
      .family = Family::Gate,
      .doc = "The two best experts of each token, weighted by the softmax over their two logits. An expert takes "
             "floor(ceil(rate * T) * 2 / E) "
             "rows, in the order of tokens, and drops the rest; T is all tokens of the call. Random routing then drops "
             "the second choice where "
             "twice its weight is less than a uniform draw; it has used its place by then. It draws in inference too. "
             "FastMoE's atomics leave the "
             "order open and its capacity may silently be 0; here the order is the tokens', and a capacity of 0 is an "
             "error where it is known. "
             "The paper has per: row, priority: choice_major and no bias. "
             "FastMoE leaves its loss at the gate, for the trainer to add or not: so the coefficient is 0 here unless "
             "it is given. "
             "FastMoE's loss with several workers is 1 / W^2 of this one where all is even: it counts the experts of "
             "one worker. "
             "Weight and bias begin as PyTorch's Linear.",
      .source = "Lepikhin et al. 2020 (arXiv 2006.16668); fastmoe ee3c561 (GShardGate)",
      .parameters = parameters(),
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
