#include "models/optimizers/AdamStep.h"
#include "models/optimizers/Optimizers.h"

namespace moec::models {

namespace {

void update(Update& update) {
  mlir::Value gradient = update.gradient();
  if (double decay = update.decay(); decay != 0)
    gradient = update.add(gradient, update.mul(update.parameter(), update.constant(decay)));
  adamStep(update, update.parameter(), gradient);
}

} // namespace

const Kind& adamOptimizer() {
  static const Kind kind{
      .name = "adam",
      .family = Family::Optimizer,
      .doc = "Each parameter loses learning rate * mean of its gradients / (root of the mean of their squares + eps); "
             "both means forget exponentially, and are divided by what they would be had all gradients been 1. What a "
             "model with a loss and without an optimizer is trained by. States: p.exp_avg, p.exp_avg_sq.",
      .source = "Kingma and Ba 2014 (arXiv 1412.6980); PyTorch 2.15 (torch.optim.Adam)",
      .parameters = adamParameters(weightDecayParameter("0", "How much of the parameter is added to its gradient.")),
      .checkRule = checkBetas,
      .update = update,
  };
  return kind;
}

} // namespace moec::models
