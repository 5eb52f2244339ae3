#include "models/gates/Gates.h"
#include "models/gates/Workers.h"

#include <fmt/format.h>

#include <limits>

namespace moec::models {

namespace {

/// What a worker's tokens may reach: nodes are runs of workers.
class Topology {
public:
  Topology(Site& site, const Arguments& arguments, const Size& tokens, int64_t workers, int64_t experts)
      : site_(site), ops_(site.ops()), tokens_(tokens), workers_(workers), experts_(experts), perNode_(arguments.integer("workers_per_node")),
        run_(Size::floorDiv(tokens, workers)) {
    Size::Real share;
    share.factors.push_back({.number = {}, .size = run_, .op = '*'});
    share.factors.push_back({.number = arguments.number("outgoing"), .size = {}, .op = '*'});
    outgoing_ = Size::trunc(share);
  }

  /// The two experts of each token (T, 2): `best` where few tokens of its worker want another node.
  mlir::Value choose(mlir::Value logits, mlir::Value values, mlir::Value best);

private:
  mlir::Value nodes(int64_t count, int64_t each) {
    std::vector<double> numbers;
    for (int64_t i = 0; i < count; ++i)
      numbers.push_back(static_cast<double>(i / each));
    return ops_.constant({1, count}, numbers, site_.routerElement());
  }

  Site& site_;
  Ops& ops_;
  Size tokens_;
  int64_t workers_, experts_, perNode_;
  Size run_, outgoing_; // tokens of a worker, and how many of them may leave its node
};

mlir::Value Topology::choose(mlir::Value logits, mlir::Value values, mlir::Value best) {
  if (!logits || !values)
    return {};
  mlir::Type element = site_.routerElement(), integer = ops_.element(DType::I32);
  int64_t expertsOfNode = perNode_ * (experts_ / workers_);
  mlir::Value ofTokens = spreadToTokens(ops_, ops_.reshape(nodes(workers_, perNode_), {workers_, 1}), tokens_); // (T, 1)
  mlir::Value isFar = ops_.compare(ir::Predicate::NE, nodes(experts_, expertsOfNode), ofTokens);                // (T, E)
  mlir::Value first = ops_.slice(best, 1, 0, 1), firstValue = ops_.slice(values, 1, 0, 1);
  mlir::Value leaves = ops_.take(ops_.cast(isFar, element), first);
  mlir::Value wantsOut = ops_.compare(ir::Predicate::NE, leaves, ops_.constant({1}, {0}, element));

  // The tokens of the highest logits among those that want to leave.
  mlir::Value most = ops_.number(outgoing_, integer);
  mlir::Value all = ops_.broadcast(ops_.constant({1, 1}, {0}, integer), {tokens_, 1}); // of one list for each worker
  mlir::Value place = ops_.places(all, firstValue, {.groups = workers_, .keep = wantsOut});
  mlir::Value goesOut = ops_.binary<ir::MinOp>(wantsOut, ops_.compare(ir::Predicate::LT, place, most));
  mlir::Value lowest = ops_.constant({1}, {-std::numeric_limits<double>::infinity()}, element);
  mlir::Value near = ops_.select(ops_.where(isFar, lowest, logits), 2).indices;
  mlir::Value second = ops_.where(goesOut, first, ops_.slice(near, 1, 1, 1));
  mlir::Value limited = ops_.concat({ops_.slice(near, 1, 0, 1), second}, 1);

  // A worker is limited where as many of its tokens as may leave want to.
  mlir::Value count = ops_.cast(groupMeans(ops_, leaves, workers_, ir::ReduceKind::Sum), integer); // (W, 1)
  mlir::Value isLimited = spreadToTokens(ops_, ops_.cast(ops_.compare(ir::Predicate::GE, count, most), element), tokens_);
  return ops_.where(ops_.compare(ir::Predicate::NE, isLimited, ops_.constant({1}, {0}, element)), limited, best);
}

/// Has every node the two experts that a token of its own finds there? The last node may have fewer workers.
bool checkNodes(Site& site, const Arguments& arguments, int64_t workers, int64_t experts) {
  int64_t perNode = arguments.integer("workers_per_node"), rest = workers % perNode;
  int64_t fewest = rest ? rest : perNode; // workers of the last node
  if (fewest * (experts / workers) >= 2)
    return true;
  site.error(arguments.at("workers_per_node"), fmt::format("with {} of {} workers to a node one has a single expert of {}, and a token that stays on its "
                                                           "node chooses two; give nodes more workers, or workers more experts",
                                                           perNode, workers, experts));
  return false;
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts))
    return std::nullopt;
  Size count = ir::sizesOf(tokens)[0];
  std::optional<int64_t> workers = workersOf(site, arguments, count, experts);
  if (!workers)
    return std::nullopt;
  bool isLimited = *workers > arguments.integer("workers_per_node");
  if (isLimited && !checkNodes(site, arguments, *workers, experts))
    return std::nullopt;
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"), initsOf(arguments));
  Ops& ops = site.ops();
  auto [values, indices] = ops.select(logits, 2);
  mlir::Value first = indices ? ops.slice(indices, 1, 0, 1) : mlir::Value();
  if (isLimited)
    indices = Topology(site, arguments, count, *workers, experts).choose(logits, values, indices);
  indices = site.chosen(indices, experts);
  if (isLimited || site.replays())
    values = ops.take(logits, indices);
  if (site.isTraining() && first)
    addBalanceLoss(site, arguments, oneHot(ops, first, experts, site.routerElement()), ops.softmax(logits), *workers);
  return GateResult{.routing = ops.assign(indices, experts, ir::Priority::TokenMajor, std::nullopt), .weights = ops.softmax(values), .logits = logits};
}

} // namespace

const Kind& fasterGate() {
  static const Kind kind{
      .name = "faster",
      .family = Family::Gate,
      .doc = "The two best experts of each token, but where many tokens of a worker would leave its node, few do. "
             "Workers stand in "
             "nodes, runs of workers_per_node. Of a worker's T / W tokens, where fewer than floor(outgoing * T / W) "
             "have a best "
             "expert on another node, all go to their two best. Otherwise so many of these tokens, of the highest "
             "logits, keep "
             "that expert, as their second choice; every other choice is among the experts of the worker's own node. "
             "Weights are the "
             "softmax over the logits of the chosen. It does so in inference too. FastMoE's loss with several workers "
             "is 1 / W^2 of "
             "this one where all is even. Weight and bias begin as PyTorch's Linear.",
      .source = "He et al. 2022 (FasterMoE); fastmoe ee3c561 (FasterGate)",
      .parameters =
          {
              {.name = "top_k", .fallback = "2", .least = 2, .most = 2, .doc = "Choices per token (K): always 2."},
              workersParameter("Where all are of one node, the gate is top_k.", "fastmoe ee3c561 (world_size)"),
              {.name = "workers_per_node",
               .fallback = "8",
               .most = 65536,
               .doc = "Workers of a node; the last node has what is left over. Each node has two experts at least.",
               .source = "fastmoe ee3c561 (FMOE_TOPO_GPUS_PER_NODE)"},
              {.name = "outgoing",
               .type = ParameterType::Number,
               .fallback = "0.14",
               .least = 0,
               .most = 1,
               .doc = "The share of a worker's tokens that may leave its node.",
               .source = "fastmoe ee3c561 (FMOE_TOPO_OUTGOING_FRACTION)"},
              balanceLossParameter("0", "E * the sum over e of (share of tokens whose best expert is e) * (mean of e's softmax over "
                                        "all logits), of several workers its mean over them."),
              routerBiasParameter(),
              routerInitParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
