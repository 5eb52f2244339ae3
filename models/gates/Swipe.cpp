#include "models/gates/Gates.h"
#include "models/gates/Workers.h"

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts))
    return std::nullopt;
  std::optional<int64_t> workers = workersOf(site, arguments, ir::sizesOf(tokens)[0], experts);
  if (!workers)
    return std::nullopt;
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"), initsOf(arguments));
  Ops& ops = site.ops();
  auto [values, indices] = ops.select(logits, arguments.integer("top_k"));
  bool moves = site.isTraining() && *workers > 1;
  indices = site.chosen(moves ? ops.swipe(indices, experts, *workers) : indices, experts);
  if (moves || site.replays())
    values = ops.take(logits, indices);
  return GateResult{.routing = ops.assign(indices, experts, ir::Priority::TokenMajor, std::nullopt), .weights = ops.softmax(values), .logits = logits};
}

} // namespace

const Kind& swipeGate() {
  static const Kind kind{
      .name = "swipe",
      .family = Family::Gate,
      .doc = "The k best experts of each token; in training no worker gets more rows than one worker's tokens have "
             "choices. One "
             "choice of all tokens after the other, a worker takes the rows that chose it, the first worker's first, "
             "as long as it "
             "has room. What finds none moves to the workers with room, in their order, to the expert number c (modulo "
             "the "
             "experts of a worker) there in the c-th choice, be it the token's expert already. Weights are the softmax "
             "over the "
             "logits of the experts that they end at. Nobody is dropped. Weight and bias begin as PyTorch's Linear.",
      .source = "Ma et al. 2022 (BaGuaLu); fastmoe ee3c561 (SwipeGate)",
      .parameters =
          {
              choicesParameter("2"),
              workersParameter("With 1 nothing moves.", "fastmoe ee3c561 (world_size)"),
              routerBiasParameter(),
              routerInitParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
