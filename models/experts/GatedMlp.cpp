#include "models/Layers.h"
#include "models/experts/Experts.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, mlir::Value rows) { return gatedMlp(site, arguments, rows); }

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = gatedMlpParameters();
  all.insert(all.begin(), countParameter());
  return all;
}

} // namespace

const Kind& gatedMlpExpert() {
  static const Kind kind{
      .name = "gated_mlp",
      .family = Family::Expert,
      .doc = "Gated feed-forward networks, all of one shape: down(activation(gate(x)) * up(x)), as the block of that "
             "name. Each expert's weights begin as a Linear of its own, biases with zeros.",
      .source = "Shazeer 2020 (arXiv 2002.05202); transformers 5.24 (MixtralExperts)",
      .parameters = parameters(),
      .expert = build,
  };
  return kind;
}

} // namespace moec::models
