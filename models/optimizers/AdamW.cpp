#include "models/optimizers/AdamStep.h"
#include "models/optimizers/Optimizers.h"

namespace moec::models {

namespace {

void update(Update& update) { adamStep(update, update.decayed(), update.gradient()); }

} // namespace

const Kind& adamwOptimizer() {
  static const Kind kind{
      .name = "adamw",
      .family = Family::Optimizer,
      .doc = "adam with a weight decay that the means do not see. States: p.exp_avg, p.exp_avg_sq.",
      .source = "Loshchilov and Hutter 2017 (arXiv 1711.05101); PyTorch 2.15 (torch.optim.AdamW)",
      .parameters = adamParameters(weightDecayParameter("0.01")),
      .checkRule = checkBetas,
      .update = update,
  };
  return kind;
}

} // namespace moec::models
