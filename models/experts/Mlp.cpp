#include "models/Layers.h"
#include "models/experts/Experts.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, mlir::Value rows) { return mlp(site, arguments, rows); }

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = mlpParameters();
  all.insert(all.begin(), countParameter());
  return all;
}

} // namespace

const Kind& mlpExpert() {
  static const Kind kind{
      .name = "mlp",
      .family = Family::Expert,
      .doc = "Feed-forward networks, all of one shape. Each expert's weights begin uniform in +-1/sqrt(in), as a "
             "Linear of its own, biases with "
             "zeros. FastMoE fills the whole (E, out, in) tensor at once, which PyTorch reads as fan_in = out * in: "
             "its weights begin smaller by "
             "sqrt(out), which its comment (\"the same as in torch.nn.Linear\") does not mean.",
      .source = "fastmoe ee3c561 (FMoETransformerMLP, FMoELinear)",
      .parameters = parameters(),
      .expert = build,
  };
  return kind;
}

} // namespace moec::models
