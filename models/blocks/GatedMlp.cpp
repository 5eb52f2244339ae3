#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) { return gatedMlp(site, arguments, inputs[0]); }

} // namespace

const Kind& gatedMlpBlock() {
  static const Kind kind{
      .name = "gated_mlp",
      .doc = "A gated feed-forward network: down(activation(gate(x)) * up(x)), three linear layers. Files that keep gate "
             "and up as one matrix differ in which half is the gate: the first in Mixtral's gate_up_proj, the second in "
             "st-moe-pytorch; here each is a parameter of its own.",
      .source = "Shazeer 2020 (arXiv 2002.05202); transformers 5.24 (MixtralExperts)",
      .parameters = gatedMlpParameters(),
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
